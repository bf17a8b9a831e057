"""`api`: send any request to the REST API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from core4.command import connection, output, typing_args
from core4.command.app import command
from core4.command.output import Format
from core4.command.typing_args import BadArgumentError

_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


@command(
    "api",
    "Send any request to the REST API and print its JSON answer, such as: "
    "core4 api GET /job/journal -f per_page=3",
)
@click.argument("method", type=click.Choice(_METHODS, case_sensitive=False))
@click.argument("path")
@click.option(
    "-f", "--field", "fields", metavar="k=v", multiple=True,
    help="An argument; k:=v is JSON, k=@file has the text of a file.",
)  # fmt: skip
@click.option("--input", "source", metavar="FILE", help="Arguments as a JSON object; - is stdin.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["json", "yaml", "jsonl"]),
    default="json", show_default=True, help="Form of the answer.",
)  # fmt: skip
def api_command(
    *, method: str, path: str, fields: tuple[str, ...], source: str | None, form: str
) -> None:
    """Send a request."""
    try:
        arguments = {**_read(source), **typing_args.parse(fields, None)}
    except BadArgumentError as error:
        raise click.UsageError(str(error)) from None
    with connection.current().client() as client:
        answer = client.call(method.upper(), "/" + path.lstrip("/"), **arguments)
    output.write_one(answer, Format(form))


def _read(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgumentError(f"can't read {source}: {error}") from None
    return typing_args.json_object(source, text)
