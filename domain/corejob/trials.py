"""The list of a job's trials, `status.trials`: one entry for each run of a pod, oldest first.

Entries are kept as the JSON of the resource, since most readers of a CoreJob don't need them:
`{trial, state, reason, exitCode, startTime, endTime, node, pod}`, without what is unknown. The
entry of a running trial has no end and no reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from corejob import timestamps
from corejob.model import Status
from corejob.names import Reason
from corejob.state import FINAL, State

MOST_ENTRIES: Final = 50
"""Maximum number of entries; the oldest ones are dropped."""

_TIMES: Final = {"startTime": "started_at", "endTime": "finished_at"}
_FIELDS: Final = {
    "trial": "trial",
    "state": "state",
    "reason": "reason",
    "exitCode": "exit_code",
    **_TIMES,
    "node": "node",
    "pod": "pod",
}
"""Fields of an entry, and their names in the REST API."""


def with_trials(before: Status, after: Status, now: datetime) -> Status:
    """Return the next status with its list of trials.

    Start and end of a run are often told by one status, so both are found by comparing two.
    A pod whose containers never ran is no run, and so is a trial that can never start.

    Args:
        before: The status as it is stored.
        after: The next one.
        now: The end of a run that has no time of its own.
    """
    trials = before.trials
    if after.state is State.RUNNING:
        if before.state is not State.RUNNING:
            trials = (*trials, _entry(after, known=True, end=None))
    elif before.state is State.RUNNING:
        # Without an open entry, an operator of an earlier version wrote the start.
        is_open = bool(trials) and "endTime" not in trials[-1]
        closed = _entry(after, known=True, end=after.end_time or now)
        trials = (*(trials[:-1] if is_open else trials), closed)
    else:
        known = (after.start_time, after.pod) != (before.start_time, before.pod)
        counted = after.trial > before.trial and after.carried_trials == before.carried_trials
        if known or counted:
            ended = after.end_time if after.end_time != before.end_time else None
            trials = (*trials, _entry(after, known=known, end=ended or now))
    return after if trials is after.trials else replace(after, trials=trials[-MOST_ENTRIES:])


def _entry(status: Status, *, known: bool, end: datetime | None) -> Mapping[str, Any]:
    """Return an entry.

    Args:
        status: The status at the start or the end of the run.
        known: True if start and pod of the status are those of the run; else only the log tells
            that there was one.
        end: The end of the run; None for one that goes on.
    """
    entry = {
        "trial": status.trial,
        "state": str(status.state),
        "reason": None if end is None else status.reason,
        "exitCode": status.exit_code,
        "startTime": timestamps.render(status.start_time) if known else None,
        "endTime": timestamps.render(end),
        "node": status.node if known else None,
        "pod": status.pod if known else None,
    }
    return {name: value for name, value in entry.items() if value is not None}


def listed(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return entries as the REST API shows them: with all fields, and times without offset."""
    return [_listed(entry) for entry in entries]


def has_ended(status: Status, trial: int) -> bool:
    """True if a trial has ended for good; one that is suspended goes on."""
    if status.trial != trial or status.state in FINAL:
        return status.trial >= trial or status.state in FINAL
    last = status.trials[-1] if status.trials else {}
    suspended = status.state is State.PENDING and last.get("reason") == Reason.SUSPENDED
    return status.state is not State.RUNNING and not suspended


def _listed(entry: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: entry.get(field) for field, name in _FIELDS.items()}
    for field, name in _TIMES.items():
        shown[name] = timestamps.iso(timestamps.lenient(entry.get(field)))
    return shown
