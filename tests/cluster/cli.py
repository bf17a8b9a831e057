"""The command line of ``python -m tests.cluster``."""

import argparse
import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import (
    binaries,
    cache,
    cleaning,
    deploy,
    diagnostics,
    image,
    image_archive,
    providers,
    started,
)
from tests.cluster.errors import ClusterError
from tests.cluster.existing import ExistingCluster
from tests.cluster.output import say, tell
from tests.cluster.provider import Provider

# Exit code for a cluster that does not run, as of systemctl.
_NOT_RUNNING = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error becomes a message, not a traceback."""
    options = _parser().parse_args(argv)
    try:
        return _run(options)
    except ClusterError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"error: {error}. {_advice(error)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def run_process() -> int:
    """Run `main` as a process: if it is told to end, the programs that it runs end first."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        # A process started by `nohup` ignores SIGHUP.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)
    return main()


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full; what is kept is in {cache.cache_dir()} (`make clean-all`)."
    return f"Everything is kept in {cache.cache_dir()}; CORE4_CACHE names another folder."


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
    commands.add_parser("down", help="stop what was started, and delete the clusters")
    commands.add_parser("clean", help="the same, and delete the cache and Docker's images too")
    commands.add_parser("status", help="tell whether it runs (exit code 3: it does not)")
    load = commands.add_parser("load", help="load an image archive")
    load.add_argument("archive", type=Path, help="a docker archive")
    commands.add_parser("kubeconfig", help="print the path of its kubeconfig")
    commands.add_parser("image", help="build this checkout's image; print name, archive, size")
    commands.add_parser("deploy", help="build this checkout's image and install the chart")
    commands.add_parser("undeploy", help="uninstall the chart")
    commands.add_parser("dump", help="print the cluster's state, to find out why something failed")
    binary = commands.add_parser("binary", help="build a program, print its path")
    binary.add_argument("name", choices=("kubectl", *sorted(binaries.INSTALLED)))
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "image":
        built = image.project_image(deploy.ROOT)
        tell(f"{built.reference} {built.archive} {built.megabytes} MB")
        return 0
    if options.command == "binary" and options.name in binaries.INSTALLED:
        tell(str(binaries.installed(options.name)))
        return 0
    match options.command:
        case "down":
            _down(providers.running(options.provider))
        case "clean":
            _clean(providers.running(options.provider))
        case "status":
            return _status(providers.running(options.provider))
        case "dump":
            _dump(providers.running(options.provider))
        case _:
            _run_with(providers.choose(options.provider), options)
    return 0


def _run_with(provider: Provider, options: argparse.Namespace) -> None:
    match options.command:
        case "up":
            _up(provider)
        case "load":
            provider.load(options.archive.resolve(), image_archive.reference(options.archive))
        case "kubeconfig":
            tell(str(provider.kubeconfig))
        case "deploy":
            deploy.deploy(provider)
        case "undeploy":
            deploy.undeploy(provider)
        case "binary":
            tell(str(provider.binary(options.name)))


def _up(provider: Provider) -> None:
    before = started.read()
    # Record it before the start, so that `down` finds the rest of an interrupted `up`.
    started.add(started.ClusterRecord(provider.name, str(provider.kubeconfig)))
    try:
        provider.up()
    except ClusterError:
        if provider.name not in {item.provider for item in before} and not provider.left():
            # Nothing was started, so other commands must not take this cluster for the latest.
            started.remove(provider.name)
        raise


def _dump(clusters: Sequence[Provider]) -> None:
    """Print the state of the clusters; this starts and builds nothing where none was started."""
    if not clusters:
        say("no cluster was started here")
    for provider in clusters:
        if (lacking := provider.unavailable()) is not None:
            say(f"{provider.name} cluster: can't be asked: {lacking}")
        else:
            diagnostics.dump(provider, deploy.NAMESPACE)


def _down(clusters: Sequence[Provider]) -> None:
    """Stop the clusters, the latest first.

    Raises:
        ClusterError: a cluster can't be stopped; all others are stopped.
    """
    lost, failed = _stop(clusters)
    if not clusters:
        say("no cluster was started here")
    if kept := cleaning.kept():
        say(
            f"kept, for the next start to be quick (`make clean-all` deletes it): {'; '.join(kept)}"
        )
    if lost or failed:
        advice = "Mend that and run `make down` again; `make clean-all` gives up the rest."
        raise ClusterError("\n".join(["these can't be stopped:", *lost, *failed, advice]))


def _clean(clusters: Sequence[Provider]) -> None:
    """Stop the clusters and delete all that was made here; give up clusters out of reach.

    Raises:
        ClusterError: a cluster within reach can't be stopped; nothing else is deleted then.
    """
    lost, failed = _stop(clusters)
    if failed:
        advice = "Mend that and run `make clean-all` again."
        raise ClusterError("\n".join(["these can't be stopped:", *failed, advice]))
    for line in lost:
        say(f"given up, and left as it is:{line}")
    cleaning.clean()


def _stop(clusters: Sequence[Provider]) -> tuple[list[str], list[str]]:
    """Stop clusters. Return a line for each one out of reach, and for each failure."""
    lost, failed = [], []
    for provider in reversed(clusters):
        # A cluster that is not ours needs nothing: it is left as it is.
        ours = provider.name != ExistingCluster.name
        if ours and (lacking := provider.unavailable()) is not None:
            lost.append(f"  {provider.name}: {lacking}")
            continue
        try:
            provider.down()
        except ClusterError as error:
            failed.append(f"  {provider.name}: {error}")
            continue
        started.remove(provider.name)
    return lost, failed


def _status(clusters: Sequence[Provider]) -> int:
    """Print the status of each cluster. Return exit code 0 if the latest runs, else 3."""
    if not clusters:
        say("no cluster was started here; `make up` starts one")
        return _NOT_RUNNING
    code = _NOT_RUNNING
    for provider in clusters:
        code = _status_of(provider)
    return code


def _status_of(provider: Provider) -> int:
    if (lacking := provider.unavailable()) is not None:
        say(f"{provider.name} cluster: can't be asked: {lacking}")
        return _NOT_RUNNING
    try:
        status = provider.status()
    except ClusterError as error:
        say(f"{provider.name} cluster: can't be asked: {error}")
        return _NOT_RUNNING
    say(f"{provider.name} cluster: {'running' if status.running else 'not running'}")
    for line in status.lines:
        tell(line)
    return 0 if status.running else _NOT_RUNNING
