"""`ls` and `history`: list the queue and the past jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import click

from core4.client.results import JobDocument
from core4.command import connection, documents, output
from core4.command.app import command
from core4.command.output import Format
from core4.command.times import Moment

STATES: Final = (
    "pending", "running", "failed", "deferred", "killed", "inactive", "error", "complete",
)  # fmt: skip
_REFRESH_S: Final = 2.0


class States(click.ParamType[tuple[str, ...]]):
    """States, separated by commas."""

    name = "states"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the states."""
        if isinstance(value, tuple):
            return value
        states = tuple(word.strip() for word in str(value).split(",") if word.strip())
        for state in states:
            if state not in STATES:
                self.fail(f"there is no state {state!r}; there are {', '.join(STATES)}", param, ctx)
        return states


def choosing(function: Any) -> Any:
    """Add the options that choose jobs: `--state --name --user --since --until --search`."""
    for option in (
        click.option("--until", type=Moment(), help="Enqueued before this time."),
        click.option("--since", type=Moment(), help="Enqueued at this time or later."),
        click.option("--search", metavar="TEXT", help="Part of the name; * is any text."),
        click.option("--user", "username", metavar="NAME", help="Enqueued by this user."),
        click.option("--name", metavar="QUAL_NAME", help="Jobs of this name."),
        click.option("--state", type=States(), metavar="STATE[,STATE…]", help="In these states."),
    ):
        function = option(function)
    return function


def _listing(function: Any) -> Any:
    for option in (
        output.options,
        click.option("--limit", type=click.IntRange(1), help="At most so many rows."),
        click.option(
            "--sort", metavar="FIELD[,-FIELD…]", help="Sort by these fields; - means descending."
        ),
        choosing,
    ):
        function = option(function)
    return function


@command("ls", "List the jobs in the queue, oldest first.")
@_listing
@click.option("-w", "--watch", is_flag=True, help="Show the list again every two seconds.")
def ls_command(
    *,
    sort: str | None,
    limit: int | None,
    form: str,
    headers: bool,
    quiet: bool,
    watch: bool,
    **chosen: Any,
) -> None:
    """List the queue."""
    shape = Format.NAME if quiet else Format(form)
    with connection.current().client() as client:
        while True:
            found = islice(client.queue(sort=_pairs(sort), **chosen), limit)
            if not watch:
                _write(found, shape, headers=headers, empty="No job in the queue.")
                return
            rows = list(found)
            click.clear()
            _write(iter(rows), shape, headers=headers, empty="No job in the queue.")
            time.sleep(_REFRESH_S)


@command("history", "List the jobs that have left the queue, oldest first.")
@_listing
def history_command(
    *,
    sort: str | None,
    limit: int | None,
    form: str,
    headers: bool,
    quiet: bool,
    **chosen: Any,
) -> None:
    """List past jobs."""
    shape = Format.NAME if quiet else Format(form)
    with connection.current().client() as client:
        found = islice(client.journal(sort=_pairs(sort), **chosen), limit)
        _write(found, shape, headers=headers, empty="No past job.")


def _write(rows: Iterator[JobDocument], form: Format, *, headers: bool, empty: str) -> None:
    output.write(
        rows,
        documents.columns(),
        form=form,
        name=lambda job: job.id,
        raw=lambda job: job.raw,
        headers=headers,
        empty=empty,
    )


def _pairs(sort: str | None) -> list[tuple[str, int]] | None:
    """Return the pairs of `--sort`: `-priority,_id` is by priority descending, then by id."""
    if sort is None:
        return None
    words = [word.strip() for word in sort.split(",") if word.strip()]
    return [(word.removeprefix("-"), -1 if word.startswith("-") else 1) for word in words]
