"""The trials of a job: the columns of their table, and the choice of one for `logs`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from core4.client.errors import Core4Error
from core4.client.results import JobDocument, Trial
from core4.command import times
from core4.command.output import Column, style_of_state


class NoTrialError(Core4Error):
    """The job has no such trial, or the trial has no records."""


def columns() -> list[Column[Trial]]:
    """Return the columns of a table of trials; a trial that lasts has run until now."""
    now = datetime.now(UTC)
    time = times.local if sys.stdout.isatty() else times.iso
    return [
        Column("TRIAL", lambda trial: str(trial.trial)),
        Column("STATE", lambda trial: trial.state, style=lambda trial: style_of_state(trial.state)),
        Column("REASON", lambda trial: trial.reason or ""),
        Column("EXIT", lambda trial: "" if trial.exit_code is None else str(trial.exit_code)),
        Column("STARTED", lambda trial: time(trial.started_at)),
        Column("RUNTIME", lambda trial: _runtime(trial, now)),
        Column("NODE", lambda trial: trial.node or ""),
        Column("POD", lambda trial: trial.pod or ""),
        Column("RECORDS", _records),
    ]


def _runtime(trial: Trial, now: datetime) -> str:
    if trial.started_at is None:
        return ""
    return times.span(((trial.finished_at or now) - trial.started_at).total_seconds())


def _records(trial: Trial) -> str:
    return "" if trial.log_from is None else f"{trial.log_from}-{trial.log_to}"


def check(job: JobDocument, number: int, *, live: bool) -> None:
    """Check that a trial has begun; for a live log it may also be the next one.

    Raises:
        NoTrialError: The job has no such trial.
    """
    newest = job.trial or 0
    if number <= newest or (live and number == newest + 1 and not job.is_final):
        return
    known = f"its newest is {newest}" if newest else "it has not started"
    if job.trials:
        known = f"its trials: {_numbers(job.trials)}"
    raise NoTrialError(f"job {job.id} has no trial {number}; {known}")


def without_records(job: JobDocument, number: int, *, filtered: bool) -> NoTrialError | None:
    """Return the error of a trial without any record; None if it may have some.

    Args:
        job: The job.
        number: The trial, no record of which passed.
        filtered: True if other filters have left records out.
    """
    own = [trial for trial in job.trials if trial.trial == number]
    if any(trial.log_from is not None for trial in own) or (filtered and not own):
        return None
    text = f"trial {number} of job {job.id} has no records"
    if any(trial.state == "running" for trial in own):
        text += " yet; -f waits for them"
    written = [trial for trial in job.trials if trial.log_from is not None]
    if written:
        text += f"; trials with records: {_numbers(written)}"
    return NoTrialError(text)


def _numbers(trials: Iterable[Trial]) -> str:
    return ", ".join(map(str, sorted({trial.trial for trial in trials})))
