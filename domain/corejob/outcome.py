"""Outcome of an ended trial, with its cause: the job itself, the cluster, or a kill.

Sources: `DisruptionTarget` (KEP-3329), the kubelet's eviction manager and admission, Job conditions
(batch/v1 JobStatus), exit codes and termination messages (docs/job-protocol.md). An end caused by
the cluster has the outcome `pending`: no attempt is used, and the trial runs again.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from corejob import texts
from corejob.children import Container, JobChild, PodChild
from corejob.names import (
    EXIT_BAD_DEFINITION,
    EXIT_DEFERRED,
    EXIT_RUNC_INIT,
    EXIT_SIGKILL,
    EXIT_SIGTERM,
    KILLED_EXCEPTION,
    Reason,
)
from corejob.observation import Observation, Phase, error
from corejob.state import State

_BIRTH_S: Final = 10
"""Maximum seconds until runc executes the container's program; a loaded node takes some."""
_NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun"})
"""The kubelet's reasons for a container whose program could not be started."""
_NODE_RESET: Final = frozenset({"ContainerStatusUnknown", "Unknown"})
"""Reasons after a restart of the kubelet or the container runtime that lost the container."""
_OF_THE_NODE: Final = frozenset({"NodeLost", "NodeShutdown", "Terminated", "Preempting"})
"""Pod reasons by which kubelets of old versions report a disruption without `DisruptionTarget`."""
_LOST: Final = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})


def ended(job: JobChild | None, pod: PodChild, *, now: datetime) -> Observation:
    """Return the end of a trial whose pod still exists.

    Args:
        job: Its Job; None if the Job is gone.
        pod: Its pod, which has ended.
        now: The time of an end without a timestamp.
    """
    if pod.exit_code == 0:
        return _end(pod, now, Reason.COMPLETED, State.COMPLETE)
    deadline = _by_deadline(job, pod, now)
    if deadline is not None:
        return deadline
    by_cluster = _by_cluster(pod, now)
    if by_cluster is not None:
        if by_cluster.outcome is State.PENDING and _goes_on_later(job):
            # When resumed, the Job creates another pod of this trial: a new trial would run beside
            # that pod.
            return _suspended(pod, now)
        return by_cluster
    if pod.failed_init is not None and pod.exit_code is None and not _init_was_stopped(pod):
        return _init_failed(pod, pod.failed_init, now)
    stopped = _by_deletion(job, pod, now)
    if stopped is not None:
        return stopped
    if pod.exit_code is None:
        return _rejected(pod, now)
    return _by_exit(pod, pod.exit_code, now)


def _by_cluster(pod: PodChild, now: datetime) -> Observation | None:
    """Return the end of a pod that the cluster or the kubelet ended; None if neither did."""
    if pod.disruption is not None and not _ended_before_disruption(pod):
        return disrupted(pod, now)
    if pod.reason in _OF_THE_NODE:
        return disrupted(pod, now)
    if pod.reason == "Evicted" and pod.ran:
        # Without a `DisruptionTarget` the pod was evicted because it exceeded its own limit.
        return _failed(pod, now, Reason.DISK_LIMIT, f"Evicted: {pod.message or 'no reason given'}")
    if not pod.ran and pod.finished and pod.reason is not None:
        return _rejected(pod, now)
    if pod.exit_reason in _NODE_RESET and not pod.deleting:
        text = texts.clean_message(f"{pod.exit_reason}: {_message(pod) or 'the node was reset'}")
        return _end(pod, now, Reason.NODE_LOST, State.PENDING, text, error(text, _at(pod, now)))
    return None


def _rejected(pod: PodChild, now: datetime) -> Observation:
    """Return the end of a pod that the kubelet refused (OutOfcpu, NodeAffinity, …).

    The job's container never ran.
    """
    message = pod.message or "it failed before the job's container ran"
    text = texts.clean_message(f"{pod.reason or 'PodFailed'}: {message}")
    return _end(pod, now, Reason.POD_REJECTED, State.PENDING, text, error(text, now))


def ended_without_pod(job: JobChild, *, now: datetime) -> Observation:
    """Return the end of a trial whose Job has ended and whose pod is gone."""
    if job.complete:
        # Somebody else deleted the pod after its end: the Job controller observed exit code 0.
        return Observation(
            Phase.ENDED,
            Reason.COMPLETED,
            outcome=State.COMPLETE,
            started_at=job.created,
            ended_at=now,
        )
    if job.reason == "DeadlineExceeded":
        return _deadline(job, None, now)
    if job.reason == "PodFailurePolicy":
        text = job.message
        return Observation(Phase.ENDED, Reason.NODE_LOST, text, State.PENDING, ended_at=now)
    return deleted(Reason.POD_DELETED, "the pod", now)


def deleted(reason: Reason, what: str, now: datetime) -> Observation:
    """Return the end `killed` of a trial whose Job or pod (`what`) somebody else has deleted."""
    return Observation(
        Phase.ENDED,
        reason,
        f"{what} was deleted by somebody else",
        outcome=State.KILLED,
        last_error=error(KILLED_EXCEPTION, now),
        ended_at=now,
    )


def disrupted(pod: PodChild, now: datetime) -> Observation:
    """Return the end `pending` of a trial whose pod the cluster disrupts or has disrupted."""
    lost = pod.disruption in _LOST or pod.reason == "NodeLost"
    reason = Reason.NODE_LOST if lost else Reason.EVICTED
    message = pod.disruption_message or pod.message or "the pod was disrupted"
    text = texts.clean_message(f"{pod.disruption or pod.reason}: {message}")
    return _end(pod, now, reason, State.PENDING, text, error(text, _at(pod, now)))


def _ended_before_disruption(pod: PodChild) -> bool:
    """True if the container had ended by itself before; both times are exact to a second."""
    return (
        pod.ended_at is not None
        and pod.disrupted_at is not None
        and pod.ended_at < pod.disrupted_at
        and not _by_signal(pod)
    )


def _by_signal(pod: PodChild) -> bool:
    if pod.exit_code in {EXIT_SIGTERM, EXIT_SIGKILL, None}:
        return True
    # A deletion while the container is being created looks like a program that does not exist.
    return pod.exit_reason in _NOT_STARTED or _stopped_at_birth(pod)


def _init_was_stopped(pod: PodChild) -> bool:
    """True if the pod's deletion ended the init container."""
    init = pod.failed_init
    return pod.deleting and init is not None and init.exit_code in {EXIT_SIGTERM, EXIT_SIGKILL}


def _stopped_at_birth(pod: PodChild) -> bool:
    """True if SIGTERM arrived before the container's own program was executed.

    Until then runc runs in its place, a Go program that ends with code 2 on SIGTERM.
    """
    if pod.exit_code != EXIT_RUNC_INIT or pod.termination_message or pod.started_at is None:
        return False
    return ((pod.ended_at or pod.started_at) - pod.started_at).total_seconds() <= _BIRTH_S


def _by_deletion(job: JobChild | None, pod: PodChild, now: datetime) -> Observation | None:
    """Return the end of a pod that its deletion stopped; None if it ended otherwise."""
    if not pod.deleting or not _by_signal(pod) or pod.exit_reason == "OOMKilled":
        return None
    if _goes_on_later(job):
        return _suspended(pod, now)
    gone = job is None or job.deleting
    reason = Reason.JOB_DELETED if gone else Reason.POD_DELETED
    text = f"the {'Job' if gone else 'pod'} was deleted by somebody else"
    last = _termination(pod.termination_message) or error(KILLED_EXCEPTION, _at(pod, now))
    return _end(pod, now, reason, State.KILLED, text, last | {"exception": KILLED_EXCEPTION})


def _goes_on_later(job: JobChild | None) -> bool:
    """True if the Job is suspended and neither ended nor being deleted."""
    return job is not None and job.suspended and not (job.failed or job.complete or job.deleting)


def _suspended(pod: PodChild, now: datetime) -> Observation:
    return _end(pod, now, Reason.SUSPENDED, State.PENDING, "its Job is suspended")


def _init_failed(pod: PodChild, init: Container, now: datetime) -> Observation:
    text = f"init container [{init.name}] ended with exit code {init.exit_code}"
    if init.exit_reason not in {None, "Error"}:
        text += f" ({init.exit_reason})"
    if init.message and init.message.strip():
        text += f": {init.message.strip()}"
    failed = _failed(pod, now, Reason.INIT_FAILED, text, at=init.ended_at)
    return replace(failed, exit_code=init.exit_code, ended_at=init.ended_at or failed.ended_at)


def _by_exit(pod: PodChild, code: int, now: datetime) -> Observation:
    if pod.exit_reason in _NOT_STARTED:
        message = _message(pod) or "the container's program could not be started"
        return _failed(pod, now, Reason.START_ERROR, f"{pod.exit_reason}: {message}")
    reported = _termination(pod.termination_message)
    if reported is None and pod.exit_reason == "OOMKilled":
        limit = f" of {pod.memory_limit}" if pod.memory_limit else ""
        text = f"OOMKilled: the container used more memory than its limit{limit}"
        return _failed(pod, now, Reason.OUT_OF_MEMORY, text)
    if code == EXIT_SIGTERM and reported is not None and reported["exception"] == KILLED_EXCEPTION:
        text = "the job was stopped by SIGTERM, although its pod was not deleted"
        return _end(pod, now, Reason.STOPPED, State.KILLED, text, reported)
    last = reported or error(texts.clean_message(_default(pod, code)), _at(pod, now))
    text = str(last["exception"])
    if pod.exit_reason == "OOMKilled":
        text += " (another process of the container ran out of memory and was killed: OOMKilled)"
    if code == EXIT_DEFERRED:
        return _end(pod, now, Reason.DEFERRED, State.DEFERRED, text, last)
    if code == EXIT_BAD_DEFINITION and reported is not None:
        return _end(pod, now, Reason.BAD_DEFINITION, State.ERROR, text, last)
    return _end(pod, now, Reason.CODE_ERROR, State.FAILED, text, last)


def _default(pod: PodChild, code: int) -> str:
    """Return the message of an end without a structured termination message."""
    text = f"the container ended with exit code {code}"
    if code == EXIT_SIGKILL:
        text += " (SIGKILL)"
        if not _message(pod):
            text += (
                "; its pod was not deleted. The cause may be memory, which a busy node does not "
                f"always report; the limit is {pod.memory_limit or 'not set'}"
            )
    elif code == EXIT_SIGTERM:
        text += " (SIGTERM), although its pod was not deleted; a failing probe may be the cause"
    if message := _message(pod):
        text += f": {message}"
    return text


def _message(pod: PodChild) -> str:
    """Return the termination message as text, empty if there is none."""
    return (pod.termination_message or "").strip()


def _termination(message: str | None) -> dict[str, Any] | None:
    """Return `lastError` of the runtime's termination message; None for any other message.

    The message is untrusted, since a container wrote it: check its types and clean its texts.
    """
    if not message or not message.lstrip().startswith("{"):
        return None
    try:
        last = json.loads(message)["lastError"]
        exception, traceback, at = last["exception"], last.get("traceback"), last.get("timestamp")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(exception, str):
        return None
    if isinstance(traceback, str):
        traceback = traceback.splitlines(keepends=True)
    if not isinstance(traceback, list) or not all(isinstance(line, str) for line in traceback):
        traceback = None
    return {
        "exception": texts.clean(exception),
        "timestamp": texts.clean(at) if isinstance(at, str) else None,
        "traceback": None if traceback is None else [texts.clean(line) for line in traceback],
    }


def _by_deadline(job: JobChild | None, pod: PodChild, now: datetime) -> Observation | None:
    if job is not None and job.reason == "DeadlineExceeded":
        return _deadline(job, pod, now)
    return _deadline(pod, pod, now) if pod.reason == "DeadlineExceeded" else None


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
        exit_code=pod.exit_code if pod else None,
    )


def _failed(
    pod: PodChild, now: datetime, reason: Reason, text: str, *, at: datetime | None = None
) -> Observation:
    text = texts.clean_message(text)
    return _end(pod, now, reason, State.FAILED, text, error(text, at or _at(pod, now)))


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
        exit_code=pod.exit_code,
    )
