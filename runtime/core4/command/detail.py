"""`get`: show jobs in full."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

import click

from core4.client.results import JobDocument, Waiting
from core4.command import (
    completing,
    connection,
    documents,
    ids,
    lines,
    output,
    terminal,
    times,
    trials,
)
from core4.command.app import command
from core4.command.output import Format

_TITLE = 12


@command("get", "Show jobs in full: why they wait, how they ended, what you may do, their trials.")
@click.argument("texts", metavar="ID…", nargs=-1, required=True, shell_complete=completing.job_ids)
@output.options
def get_command(*, texts: tuple[str, ...], form: str, headers: bool, quiet: bool) -> None:
    """Show jobs."""
    shape = Format.NAME if quiet else Format(form)
    with connection.current().client() as client:
        job_ids = ids.resolve(client, texts)
        found = [client.job(job_id).document() for job_id in job_ids]
    if shape is Format.TABLE:
        colour = terminal.has_colour(connection.current(), sys.stdout)
        click.echo("\n\n".join("\n".join(_described(job)) for job in found), color=colour)
    elif len(found) == 1 and shape in {Format.JSON, Format.YAML}:
        output.write_one(found[0].raw, shape)
    else:
        output.write(
            found,
            documents.columns(),
            form=shape,
            name=lambda job: job.id,
            raw=lambda job: job.raw,
            headers=headers,
        )


def _described(job: JobDocument) -> Iterator[str]:
    """Yield the lines of a job, the answers to the first questions first."""
    time = times.local if sys.stdout.isatty() else times.iso
    pairs = {
        "Job": job.id,
        "Name": job.qual_name,
        "State": lines.state_line(job),
        "Waiting": _waiting(job.waiting, time) if job.waiting is not None else "",
        "Progress": lines.status(job) if job.state == "running" else "",
        "Trial": f"{job.trial or 0}, {job.attempts_left} of {job.attempts} attempts left",
        "Args": json.dumps(job.args, ensure_ascii=False) if job.args is not None else "",
        "Enqueued": f"{time(job.enqueued.at)} by {job.enqueued.username or 'unknown'}",
        "Started": time(job.started_at),
        "Finished": time(job.finished_at),
        "Next trial": time(job.query_at) if job.state in {"failed", "deferred"} else "",
        "Runtime": times.span(job.runtime) if job.runtime is not None else "",
        "Node": (job.locked.hostname or "") if job.locked else "",
        "Pod": (job.locked.worker or "") if job.locked else "",
        "Parent": job.enqueued.parent_id or "",
        "Restarted as": job.enqueued.child_id or "",
        "Sources": ", ".join(job.sources),
        "Not now": "; ".join((job.cannot or {}).values()),
    }
    for title, text in pairs.items():
        if text:
            yield f"{title + ':':<{_TITLE}} {terminal.one_line(text)}"
    if job.last_error is not None and job.last_error.traceback:
        yield "Last error:"
        for line in "".join(job.last_error.traceback).splitlines():
            yield f"  {terminal.clean(line)}"
    if job.trials:
        yield "Trials:"
        yield from output.table(job.trials, trials.columns())


def _waiting(waiting: Waiting, time: Callable[[datetime | None], str]) -> str:
    """Return since when a job waits, and its place in line if it has one."""
    since = f"since {time(waiting.since)}"
    if waiting.position is None:
        return since
    return f"{since}, number {waiting.position} in line, {waiting.running} of {waiting.limit} run"
