"""The job document of the REST API (docs/rest.md), rendered from a CoreJob."""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from corejob import timestamps
from corejob.model import CoreJob
from corejob.names import KILLED_EXCEPTION
from corejob.properties import TABLE
from corejob.state import FINAL, WAITING, State, highstate

TIMED: Final = frozenset({"age", "runtime"})
"""Fields that change with time alone."""

_Render = Callable[[CoreJob, datetime], Any]


def document(job: CoreJob, now: datetime) -> dict[str, Any]:
    """Return the job document, the same for listings, details, `state` frames and the journal.

    Args:
        job: The CoreJob.
        now: End of the spans `age` and, for a running trial, `runtime`.

    Returns:
        The document without `journal`, which only a detail has. Times are UTC text without offset.
    """
    return {name: render(job, now) for name, render in _FIELDS.items()}


@lru_cache(256)
def part_of(names: frozenset[str]) -> Callable[[CoreJob, datetime], dict[str, Any]]:
    """Return a function that renders some fields of the job document, without the cost of all.

    Args:
        names: Names of the fields; unknown ones are left out.

    Returns:
        A function with the arguments of `document`.
    """
    renders = [(name, _FIELDS[name]) for name in names if name in _FIELDS]
    if len(renders) == 1:
        [(only, render_only)] = renders
        return lambda job, now: {only: render_only(job, now)}
    return lambda job, now: {name: render(job, now) for name, render in renders}


def state_key(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a document whose change makes a new `state` frame.

    That is all but the fields that change with time.
    """
    return {name: value for name, value in document.items() if name not in TIMED}


def _progress(job: CoreJob) -> dict[str, Any]:
    if job.status.state is State.COMPLETE:
        return {"value": 1.0, "message": ""}
    return {"value": job.progress.value, "message": job.progress.message}


def _enqueued(job: CoreJob) -> dict[str, Any]:
    enqueued = {
        "at": timestamps.iso(job.enqueued_at),
        "hostname": job.spec.get("hostname"),
        "username": job.spec.get("username"),
        "parent_id": job.spec.get("parentId"),
    }
    if job.child_id is not None:
        enqueued["child_id"] = job.child_id
    return enqueued


def _locked(job: CoreJob) -> dict[str, Any] | None:
    """Return `locked`: node and pod in place of core4's worker and process; the PID is always 1.

    It is None unless the job runs.
    """
    if job.state is not State.RUNNING:
        return None
    beat = max(filter(None, (job.status.start_time, job.progress.time)), default=None)
    return {
        "at": timestamps.iso(job.status.start_time),
        "heartbeat": timestamps.iso(beat),
        "hostname": job.status.node,
        "worker": job.status.pod,
        "pid": 1,
    }


def _flags(job: CoreJob) -> dict[str, bool]:
    return {
        "zombie": job.status.zombie_time is not None,
        "killed": job.kill,
        "removed": job.remove,
        "nonstop": job.status.nonstop_time is not None,
    }


def _age(job: CoreJob, now: datetime) -> float:
    return max(0.0, (now - job.enqueued_at).total_seconds())


def _runtime(job: CoreJob, now: datetime) -> float | None:
    ended = job.status.runtime_seconds
    if job.status.state is State.RUNNING and job.status.start_time is not None:
        return (ended or 0.0) + max(0.0, (now - job.status.start_time).total_seconds())
    return ended


def _last_error(job: CoreJob) -> dict[str, Any] | None:
    """Return `last_error`; a job that is marked killed has that error before its pod is gone."""
    error = job.status.last_error
    if job.state is State.KILLED and job.status.state not in FINAL:
        return {"exception": KILLED_EXCEPTION, "timestamp": None, "traceback": None}
    # A merge patch drops the nulls inside a status: add the null traceback again.
    return {"traceback": None, **error} if error else None


def _waiting(job: CoreJob) -> dict[str, Any] | None:
    """Return `waiting`; None unless clients see the job as one that waits."""
    waiting = job.status.waiting
    if waiting is None or job.state not in WAITING or not job.in_queue:
        return None
    return {
        "reason": waiting.reason,
        "position": waiting.position,
        "running": waiting.running,
        "limit": waiting.limit,
        "until": timestamps.iso(waiting.until),
        "since": timestamps.iso(waiting.since),
    }


def _property(field: str) -> _Render:
    return lambda job, _: job.spec[field]


_FIELDS: Final[dict[str, _Render]] = {
    "_id": lambda job, _: job.id,
    "name": lambda job, _: job.qual_name,
    "qual_name": lambda job, _: job.qual_name,
    "args": lambda job, _: job.args,
    "state": lambda job, _: str(job.state),
    "highstate": lambda job, _: highstate(job.state),
    "flag": lambda job, _: _flags(job),
    "prog": lambda job, _: _progress(job),
    **{prop.rest: _property(prop.field) for prop in TABLE},
    "attempts_left": lambda job, _: job.status.attempts_left,
    "trial": lambda job, _: job.status.trial,
    "chain": lambda _, __: [],
    "dependency": lambda _, __: [],
    "enqueued": lambda job, _: _enqueued(job),
    "locked": lambda job, _: _locked(job),
    "started_at": lambda job, _: timestamps.iso(job.status.start_time),
    "finished_at": lambda job, _: timestamps.iso(job.status.finish_time),
    "runtime": _runtime,
    "query_at": lambda job, _: timestamps.iso(job.status.query_time),
    "inactive_at": lambda job, _: timestamps.iso(job.status.inactive_time),
    "killed_at": lambda job, _: timestamps.iso(job.status.killed_time),
    "removed_at": lambda job, _: timestamps.iso(job.status.removed_time),
    "wall_at": lambda job, _: timestamps.iso(job.status.nonstop_time),
    "zombie_at": lambda job, _: timestamps.iso(job.status.zombie_time),
    "last_error": lambda job, _: _last_error(job),
    "sources": lambda job, _: list(job.sources),
    "sources_dropped": lambda job, _: job.sources_dropped,
    "age": _age,
    "reason": lambda job, _: job.status.reason,
    "message": lambda job, _: job.status.message,
    "waiting": lambda job, _: _waiting(job),
}
"""The fields of the document, in its order."""

NAMES: Final = frozenset(_FIELDS)
"""The names of the fields."""
