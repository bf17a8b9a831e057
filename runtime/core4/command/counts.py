"""`counts`: count the jobs in the queue by state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from core4.command import connection, output
from core4.command.app import command
from core4.command.output import Column, Format

_REFRESH_S = 3.0
"""The server publishes new counts so often at most."""

Row = tuple[str, int]

_COLUMNS: Final[list[Column[Row]]] = [
    Column("STATE", lambda row: row[0], style=lambda row: output.style_of_state(row[0])),
    Column("JOBS", lambda row: str(row[1])),
]


@command("counts", "Count the jobs in the queue by state.")
@click.option("-w", "--watch", is_flag=True, help="Print the counts again when they change.")
@output.options
def counts_command(*, watch: bool, form: str, headers: bool, quiet: bool) -> None:
    """Count the jobs."""
    shape = Format.NAME if quiet else Format(form)
    shown: Mapping[str, Any] | None = None
    with connection.current().client() as client:
        while True:
            rows = client.call("GET", "/jobs/history", per_page=1)["data"]
            counts = {**rows[0]} if rows else {"total": 0}
            if counts != shown:
                _write(counts, shape, headers=headers)
            if not watch:
                return
            shown = counts
            time.sleep(_REFRESH_S)


def _write(counts: Mapping[str, Any], form: Format, *, headers: bool) -> None:
    if form in {Format.JSON, Format.YAML, Format.JSONL}:
        output.write_one(counts, form)
        return
    states = {name: number for name, number in counts.items() if isinstance(number, int)}
    total = states.pop("total", 0)
    output.write(
        [*sorted(states.items()), ("total", total)],
        _COLUMNS,
        form=form,
        name=lambda row: f"{row[0]} {row[1]}",
        raw=lambda row: {row[0]: row[1]},
        headers=headers,
    )
