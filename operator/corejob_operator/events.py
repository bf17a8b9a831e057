"""Kubernetes Events (events.k8s.io/v1) about CoreJobs and templates, as `kubectl describe` shows.

They tell of what changes the state, and of problems: an ordinary job has one of its start and one
of its end. The reason for which it waits is in the status only.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from corejob import names, timestamps
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.state import State

MISSED: Final = "MissSchedule"
"""Reason of the Event about missed times of a schedule, as of a CronJob."""
_MOST_NAME: Final = 230
_MOST_NOTE: Final = 1024
"""Maximum bytes of a note (Kubernetes: "note … maximal length is 1kB")."""
_WARNING_STATES: Final = frozenset({State.ERROR, State.FAILED, State.KILLED, State.INACTIVE})
_WARNING_REASONS: Final = frozenset(
    {
        Reason.FAILED_CREATE,
        Reason.UNSCHEDULABLE,
        Reason.FAILED_MOUNT,
        Reason.IMAGE_PULL,
        Reason.CONTAINER_ERROR,
        Reason.POD_REJECTED,
        Reason.EVICTED,
        Reason.NODE_LOST,
        Reason.TEMPLATE_NOT_FOUND,
        Reason.DUPLICATE,
    }
)


def transition(job: CoreJob, status: Status, now: datetime, instance: str) -> dict[str, Any] | None:
    """Return the Event about a status write; None if it changed no state and tells no problem."""
    before = job.status
    moved = status.state is not before.state
    problem = status.reason in _WARNING_REASONS and status.reason != before.reason
    if not moved and not problem:
        return None
    reason = status.reason or str(status.state).capitalize()
    warning = reason in _WARNING_REASONS or status.state in _WARNING_STATES
    note = _note(status)
    return event(job, reason, note, now, instance=instance, warning=warning, action="Reconcile")


def refusal(job: CoreJob, status: Status, now: datetime, instance: str) -> dict[str, Any] | None:
    """Return the Warning Event about a refused Job; None if the last one said the same."""
    if status.message == job.status.message:
        return None
    reason, note = str(status.reason), _note(status)
    return event(job, reason, note, now, instance=instance, warning=True, action="Reconcile")


def _note(status: Status) -> str:
    text = f"{status.state}, trial {status.trial}"
    return f"{text}: {status.message}" if status.message else text


def event(
    job: CoreJob,
    reason: str,
    note: str,
    now: datetime,
    *,
    instance: str,
    warning: bool,
    action: str,
) -> dict[str, Any]:
    """Return an Event regarding a CoreJob."""
    regarding = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_JOB,
        "name": job.name,
        "namespace": job.namespace,
        "uid": job.uid,
        "resourceVersion": job.resource_version,
    }
    return _event(regarding, reason, note, now, instance=instance, warning=warning, action=action)


def template_warning(
    body: Mapping[str, Any], reason: str, note: str, now: datetime, *, instance: str
) -> dict[str, Any]:
    """Return a Warning Event regarding a CoreJobTemplate."""
    meta = body["metadata"]
    regarding = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_TEMPLATE,
        **{key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion")},
    }
    return _event(regarding, reason, note, now, instance=instance, warning=True, action="Reconcile")


def _event(
    regarding: Mapping[str, Any],
    reason: str,
    note: str,
    now: datetime,
    *,
    instance: str,
    warning: bool,
    action: str,
) -> dict[str, Any]:
    # A template's name may use the full length of an Event's name: leave room for the suffix.
    name = f"{regarding['name'][:_MOST_NAME].rstrip('.-')}.{secrets.token_hex(8)}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": regarding["namespace"]},
        "eventTime": timestamps.render(now),
        "reportingController": "core4.io/operator",
        "reportingInstance": instance,
        "action": action,
        "reason": reason,
        "regarding": regarding,
        "note": note.encode()[:_MOST_NOTE].decode(errors="ignore"),
        "type": "Warning" if warning else "Normal",
    }
