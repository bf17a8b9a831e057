"""`logs`: show the log of a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from core4.client.results import Gap, Lagged, Log
from core4.command import completing, connection, followed, ids, lines, trials
from core4.command.app import command
from core4.command.exits import Exit
from core4.command.follow import filters_of, look_of, record_options
from core4.command.lines import Records
from core4.command.times import Span

if TYPE_CHECKING:
    from core4.client import Job


@command("logs", "Show the log of a job, current or past.")
@click.argument("text", metavar="ID", shell_complete=completing.job_ids)
@click.option("-f", "--follow", "live", is_flag=True, help="Go on until the job has ended.")
@click.option(
    "--trial",
    "number",
    metavar="N",
    type=click.IntRange(1),
    help="Records of this trial; with -f, until it has ended.",
)
@record_options
@click.option("--timeout", type=Span(), help="Give up after this time, with -f.")
@click.option("-o", "--output", "form", type=click.Choice(["log", "jsonl"]), default="log",
              show_default=True, help="Text, or one JSON object a line.")  # fmt: skip
def logs_command(
    *, text: str, live: bool, number: int | None, timeout: float | None, form: str, **how: Any
) -> int:
    """Show a log."""
    records, as_json = Records(look_of(how)), form == "jsonl"
    with connection.current().client() as client:
        (job_id,) = ids.resolve(client, [text])
        job, filters = client.job(job_id), filters_of(how)
        if number is not None:
            trials.check(job.document(), number, live=live)
            filters["trial"] = number
        if live:
            code, is_empty = _live(job, records, filters, timeout=timeout, as_json=as_json)
        else:
            code, is_empty = Exit.OK, _stored(job, records, filters, as_json=as_json)
        if is_empty and number is not None and code is Exit.OK:
            _explain(job, number, filtered=filters.keys() > {"trial"})
        return code


def _explain(job: Job, number: int, *, filtered: bool) -> None:
    """Raise the error of a trial without records, unless a filter has left them out."""
    error = trials.without_records(job.document(), number, filtered=filtered)
    if error is not None:
        raise error


def _stored(job: Job, records: Records, filters: dict[str, Any], *, as_json: bool) -> bool:
    """Print the records that exist. Return True if there are none."""
    is_empty = True
    for record in job.log(**filters):
        text = json.dumps(record.raw, ensure_ascii=False) if as_json else records.text(record)
        click.echo(text, color=True)
        is_empty = False
    return is_empty


def _live(
    job: Job, records: Records, filters: dict[str, Any], *, timeout: float | None, as_json: bool
) -> tuple[Exit, bool]:
    """Print the log until its end. Return the exit code, and True if there were no records."""
    is_empty = True
    try:
        for event in job.follow(states=False, timeout=timeout, **filters):
            is_empty = is_empty and not isinstance(event, Log)
            if as_json:
                click.echo(lines.as_json(event))
                continue
            match event:
                case Log():
                    click.echo(records.text(event), color=True)
                case Gap():
                    click.echo(lines.gap_line(event), err=True)
                case Lagged():
                    click.echo(lines.lagged_line(event), err=True)
    except KeyboardInterrupt:
        click.echo(followed.how_to_return(job.id), err=True)
        return Exit.INTERRUPTED, is_empty
    return Exit.OK, is_empty
