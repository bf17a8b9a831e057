"""The command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import binaries, deploy, diagnostics, image, image_archive, providers
from tests.cluster.errors import ClusterError
from tests.cluster.output import say, tell
from tests.cluster.provider import Provider

# As of systemctl: not running.
_NOT_RUNNING = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors that the user can act on are one message, not a traceback."""
    options = _parser().parse_args(argv)
    try:
        return _run(options)
    except ClusterError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A Kubernetes cluster for this project."
    )
    parser.add_argument(
        "--provider",
        choices=providers.NAMES,
        help=f"kind of cluster (default: ${providers.VARIABLE}, or the first that works here)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start the cluster, or repair it")
    commands.add_parser("down", help="stop it and take everything away")
    commands.add_parser("status", help="tell whether it runs (exit code 3: it does not)")
    load = commands.add_parser("load", help="load an image archive")
    load.add_argument("archive", type=Path, help="a docker archive")
    commands.add_parser("kubeconfig", help="print the path of its kubeconfig")
    commands.add_parser("image", help="build this checkout's image, print its name and archive")
    commands.add_parser("deploy", help="build this checkout's image and install the chart")
    commands.add_parser("undeploy", help="uninstall the chart")
    commands.add_parser("dump", help="print the cluster's state, to find out why something failed")
    binary = commands.add_parser("binary", help="build a program, print its path")
    binary.add_argument("name", choices=("kubectl", *sorted(binaries.INSTALLED)))
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "image":
        built = image.project_image(deploy.ROOT)
        tell(f"{built.reference} {built.archive}")
        return 0
    if options.command == "binary" and options.name in binaries.INSTALLED:
        tell(str(binaries.installed(options.name)))
        return 0
    return _run_with(providers.choose(options.provider), options)


def _run_with(provider: Provider, options: argparse.Namespace) -> int:
    match options.command:
        case "up":
            provider.up()
        case "down":
            provider.down()
        case "status":
            return _status(provider)
        case "load":
            provider.load(options.archive.resolve(), image_archive.reference(options.archive))
        case "kubeconfig":
            tell(str(provider.kubeconfig))
        case "deploy":
            deploy.deploy(provider)
        case "undeploy":
            deploy.undeploy(provider)
        case "dump":
            diagnostics.dump(provider, deploy.NAMESPACE)
        case "binary":
            tell(str(provider.binary(options.name)))
    return 0


def _status(provider: Provider) -> int:
    status = provider.status()
    say(f"{provider.name} cluster: {'running' if status.running else 'not running'}")
    for line in status.lines:
        tell(line)
    return 0 if status.running else _NOT_RUNNING
