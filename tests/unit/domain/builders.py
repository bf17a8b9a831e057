"""CoreJobs, Jobs and pods as the API server returns them, and as values of the domain."""

from datetime import UTC, datetime, timedelta
from typing import Any

from corejob import children, model, names, timestamps

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ID = "6743aaaaaaaaaaaaaaaaaaaa"
CREATED = "2026-11-24T11:00:00Z"
UID = "0b1c2d3e-0000-4000-8000-000000000001"


def at(seconds: float) -> datetime:
    """Return a time, in seconds from `NOW`."""
    return NOW + timedelta(seconds=seconds)


def at_text(seconds: float) -> str:
    """Return the same time as text of a resource."""
    text = timestamps.render(at(seconds))
    assert text is not None
    return text


def corejob_body(
    *,
    name: str = ID,
    status: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a CoreJob's JSON."""
    body: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_JOB,
        "metadata": {
            "name": name,
            "namespace": "jobs",
            "uid": UID,
            "resourceVersion": "7",
            "generation": 2,
            "creationTimestamp": CREATED,
            "finalizers": [names.FINALIZER],
            **(metadata or {}),
        },
        "spec": {"qualName": "a.Job", **spec},
    }
    if status is not None:
        body["status"] = status
    return body


def corejob(**more: Any) -> model.CoreJob:
    """Return a CoreJob as a value; arguments as of `corejob_body`."""
    return model.parse(corejob_body(**more))


def running(**spec: Any) -> model.CoreJob:
    """Return a job whose first trial started ten seconds ago."""
    status = {"state": "running", "trial": 1, "startTime": at_text(-10), "reason": "Running"}
    status |= spec.pop("status", {})
    return corejob(status=status, **spec)


def batch_job(
    *,
    conditions: list[dict[str, Any]] | None = None,
    deleting: bool = False,
    suspended: bool = False,
    number: int = 1,
    created: datetime | None = None,
) -> children.JobChild:
    """Return the batch/v1 Job of a trial."""
    meta = _child_meta(f"{ID}-{number}", number, deleting=deleting)
    if created is not None:
        meta["creationTimestamp"] = timestamps.render(created)
    body = {
        "metadata": meta,
        "spec": {"suspend": suspended},
        "status": {"conditions": conditions or []},
    }
    return children.parse_job(body)


def condition(kind: str, reason: str = "", message: str = "", *, status: str = "True") -> Any:
    """Return a condition of a Job or pod."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def pod_body(
    *,
    state: dict[str, Any] | None = None,
    phase: str = "Running",
    conditions: list[dict[str, Any]] | None = None,
    deleting: bool = False,
    name: str = f"{ID}-1-x7k2p",
    created: str = CREATED,
    **status: Any,
) -> dict[str, Any]:
    """Return a pod's JSON. `state` is that of the container `job`; None: no container status."""
    statuses = [] if state is None else [{"name": "job", "state": state}]
    return {
        "metadata": _child_meta(name, 1, deleting=deleting) | {"creationTimestamp": created},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "containerStatuses": statuses,
            "conditions": conditions or [],
            **status,
        },
    }


def pod(**more: Any) -> children.PodChild:
    """Return a pod as a value; arguments as of `pod_body`."""
    return children.parse_pod(pod_body(**more))


def started() -> dict[str, Any]:
    """Return the state of a running container."""
    return {"running": {"startedAt": at_text(-10)}}


def ended(code: int, *, reason: str = "Error", message: str | None = None) -> dict[str, Any]:
    """Return the state of a container that has ended."""
    told = {} if message is None else {"message": message}
    times = {"startedAt": at_text(-10), "finishedAt": at_text(-3)}
    return {"terminated": {"exitCode": code, "reason": reason, **times, **told}}


def waiting(reason: str, message: str | None = None) -> dict[str, Any]:
    """Return the state of a container that has not started."""
    told = {} if message is None else {"message": message}
    return {"waiting": {"reason": reason, **told}}


def _child_meta(name: str, number: int, *, deleting: bool) -> dict[str, Any]:
    """Return the metadata of a Job or of a pod, which is named `<corejob>-<trial>-x7k2p`."""
    job_name = "-".join(name.split("-")[:2])
    owner = {"controller": True, "kind": "CoreJob", "name": ID, "uid": UID}
    if name != job_name:
        owner = {"controller": True, "kind": "Job", "name": job_name, "uid": f"uid-{job_name}"}
    meta: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "ownerReferences": [owner],
        "annotations": {names.ANNOTATION_ID: ID},
        "creationTimestamp": CREATED,
        "labels": {names.LABEL_COREJOB: ID, names.LABEL_TRIAL: str(number)},
    }
    if not deleting:
        return meta
    # The deletion was requested five seconds ago.
    return meta | {"deletionTimestamp": at_text(5), "deletionGracePeriodSeconds": 10}
