"""`jobs`: list the jobs that the user may enqueue, or show one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from core4.client.errors import Core4Error
from core4.client.results import CatalogueEntry
from core4.command import completing, connection, output, terminal, times
from core4.command.app import command
from core4.command.output import Column, Format

_TITLE = 12


class UnknownJobError(Core4Error):
    """The catalogue has no job of that name, or the user may not enqueue it."""


@command("jobs", "List the jobs that you may enqueue; with a NAME, show its arguments.")
@click.argument("name", required=False, shell_complete=completing.qual_names)
@click.option("--tag", help="Jobs with this tag.")
@click.option("--search", metavar="TEXT", help="Part of the name; * is any text.")
@output.options
def jobs_command(
    *,
    name: str | None,
    tag: str | None,
    search: str | None,
    form: str,
    headers: bool,
    quiet: bool,
) -> None:
    """List the catalogue."""
    shape = Format.NAME if quiet else Format(form)
    where = {"qual_name": name, "tag": tag}
    given = {field: value for field, value in where.items() if value is not None}
    with connection.current().client() as client:
        found = list(client.jobs(search, filter=given or None))
    if name is not None and not found:
        raise UnknownJobError(f"there is no job {name} that you may enqueue; see: core4 jobs")
    if name is not None and shape is Format.TABLE:
        click.echo("\n".join(_described(found[0])))
    elif name is not None and shape in {Format.JSON, Format.YAML}:
        output.write_one(found[0].raw, shape)
    else:
        output.write(
            found,
            _columns(),
            form=shape,
            name=lambda entry: entry.qual_name,
            raw=lambda entry: entry.raw,
            headers=headers,
            empty="No job that you may enqueue.",
        )


def _columns() -> list[Column[CatalogueEntry]]:
    now = datetime.now(UTC)
    at_terminal = sys.stdout.isatty()

    def time(moment: datetime | None) -> str:
        return times.ago(moment, now) if at_terminal else times.iso(moment)

    return [
        Column("NAME", lambda entry: entry.qual_name),
        Column("SCHEDULE", lambda entry: entry.schedule or ""),
        Column("NEXT", lambda entry: time(entry.next_run)),
        Column("LAST", lambda entry: time(entry.last_run), wide=True),
        Column(
            "LAST STATE",
            lambda entry: entry.last_job_state or "",
            wide=True,
            style=lambda entry: output.style_of_state(entry.last_job_state or ""),
        ),
        Column("TAG", lambda entry: ",".join(entry.tag), wide=True),
        Column("AUTHOR", lambda entry: entry.author or "", wide=True),
        Column("DOC", lambda entry: (entry.doc or "").strip().partition("\n")[0]),
        Column("PROBLEM", lambda entry: entry.problem or entry.skipped or "", wide=True),
    ]


def _described(entry: CatalogueEntry) -> Iterator[str]:
    time = times.local if sys.stdout.isatty() else times.iso
    pairs = {
        "Job": entry.qual_name,
        "Author": entry.author or "",
        "Tags": ", ".join(entry.tag),
        "Schedule": " ".join(filter(None, (entry.schedule, entry.time_zone))),
        "Next run": time(entry.next_run),
        "Last run": " ".join(
            filter(None, (time(entry.last_run), entry.last_job, entry.last_job_state))
        ),
        "Skipped": entry.skipped or "",
        "Problem": entry.problem or "",
    }
    for title, text in pairs.items():
        if text:
            yield f"{title + ':':<{_TITLE}} {terminal.one_line(text)}"
    if entry.doc:
        yield ""
        yield from (terminal.clean(line) for line in entry.doc.strip().splitlines())
    if entry.args_schema is not None:
        yield ""
        yield "Arguments (JSON schema):"
        yield json.dumps(entry.args_schema, ensure_ascii=False, indent=2)
    if entry.properties:
        yield ""
        yield "Properties, by --set NAME=VALUE:"
        yield from (f"  {name} = {json.dumps(value)}" for name, value in entry.properties.items())
