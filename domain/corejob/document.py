"""The job document of the REST API (docs/rest.md), rendered from a CoreJob."""

from datetime import datetime
from typing import Any

from corejob import timestamps
from corejob.model import CoreJob
from corejob.names import KILLED_EXCEPTION
from corejob.properties import TABLE
from corejob.state import FINAL, State, highstate


def document(job: CoreJob, now: datetime) -> dict[str, Any]:
    """Return the job document, the same for listings, details, `state` frames and the journal.

    Args:
        job: The CoreJob.
        now: End of the spans `age` and, for a running trial, `runtime`.

    Returns:
        The document without `journal`, which only a detail has. Times are UTC text without offset.
    """
    state, status, spec = job.state, job.status, job.spec
    properties = {prop.rest: spec[prop.field] for prop in TABLE}
    killed_time = status.killed_time
    return {
        "_id": job.id,
        "name": job.qual_name,
        "qual_name": job.qual_name,
        "args": dict(job.args),
        "state": str(state),
        "highstate": highstate(state),
        "flag": {
            "zombie": status.zombie_time is not None,
            "killed": job.kill,
            "removed": job.remove,
            "nonstop": status.nonstop_time is not None,
        },
        "prog": _progress(job),
        **properties,
        "attempts_left": status.attempts_left,
        "trial": status.trial,
        "chain": [],
        "dependency": [],
        "enqueued": _enqueued(job),
        "locked": _locked(job) if state is State.RUNNING else None,
        "started_at": timestamps.iso(status.start_time),
        "finished_at": timestamps.iso(status.finish_time),
        "runtime": _runtime(job, now),
        "query_at": timestamps.iso(status.query_time),
        "inactive_at": timestamps.iso(status.inactive_time),
        "killed_at": timestamps.iso(killed_time),
        "removed_at": timestamps.iso(status.removed_time),
        "wall_at": timestamps.iso(status.nonstop_time),
        "zombie_at": timestamps.iso(status.zombie_time),
        "last_error": _last_error(job),
        "sources": list(job.sources),
        "sources_dropped": job.sources_dropped,
        "age": max(0.0, (now - job.enqueued_at).total_seconds()),
        "reason": status.reason,
        "message": status.message,
    }


def state_key(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a document whose change makes a new `state` frame.

    That is all but `age` and `runtime`, which change with time.
    """
    return {name: value for name, value in document.items() if name not in {"age", "runtime"}}


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


def _locked(job: CoreJob) -> dict[str, Any]:
    """Return `locked`: node and pod in place of core4's worker and process; the PID is always 1."""
    beat = max(filter(None, (job.status.start_time, job.progress.time)), default=None)
    return {
        "at": timestamps.iso(job.status.start_time),
        "heartbeat": timestamps.iso(beat),
        "hostname": job.status.node,
        "worker": job.status.pod,
        "pid": 1,
    }


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
