"""Write rows to stdout: as a table for people, or in a form for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import click

from core4.command import connection, terminal

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_STYLES: Final = {
    "running": "cyan",
    "complete": "green",
    "pending": "yellow",
    "deferred": "yellow",
    "failed": "magenta",
    "error": "red",
    "killed": "red",
    "inactive": "red",
}
"""Colours of the states, which are words too."""


class Format(StrEnum):
    """The forms of a result."""

    TABLE = "table"
    WIDE = "wide"
    NAME = "name"
    JSON = "json"
    YAML = "yaml"
    JSONL = "jsonl"


_FORMS: Final = tuple(form.value for form in Format)


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of a table.

    Attributes:
        title: Its heading.
        text: Returns the text of a row.
        wide: True if only the form `wide` has it.
        style: Returns the colour of a row's cell, or an empty text.
    """

    title: str
    text: Callable[[T], str]
    wide: bool = False
    style: Callable[[T], str] = lambda _: ""


def options(function: F) -> F:
    """Add `-o`, `--no-headers` and `-q` to a command, as arguments `form`, `headers`, `quiet`."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Print the names only; same as -o name."),
        click.option("--no-headers", "headers", flag_value=False, is_flag=True, default=True,
                     help="Leave the headings of the table out."),
        click.option("-o", "--output", "form", type=click.Choice(_FORMS), default="table",
                     show_default=True, help="Form of the result. The columns of a table may "
                     "change; the fields of JSON are those of the REST API."),
    ):  # fmt: skip
        function = option(function)
    return function


def style_of_state(state: str) -> str:
    """Return the colour of a state."""
    return _STYLES.get(state, "")


def write(
    rows: Iterable[T],
    columns: Sequence[Column[T]],
    *,
    form: Format,
    name: Callable[[T], str],
    raw: Callable[[T], Mapping[str, Any]],
    headers: bool = True,
    empty: str = "",
) -> None:
    """Write rows.

    Args:
        rows: The rows.
        columns: The columns of the table.
        form: The form.
        name: Returns the name of a row, for the form `name`.
        raw: Returns the server's JSON object of a row.
        headers: False to leave the headings out.
        empty: What stderr says instead of an empty table.
    """
    match form:
        case Format.NAME:
            for row in rows:
                click.echo(name(row))
        case Format.JSONL:
            for row in rows:
                click.echo(json.dumps(raw(row), ensure_ascii=False))
        case Format.JSON:
            click.echo(json.dumps([raw(row) for row in rows], ensure_ascii=False, indent=2))
        case Format.YAML:
            for row in rows:
                click.echo(yaml(raw(row)), nl=False)
        case _:
            shown = [column for column in columns if form is Format.WIDE or not column.wide]
            _write_table(list(rows), shown, headers=headers, empty=empty)


def write_one(raw: Mapping[str, Any], form: Format) -> None:
    """Write one JSON object in a form for programs."""
    match form:
        case Format.YAML:
            click.echo(yaml(raw), nl=False)
        case Format.JSONL:
            click.echo(json.dumps(raw, ensure_ascii=False))
        case _:
            click.echo(json.dumps(raw, ensure_ascii=False, indent=2))


def yaml(raw: Mapping[str, Any]) -> str:
    """Return a JSON object as one YAML document."""
    from core4.catalogue.yaml import document  # noqa: PLC0415

    return document(dict(raw))


def _write_table(
    rows: Sequence[T], columns: Sequence[Column[T]], *, headers: bool, empty: str
) -> None:
    if not rows:
        if empty:
            click.echo(empty, err=True)
        return
    colour = terminal.has_colour(connection.current(), sys.stdout)
    for line in table(rows, columns, headers=headers):
        click.echo(line, color=colour)


def table(
    rows: Sequence[T], columns: Sequence[Column[T]], *, headers: bool = True
) -> Iterator[str]:
    """Yield the lines of a table, as wide and as colourful as stdout allows."""
    # rich takes longer to import than the answer of the server.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colour = terminal.has_colour(connection.current(), sys.stdout)
    console = Console(
        file=sys.stdout,
        width=terminal.width(sys.stdout),
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=headers)
    for column in columns:
        grid.add_column(column.title, no_wrap=True, overflow="ellipsis", header_style="bold")
    for row in rows:
        grid.add_row(
            *(
                Text(terminal.one_line(column.text(row)), style=column.style(row))
                for column in columns
            )
        )
    with console.capture() as capture:
        console.print(grid)
    yield from (line.rstrip() for line in capture.get().splitlines())
