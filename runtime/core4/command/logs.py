"""`logs`: show the log of a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from core4.client.results import Gap, Lagged, Log
from core4.command import completing, connection, followed, ids, lines
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
@record_options
@click.option("--timeout", type=Span(), help="Give up after this time, with -f.")
@click.option("-o", "--output", "form", type=click.Choice(["log", "jsonl"]), default="log",
              show_default=True, help="Text, or one JSON object a line.")  # fmt: skip
def logs_command(*, text: str, live: bool, timeout: float | None, form: str, **how: Any) -> int:
    """Show a log."""
    records, as_json = Records(look_of(how)), form == "jsonl"
    with connection.current().client() as client:
        (job_id,) = ids.resolve(client, [text])
        job = client.job(job_id)
        if live:
            return _live(job, records, filters_of(how), timeout=timeout, as_json=as_json)
        for record in job.log(**filters_of(how)):
            text = json.dumps(record.raw, ensure_ascii=False) if as_json else records.text(record)
            click.echo(text, color=True)
        return Exit.OK


def _live(
    job: Job, records: Records, filters: dict[str, Any], *, timeout: float | None, as_json: bool
) -> int:
    try:
        for event in job.follow(states=False, timeout=timeout, **filters):
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
        return Exit.INTERRUPTED
    return Exit.OK
