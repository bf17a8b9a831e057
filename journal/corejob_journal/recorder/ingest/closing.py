"""The closing record of a trial whose runtime had no time to write one (see docs/rest.md)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from corejob.model import CoreJob
from corejob.observation import Observation
from corejob.state import State
from corejob.trial import observe
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.store.records import NewRecord

_LEVELS = {State.COMPLETE: 20, State.DEFERRED: 20, State.KILLED: 40}
_CRITICAL = 50


def closing_record(pod: JobPod, job: CoreJob | None, *, now: datetime, epoch: float) -> NewRecord:
    """Return `done execution with [<state>] after [<n>] sec.`, as the runtime would write it.

    Args:
        pod: The last known state of the pod.
        job: The pod's CoreJob, if it still exists.
        now: The time to use in place of unknown times.
        epoch: Time of the last record in seconds since the epoch, the earliest time of this one.
    """
    observation = observe(None, [pod.child], now=now)
    state = _state(pod, job, observation)
    began = pod.child.started_at or now
    ended = max(pod.child.ended_at or now, began)
    left = (
        max(0, pod.attempts_left - 1) if observation.outcome is State.FAILED else pod.attempts_left
    )
    text = _first(state, began, ended)
    text += _rest(state, observation.last_error, observation.message, left, _time_left(job, ended))
    return _record(state, text, ended, epoch)


def closing_record_of(job: CoreJob, *, now: datetime, epoch: float) -> NewRecord:
    """Return the closing record of an ended trial whose pod is gone, from the CoreJob's status."""
    status = job.status
    killed = status.state is State.PENDING or (job.stop and status.state is not State.COMPLETE)
    over = State.KILLED if killed else status.state
    began = status.start_time or now
    ended = max(status.end_time or status.killed_time or now, began)
    text = _first(over, began, ended)
    left, time_left = status.attempts_left, _time_left(job, ended)
    text += _rest(over, status.last_error, status.message, left, time_left)
    return _record(over, text, ended, epoch)


def _first(state: State, began: datetime, ended: datetime) -> str:
    return f"done execution with [{state}] after [{int((ended - began).total_seconds())}] sec."


def _rest(
    state: State,
    last_error: Mapping[str, Any] | None,
    message: str | None,
    attempts_left: int,
    time_left: str,
) -> str:
    error = last_error or {}
    exception = error.get("exception") or message or "unknown"
    if state is State.DEFERRED:
        return f" and [{time_left}] to go: {exception}"
    if state not in {State.FAILED, State.ERROR}:
        return ""
    trace = "".join(f"\n{line.rstrip()}" for line in error.get("traceback") or ())
    return f" and [{attempts_left}] attempts to go: {exception}{trace}"


def _record(state: State, text: str, ended: datetime, epoch: float) -> NewRecord:
    return NewRecord(None, max(epoch, ended.timestamp()), _LEVELS.get(state, _CRITICAL), text)


def _state(pod: JobPod, job: CoreJob | None, observation: Observation) -> State:
    """Return the state in which the trial ended.

    A pod that was deleted while it ran, or disrupted, counts as killed: the trial may run again,
    but this run did not end by itself.
    """
    if observation.outcome is State.COMPLETE:
        return State.COMPLETE
    if (job is not None and job.stop) or observation.outcome in {None, State.KILLED, State.PENDING}:
        return State.KILLED
    if observation.outcome is State.FAILED:
        return State.FAILED if pod.attempts_left > 1 else State.ERROR
    return observation.outcome


def _time_left(job: CoreJob | None, ended: datetime) -> str:
    until = job.status.inactive_time if job is not None else None
    seconds = max(0, int((until - ended).total_seconds())) if until is not None else 0
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
