"""The group of all commands, and the way from an error to one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import groupby
from typing import Any, Final, TypeVar

import click

from core4 import __version__
from core4.client.errors import ApiError, Core4Error
from core4.command import commands, connection, exits
from core4.command.connection import Connection
from core4.command.exits import Exit

_STDOUT: Final = 1

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def command(name: str, summary: str, **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that makes a command with the options of the connection.

    Args:
        name: Its name.
        summary: The sentence of its help; the function's docstring is for developers.
        settings: More arguments of `click.command`.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        make: Callable[[Callable[..., Any]], click.Command] = click.command(
            name, help=summary, context_settings=SETTINGS, **settings
        )
        return make(connection.options(function))

    return decorate


class Commands(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, without aliases."""
        return [entry.name for entry in commands.ENTRIES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, by its name or an alias."""
        entry = commands.BY_NAME.get(cmd_name)
        if entry is None or not entry.module:
            return None
        module = import_module(f"core4.command.{entry.module}")
        found: click.Command = getattr(module, f"{entry.name}_command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command and its arguments; for an unknown one, name similar ones."""
        from difflib import get_close_matches  # noqa: PLC0415

        if args and args[0] not in commands.BY_NAME and not args[0].startswith("-"):
            similar = get_close_matches(args[0], commands.BY_NAME, n=1)
            hint = f" Did you mean {similar[0]!r}?" if similar else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing them."""
        for heading, entries in groupby(commands.ENTRIES, lambda entry: entry.group):
            with formatter.section(heading):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


@click.group(
    cls=Commands,
    context_settings=SETTINGS,
    help="Enqueue, follow and steer jobs of a core4 service.",
    epilog="core4 COMMAND --help explains a command. More: docs/cli.md.",
)
@click.version_option(__version__, message="core4 %(version)s")
@connection.options
def group() -> None:
    """Hold the commands together."""


def main(args: Sequence[str] | None = None, prog: str = "core4") -> int:
    """Run a command and return its exit code."""
    state = Connection()
    try:
        result = group.main(
            None if args is None else list(args), prog, standalone_mode=False, obj=state
        )
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # click turns a broken pipe into SystemExit, and nothing else in this mode.
        return _end_silently()
    except Core4Error as error:
        return report(error, debug=state.debug)
    return result if isinstance(result, int) else Exit.OK


def report(error: Core4Error, *, debug: bool) -> Exit:
    """Write an error to stderr: one sentence, and what to do. Return its exit code."""
    if debug:
        traceback.print_exception(error)
    text = str(error)
    if isinstance(error, ApiError) and not debug:
        text = error.text
    click.echo(f"error: {text}", err=True)
    if isinstance(error, ApiError) and error.hint and not debug:
        click.echo(f"hint: {error.hint}", err=True)
    return exits.of(error)


def _end_silently() -> int:
    """End after the reader of stdout has gone, as in `core4 ls | head`.

    Python flushes stdout at its end, so it must be a file that takes everything.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    return Exit.PIPE
