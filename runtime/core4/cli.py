"""The command `core4`.

Modules are imported when they are needed, since each pod starts with `core4 run`.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import sys

from core4 import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

_LOCAL = frozenset({"run", "execute", "templates"})
"""The commands that need no server, and no package beside the standard library."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args == ["run"]:
        # Importing argparse alone would take longer than the rest of the start.
        from core4.runner.trial import run

        run()
    if args == ["--version"]:
        print(f"core4 {__version__}")
        return 0
    if args and args[0] in _LOCAL:
        return _dispatch(_parse(args))
    return _with_server(args)


def kubectl_plugin() -> int:
    """Run the command as `kubectl core4`, and return its exit code."""
    return main()


def _with_server(args: Sequence[str]) -> int:
    """Run a command of the extra `cli`."""
    try:
        from core4.command import app
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        if not args or args[0] in {"-h", "--help"}:
            _parse(["--help"])
        print(
            f"error: `core4 {args[0]}` needs more packages: pip install 'core4-runtime[cli]'",
            file=sys.stderr,
        )
        return 2
    return app.main(args)


def _dispatch(options: Namespace) -> int:
    if options.command == "templates":
        from core4.catalogue import command

        return command.run(options.package, image=options.image, namespace=options.namespace)
    from core4.runner import local

    return local.run(options.qual_name, options.argument)


def _parse(args: list[str]) -> Namespace:
    import argparse

    parser = argparse.ArgumentParser(prog="core4", description="Run core4 jobs, and list them.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the job that CORE4_JOB describes; this is what a pod does")
    templates = commands.add_parser(
        "templates",
        help="print a CoreJobTemplate for each job of a package",
        description="Print a CoreJobTemplate for each job of a package, for `kubectl apply -f -`.",
    )
    templates.add_argument("package", nargs="+", help="name of a Python package or module")
    templates.add_argument("--image", help="image of the job's container")
    templates.add_argument("--namespace", help="namespace of the manifests")
    execute = commands.add_parser(
        "execute",
        help="run a job here and now",
        description="Run one trial of a job here and now, with a log for people.",
    )
    execute.add_argument("qual_name", help="module and class, such as my_package.jobs.MyJob")
    execute.add_argument(
        "argument", nargs="*", metavar="name=value", help="argument of the job, in JSON or a text"
    )
    return parser.parse_args(args)
