"""The columns of a job, common to all listings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

from core4.client.results import JobDocument
from core4.command import times
from core4.command.output import Column, style_of_state


def columns() -> list[Column[JobDocument]]:
    """Return the columns of a listing of jobs; times are relative at a terminal only."""
    now = datetime.now(UTC)

    def time(of: Callable[[JobDocument], datetime | None]) -> Callable[[JobDocument], str]:
        if sys.stdout.isatty():
            return lambda document: times.ago(of(document), now)
        return lambda document: times.iso(of(document))

    return [
        Column("ID", lambda job: job.id),
        Column("NAME", lambda job: job.qual_name),
        Column("STATE", state, style=lambda job: style_of_state(job.state)),
        Column("TRIAL", lambda job: str(job.trial or 0), wide=True),
        Column("PROGRESS", progress),
        Column("ENQUEUED", time(lambda job: job.enqueued.at)),
        Column("STARTED", time(lambda job: job.started_at), wide=True),
        Column("FINISHED", time(lambda job: job.finished_at), wide=True),
        Column("RUNTIME", lambda job: "" if job.runtime is None else times.span(job.runtime)),
        Column("USER", lambda job: job.enqueued.username or "", wide=True),
        Column("NODE", lambda job: (job.locked.hostname or "") if job.locked else "", wide=True),
        Column("REASON", lambda job: job.reason or ""),
        Column("MESSAGE", lambda job: job.message or "", wide=True),
    ]


def state(job: JobDocument) -> str:
    """Return a job's state, with the mark of a removal that waits for the trial's end."""
    return f"{job.state} (removed)" if job.is_removed and job.journal is not True else job.state


def progress(job: JobDocument) -> str:
    """Return a running job's progress in per cent, or an empty text."""
    return f"{job.prog.value:.0%}" if job.state == "running" and job.prog.value else ""
