"""`trials` of a job's detail: its trials, with their places in the log (docs/rest.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

from corejob.trials import listed
from corejob_api.query import log_rows
from corejob_api.query.ordering import Row
from corejob_journal.store import Store, StoreUnavailable, TrialLog


async def with_logs(store: Store, job_id: str, entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the trials of a job with the `_id`s of their first and last records.

    Those are null without records, and while the store is away: the rest of a detail is known.

    Args:
        store: The store.
        job_id: The job.
        entries: Its `status.trials`.
    """
    if not entries:
        return []
    try:
        logs = await store.trial_logs(job_id)
    except StoreUnavailable:
        logs = []
    numbers = [entry["trial"] for entry in entries]
    return [
        row | _place(row, logs, alone=numbers.count(row["trial"]) == 1) for row in listed(entries)
    ]


def _place(row: Row, logs: Sequence[TrialLog], *, alone: bool) -> Row:
    """Return the place of one entry.

    Args:
        row: The entry.
        logs: The parts of the log.
        alone: True if no other entry is of the same trial; else only the log of its pod counts.
    """
    own = [log for log in logs if log.trial == row["trial"] and (alone or log.pod == row["pod"])]
    first = min((log.first_seq for log in own if log.first_seq is not None), default=None)
    last = max((log.last_seq for log in own if log.last_seq is not None), default=None)
    return {
        "log_from": None if first is None else log_rows.number(first),
        "log_to": None if last is None else log_rows.number(last),
    }
