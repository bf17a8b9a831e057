"""`context`: choose between servers."""

from __future__ import annotations

from typing import Any, Final

import click

from core4.client.contexts import Context, ContextFile
from core4.client.discovery import base
from core4.command import completing, output
from core4.command.app import SETTINGS
from core4.command.output import Column, Format

Row = tuple[str, Context, bool]

_COLUMNS: Final[list[Column[Row]]] = [
    Column("CURRENT", lambda row: "*" if row[2] else ""),
    Column("NAME", lambda row: row[0]),
    Column("URL", lambda row: row[1].url),
    Column("USER", lambda row: row[1].user or ""),
    Column("NAMESPACE", lambda row: row[1].namespace or "", wide=True),
    Column("CA FILE", lambda row: row[1].ca_file or "", wide=True),
]


@click.group(
    "context",
    help="Choose between servers; they are in the context file (docs/cli.md).",
    context_settings=SETTINGS,
)
def context_command() -> None:
    """Hold the commands together."""


@context_command.command("ls", help="List the contexts; * marks the current one.")
@output.options
def list_contexts(*, form: str, headers: bool, quiet: bool) -> None:
    """List the contexts."""
    contexts = ContextFile().load()
    output.write(
        [
            (name, context, name == contexts.current)
            for name, context in sorted(contexts.contexts.items())
        ],
        _COLUMNS,
        form=Format.NAME if quiet else Format(form),
        name=lambda row: row[0],
        raw=_raw,
        headers=headers,
        empty="No context yet: core4 login --url https://jobs.example.com",
    )


def _raw(row: Row) -> dict[str, Any]:
    name, context, current = row
    return {
        "name": name,
        "current": current,
        "url": context.url,
        "user": context.user,
        "namespace": context.namespace,
        "ca_file": context.ca_file,
    }


@context_command.command("use", help="Make a context the current one.")
@click.argument("name", shell_complete=completing.contexts)
def use_context(*, name: str) -> None:
    """Choose a context."""
    file = ContextFile()
    file.save(file.load().using(name))
    click.echo(f"The current context is {name}.", err=True)


@context_command.command("set", help="Make or change a context.")
@click.argument("name")
@click.option("--url", required=True, help="URL of the server.")
@click.option("--ca-file", help="Certificates of the server's authority.")
@click.option("--namespace", help="Its namespace, as a note for people.")
@click.option("--use", is_flag=True, help="Make it the current one.")
def set_context(
    *, name: str, url: str, ca_file: str | None, namespace: str | None, use: bool
) -> None:
    """Make or change a context."""
    file = ContextFile()
    base(url)
    contexts = file.load().having(name, Context(url, ca_file=ca_file, namespace=namespace))
    file.save(contexts.using(name) if use or contexts.current is None else contexts)


@context_command.command("rm", help="Delete a context and its token.")
@click.argument("name", shell_complete=completing.contexts)
def remove_context(*, name: str) -> None:
    """Delete a context."""
    file = ContextFile()
    file.save(file.load().without(name))
    file.save_token(name, None)
