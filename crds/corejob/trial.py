"""What became of one trial, read off its Job and pod: the causes of death told apart.

Sources: Pod lifecycle and `DisruptionTarget` (Kubernetes API: PodStatus, KEP-3329), Job conditions
(batch/v1 JobStatus), exit codes and termination messages (docs/job-protocol.md).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from corejob import clock
from corejob.names import (
    ANNOTATION_ID,
    EXIT_BAD_DEFINITION,
    EXIT_DEFERRED,
    EXIT_RUNC_INIT,
    EXIT_SIGKILL,
    EXIT_SIGTERM,
    JOB_CONTAINER,
    LABEL_COREJOB,
    LABEL_TRIAL,
    Reason,
)
from corejob.state import State

PULL_TROUBLE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"}
)
"""Waiting reasons of the kubelet that may pass by themselves."""
_BIRTH_S: Final = 10
"""A loaded node takes seconds to put the container's program in the place of runc."""
BAD_IMAGE: Final = frozenset({"InvalidImageName", "ImageInspectError"})
"""Waiting reasons that never pass."""
CREATE_TROUBLE: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)


@dataclass(frozen=True, slots=True)
class JobChild:
    """What matters of a batch/v1 Job. `failed`/`complete`: its conditions, reason and message.

    Attributes:
        job_id: The id of the job that it is of: a CoreJob of the same name may be another.
    """

    name: str
    corejob: str
    trial: int
    uid: str
    deleting: bool
    created: datetime
    complete: bool
    failed: bool
    reason: str | None
    message: str | None
    suspended: bool = False
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class PodChild:
    """What matters of a pod.

    Attributes:
        started_at: When the job's container started; None before.
        exit_code: Of the job's container; None while it hasn't ended.
        exit_reason: The kubelet's word for it (`OOMKilled`, `Error`, …).
        termination_message: What the container left there.
        waiting_reason: Why the container hasn't started, with `waiting_message`.
        disruption: Reason of the `DisruptionTarget` condition.
        job_id: The id of the job that it is of: a CoreJob of the same name may be another.
    """

    name: str
    corejob: str
    trial: int
    uid: str
    deleting: bool
    phase: str
    reason: str | None
    message: str | None
    node: str | None
    created: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    termination_message: str | None = None
    waiting_reason: str | None = None
    waiting_message: str | None = None
    unschedulable: str | None = None
    disruption: str | None = None
    disruption_message: str | None = None
    job_id: str | None = None

    @property
    def over(self) -> bool:
        """Whether its containers have ended for good."""
        return self.phase in {"Succeeded", "Failed"} or self.exit_code is not None


def parse_job(body: Mapping[str, Any]) -> JobChild:
    """A batch/v1 Job's JSON as a value."""
    meta = body["metadata"]
    conditions = {
        c["type"]: c
        for c in (body.get("status") or {}).get("conditions") or ()
        if c["status"] == "True"
    }
    # `FailureTarget` comes first; `Failed` only once all pods have ended (KEP-3939).
    failed = conditions.get("Failed") or {}
    return JobChild(
        name=meta["name"],
        corejob=meta["labels"][LABEL_COREJOB],
        trial=int(meta["labels"][LABEL_TRIAL]),
        uid=meta["uid"],
        deleting="deletionTimestamp" in meta,
        created=clock.parse(meta["creationTimestamp"]) or clock.from_epoch(0),
        complete="Complete" in conditions,
        failed=bool(failed),
        reason=failed.get("reason") or (conditions.get("FailureTarget") or {}).get("reason"),
        message=failed.get("message") or (conditions.get("FailureTarget") or {}).get("message"),
        suspended=bool(body.get("spec", {}).get("suspend")),
        job_id=_job_id(meta),
    )


def job_container(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The container status (or container) that is the job: the one of that name, else the first."""
    for status in statuses:
        if status.get("name") == JOB_CONTAINER:
            return status
    return statuses[0] if statuses else {}


def parse_pod(body: Mapping[str, Any]) -> PodChild:
    """A pod's JSON as a value."""
    meta, status = body["metadata"], body.get("status") or {}
    container = job_container(status.get("containerStatuses") or ())
    state = container.get("state") or {}
    ended = state.get("terminated") or {}
    waiting = state.get("waiting") or _init_trouble(status)
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or {}
    disrupted = disruption.get("status") == "True"
    return PodChild(
        name=meta["name"],
        corejob=meta["labels"][LABEL_COREJOB],
        trial=int(meta["labels"][LABEL_TRIAL]),
        uid=meta["uid"],
        deleting="deletionTimestamp" in meta,
        phase=status.get("phase", "Pending"),
        reason=status.get("reason"),
        message=status.get("message"),
        node=body.get("spec", {}).get("nodeName"),
        created=clock.parse(meta["creationTimestamp"]) or clock.from_epoch(0),
        started_at=clock.parse(
            (state.get("running") or {}).get("startedAt") or ended.get("startedAt")
        ),
        ended_at=clock.parse(ended.get("finishedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason"),
        termination_message=ended.get("message"),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        unschedulable=scheduled.get("message") if scheduled.get("status") == "False" else None,
        disruption=disruption.get("reason") if disrupted else None,
        disruption_message=disruption.get("message") if disrupted else None,
        job_id=_job_id(meta),
    )


def _job_id(meta: Mapping[str, Any]) -> str | None:
    found = (meta.get("annotations") or {}).get(ANNOTATION_ID)
    return str(found) if found else None


def _init_trouble(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first init container that can't start holds the job's own one back."""
    for init in status.get("initContainerStatuses") or ():
        waiting = (init.get("state") or {}).get("waiting")
        if waiting:
            return dict(waiting)
    return {}


class Phase(Enum):
    """How far a trial has come."""

    ABSENT = auto()
    STARTING = auto()
    RUNNING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a trial's children say.

    Attributes:
        outcome: For an ended one: `complete`, `failed`, `deferred`, `error` (no attempt used),
            `killed`, or `pending` for a disruption (no attempt used, the trial runs again).
        trouble: For a starting one: whether it can't start as things are.
    """

    phase: Phase
    reason: Reason
    message: str | None = None
    outcome: State | None = None
    last_error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    node: str | None = None
    pod: str | None = None
    trouble: bool = False


def error(exception: str, now: datetime, traceback: list[str] | None = None) -> dict[str, Any]:
    """A `last_error` of the job document (contract section 4)."""
    return {"exception": exception, "timestamp": clock.iso(now), "traceback": traceback}


def observe(job: JobChild | None, pods: Sequence[PodChild], *, now: datetime) -> Observation:
    """What became of a trial.

    Args:
        job: The trial's Job, or None if there is none.
        pods: The trial's pods; with `backoffLimit: 0` there is one, two only while one is replaced.
        now: For the times of what has none of its own.
    """
    pod = max(pods, key=lambda p: p.created, default=None)
    if pod is None:
        return _without_pod(job, now)
    if pod.over:
        return _ended(job, pod, now)
    if pod.started_at is not None:
        reason, message = _while_it_runs(pod, now)
        return Observation(
            Phase.RUNNING, reason, message, started_at=pod.started_at, node=pod.node, pod=pod.name
        )
    return _starting(job, pod, now)


def _while_it_runs(pod: PodChild, now: datetime) -> tuple[Reason, str | None]:
    """Reason and message; of a disruption at once, for its pod may be gone when we look again."""
    if not pod.deleting:
        return Reason.RUNNING, None
    if pod.disruption:
        told = _disrupted(pod, now)
        return told.reason, told.message
    return Reason.TERMINATING, "the pod is being deleted"


def _without_pod(job: JobChild | None, now: datetime) -> Observation:
    if job is None:
        return Observation(Phase.ABSENT, Reason.JOB_DELETED)
    if not job.failed:
        # A complete Job whose pod is gone: somebody cleaned up behind us, it did end well.
        if job.complete:
            return Observation(
                Phase.ENDED,
                Reason.COMPLETED,
                outcome=State.COMPLETE,
                started_at=job.created,
                ended_at=now,
            )
        text = "the Job is suspended" if job.suspended else "waiting for the pod"
        return Observation(Phase.STARTING, Reason.STARTING, text)
    if job.reason == "DeadlineExceeded":
        return _deadline(job, None, now)
    if job.reason == "PodFailurePolicy":
        return Observation(
            Phase.ENDED, Reason.NODE_LOST, job.message, outcome=State.PENDING, ended_at=now
        )
    return Observation(
        Phase.ENDED,
        Reason.POD_DELETED,
        "the pod was deleted by somebody else",
        outcome=State.KILLED,
        last_error=error("JobKilledByWorker", now),
        ended_at=now,
    )


def _starting(job: JobChild | None, pod: PodChild, now: datetime) -> Observation:
    if pod.deleting:
        lost = job is None or job.deleting
        reason = Reason.JOB_DELETED if lost else Reason.POD_DELETED
        if pod.disruption:
            return _disrupted(pod, now)
        return Observation(Phase.STARTING, reason, "the pod is being deleted", pod=pod.name)
    if pod.unschedulable is not None:
        return Observation(
            Phase.STARTING, Reason.UNSCHEDULABLE, pod.unschedulable, pod=pod.name, trouble=True
        )
    text = pod.waiting_message or pod.waiting_reason or "waiting for the pod"
    if pod.waiting_reason in PULL_TROUBLE | BAD_IMAGE:
        text = f"{pod.waiting_reason}: {pod.waiting_message or 'the image can not be pulled'}"
        bad = pod.waiting_reason in BAD_IMAGE
        return Observation(
            Phase.ENDED if bad else Phase.STARTING,
            Reason.BAD_IMAGE if bad else Reason.IMAGE_PULL,
            text,
            outcome=State.ERROR if bad else None,
            last_error=error(text, now),
            ended_at=now if bad else None,
            node=pod.node,
            pod=pod.name,
            trouble=True,
        )
    if pod.waiting_reason in CREATE_TROUBLE:
        text = f"{pod.waiting_reason}: {pod.waiting_message}"
        return Observation(
            Phase.STARTING,
            Reason.STARTING,
            text,
            last_error=error(text, now),
            pod=pod.name,
            trouble=True,
        )
    return Observation(Phase.STARTING, Reason.STARTING, text, node=pod.node, pod=pod.name)


def _ended(job: JobChild | None, pod: PodChild, now: datetime) -> Observation:
    if pod.exit_code == 0:
        return _end(pod, now, Reason.COMPLETED, State.COMPLETE)
    if job is not None and job.reason == "DeadlineExceeded":
        return _deadline(job, pod, now)
    if pod.reason == "DeadlineExceeded":
        return _deadline(pod, pod, now)
    if pod.disruption is not None or pod.reason in {
        "Evicted",
        "NodeLost",
        "NodeShutdown",
        "Preempting",
    }:
        return _disrupted(pod, now)
    by_signal = pod.exit_code in {EXIT_SIGTERM, EXIT_SIGKILL, None} or _stopped_at_birth(pod)
    if pod.deleting and by_signal and pod.exit_reason != "OOMKilled":
        gone = job is None or job.deleting
        reason = Reason.JOB_DELETED if gone else Reason.POD_DELETED
        text = f"the {'Job' if gone else 'pod'} was deleted by somebody else"
        return _end(pod, now, reason, State.KILLED, text, error("JobKilledByWorker", _at(pod, now)))
    if pod.exit_code is None:
        # The kubelet refused it at admission (OutOfcpu, NodeAffinity, …): the code never ran.
        text = f"{pod.reason or 'PodFailed'}: {pod.message or 'the pod failed before it ran'}"
        return _end(pod, now, Reason.EVICTED, State.PENDING, text)
    return _by_exit(pod, pod.exit_code, now)


def _stopped_at_birth(pod: PodChild) -> bool:
    """Whether SIGTERM came before the container's own program was there.

    What runs in its place until then (runc, a Go program) ends with code 2 when it is told to stop.
    """
    if pod.exit_code != EXIT_RUNC_INIT or pod.termination_message or pod.started_at is None:
        return False
    return ((pod.ended_at or pod.started_at) - pod.started_at).total_seconds() <= _BIRTH_S


def _by_exit(pod: PodChild, code: int, now: datetime) -> Observation:
    told = _termination(pod.termination_message)
    if pod.exit_reason == "OOMKilled":
        text = "OOMKilled: the container used more memory than its limit"
        return _end(pod, now, Reason.OUT_OF_MEMORY, State.FAILED, text, error(text, _at(pod, now)))
    if code == EXIT_SIGTERM:
        text = "the container was told to stop (SIGTERM)"
        last = told or error("JobKilledByWorker", _at(pod, now))
        return _end(pod, now, Reason.POD_DELETED, State.KILLED, text, last)
    default = f"the container ended with exit code {code}"
    if code == EXIT_SIGKILL:
        default += " (SIGKILL)"
    last = told or error(default, _at(pod, now))
    text = str(last["exception"])
    if code == EXIT_DEFERRED:
        return _end(pod, now, Reason.DEFERRED, State.DEFERRED, text, last)
    if code == EXIT_BAD_DEFINITION and told is not None:
        return _end(pod, now, Reason.BAD_DEFINITION, State.ERROR, text, last)
    return _end(pod, now, Reason.CODE_ERROR, State.FAILED, text, last)


def _termination(message: str | None) -> dict[str, Any] | None:
    """`lastError` of the runtime's termination message, if it is one of the runtime."""
    try:
        told = json.loads(message or "")
        last = told["lastError"]
        return error(str(last["exception"]), clock.from_epoch(0), last.get("traceback")) | {
            "timestamp": last.get("timestamp")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _deadline(source: JobChild | PodChild, pod: PodChild | None, now: datetime) -> Observation:
    text = f"DeadlineExceeded: {source.message or 'active longer than activeDeadlineSeconds'}"
    return Observation(
        Phase.ENDED,
        Reason.DEADLINE_EXCEEDED,
        text,
        outcome=State.FAILED,
        last_error=error(text, now),
        started_at=pod.started_at if pod else None,
        ended_at=_at(pod, now) if pod else now,
        node=pod.node if pod else None,
        pod=pod.name if pod else None,
    )


def _disrupted(pod: PodChild, now: datetime) -> Observation:
    lost = pod.disruption in {"DeletionByTaintManager", "DeletionByPodGC"}
    reason = Reason.NODE_LOST if lost or pod.reason == "NodeLost" else Reason.EVICTED
    words = pod.disruption_message or pod.message or "the pod was disrupted"
    text = f"{pod.disruption or pod.reason}: {words}"
    return _end(pod, now, reason, State.PENDING, text, error(text, _at(pod, now)))


def _at(pod: PodChild, now: datetime) -> datetime:
    return pod.ended_at or now


def _end(
    pod: PodChild,
    now: datetime,
    reason: Reason,
    outcome: State,
    message: str | None = None,
    last_error: Mapping[str, Any] | None = None,
) -> Observation:
    return Observation(
        Phase.ENDED,
        reason,
        message,
        outcome=outcome,
        last_error=last_error,
        started_at=pod.started_at,
        ended_at=_at(pod, now),
        node=pod.node,
        pod=pod.name,
    )
