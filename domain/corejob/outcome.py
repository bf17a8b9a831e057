"""Outcome of an ended trial, with its cause: the job itself, the cluster, or a kill.

Sources: `DisruptionTarget` (KEP-3329), the kubelet's eviction manager and admission, Job conditions
(batch/v1 JobStatus); `exits` judges the ends that the job's own container tells. An end caused by
the cluster has the outcome `pending`: no attempt is used, and the trial runs again.
"""

from datetime import datetime
from typing import Final

from corejob import suspension, texts
from corejob.children import JobChild, PodChild
from corejob.containers import Container
from corejob.ends import end, end_time, failure
from corejob.exits import NOT_STARTED, OOM_KILLED, by_exit, init_failed, reported_error
from corejob.names import (
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
_OF_THE_NODE: Final = frozenset({"NodeLost", "NodeShutdown", "Terminated", "Preempting"})
"""Pod reasons by which kubelets of old versions report a disruption without `DisruptionTarget`."""
_LOST: Final = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})
_BY_KUBELET: Final = "TerminationByKubelet"


def ended(job: JobChild | None, pod: PodChild, *, now: datetime) -> Observation:
    """Return the end of a trial whose pod still exists.

    Args:
        job: Its Job; None if the Job is gone.
        pod: Its pod, which has ended.
        now: The time of an end without a timestamp.
    """
    if pod.exit_code == 0:
        return end(pod, now, Reason.COMPLETED, State.COMPLETE)
    deadline = _by_deadline(job, pod, now)
    if deadline is not None:
        return deadline
    by_cluster = _by_cluster(pod, now)
    if by_cluster is not None:
        if by_cluster.outcome is State.PENDING and suspension.goes_on(job, pod):
            # When resumed, the Job creates another pod of this trial: a new trial would run beside
            # that pod.
            return suspension.stopped_pod(job, pod, now)
        return by_cluster
    if pod.failed_init is not None and pod.exit_code is None and not _init_was_stopped(job, pod):
        return init_failed(pod, pod.failed_init, now)
    stopped = _by_deletion(job, pod, now)
    if stopped is not None:
        return stopped
    if pod.exit_code is None:
        return _rejected(pod, now)
    return by_exit(pod, pod.exit_code, now)


def _by_cluster(pod: PodChild, now: datetime) -> Observation | None:
    """Return the end of a pod that the cluster or the kubelet ended; None if neither did."""
    if pod.exit_code != EXIT_DEFERRED:  # such a job runs again later anyway, when it asked to
        if pod.disruption is not None and not _ended_before_disruption(pod):
            return disrupted(pod, now)
        if pod.reason in _OF_THE_NODE:
            return disrupted(pod, now)
    if pod.reason == "Evicted" and pod.disruption is None and pod.ran:
        # Without a `DisruptionTarget` the pod was evicted because it exceeded its own limit.
        return failure(pod, now, Reason.DISK_LIMIT, f"Evicted: {pod.message or 'no reason given'}")
    if not pod.ran and pod.finished and pod.reason is not None:
        return _rejected(pod, now)
    if pod.lost is not None and not pod.deleting:
        return _node_reset(pod, pod.lost, now)
    return None


def _node_reset(pod: PodChild, lost: Container, now: datetime) -> Observation:
    """Return the end of a pod of whose container `lost` the node knows nothing any more."""
    text = f"{lost.exit_reason}: {(lost.message or '').strip() or 'the node was reset'}"
    if lost.name != pod.container:
        text = f"init container [{lost.name}]: {text}"
    text = texts.clean_message(text)
    return end(pod, now, Reason.NODE_LOST, State.PENDING, text, error(text, end_time(pod, now)))


def _rejected(pod: PodChild, now: datetime) -> Observation:
    """Return the end of a pod that the kubelet refused (OutOfcpu, NodeAffinity, …).

    The job's container never ran.
    """
    message = pod.message or "it failed before the job's container ran"
    text = texts.clean_message(f"{pod.reason or 'PodFailed'}: {message}")
    return end(pod, now, Reason.POD_REJECTED, State.PENDING, text, error(text, now))


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
        # The Job's message only says that the pod was disrupted. A lost node would claim more.
        text = job.message
        return Observation(Phase.ENDED, Reason.EVICTED, text, State.PENDING, ended_at=now)
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
    return end(pod, now, reason, State.PENDING, text, error(text, end_time(pod, now)))


def _ended_before_disruption(pod: PodChild) -> bool:
    """True if the container had ended by itself before; both times are exact to a second.

    The kubelet writes its own condition only when all containers have ended (`mergePodStatus` of
    its status manager), so that its time tells nothing.
    """
    return (
        pod.disruption != _BY_KUBELET
        and pod.ended_at is not None
        and pod.disrupted_at is not None
        and pod.ended_at < pod.disrupted_at
        and not _by_signal(pod)
    )


def _by_signal(pod: PodChild) -> bool:
    """True if the deletion of the pod may explain the end of its containers."""
    if pod.exit_code in {EXIT_SIGTERM, EXIT_SIGKILL, None} or pod.lost is not None:
        return True
    # A deletion while the container is being created looks like a program that does not exist.
    return pod.exit_reason in NOT_STARTED or _stopped_at_birth(pod)


def _init_was_stopped(job: JobChild | None, pod: PodChild) -> bool:
    """True if the pod's deletion ended the init container."""
    init = pod.failed_init
    if not pod.deleting or init is None:
        return False
    if init.lost or init.exit_code in {EXIT_SIGTERM, EXIT_SIGKILL}:
        return True
    return suspension.goes_on(job, pod) and _is_after_deletion(pod, init.ended_at)


def _is_after_deletion(pod: PodChild, moment: datetime | None) -> bool:
    asked_at = pod.deletion_asked_at
    return moment is not None and asked_at is not None and moment >= asked_at


def _stopped_at_birth(pod: PodChild) -> bool:
    """True if SIGTERM arrived before the container's own program was executed.

    Until then runc runs in its place, a Go program that ends with code 2 on SIGTERM.
    """
    if pod.exit_code != EXIT_RUNC_INIT or pod.termination_message or pod.started_at is None:
        return False
    return ((pod.ended_at or pod.started_at) - pod.started_at).total_seconds() <= _BIRTH_S


def _by_deletion(job: JobChild | None, pod: PodChild, now: datetime) -> Observation | None:
    """Return the end of a pod that its deletion stopped; None if it ended otherwise."""
    if not pod.deleting or pod.exit_reason == OOM_KILLED:
        return None
    if suspension.goes_on(job, pod) and pod.exit_code != EXIT_DEFERRED:
        # A program may end with any code on SIGTERM. The next pod of this Job runs it again.
        if _by_signal(pod) or _is_after_deletion(pod, pod.ended_at):
            return suspension.stopped_pod(job, pod, now)
        return None
    if not _by_signal(pod):
        return None
    gone = job is None or job.deleting
    reason = Reason.JOB_DELETED if gone else Reason.POD_DELETED
    text = f"the {'Job' if gone else 'pod'} was deleted by somebody else"
    last = reported_error(pod.termination_message)
    last = last or error(KILLED_EXCEPTION, end_time(pod, now))
    return end(pod, now, reason, State.KILLED, text, last | {"exception": KILLED_EXCEPTION})


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
        ended_at=end_time(pod, now) if pod else now,
        node=pod.node if pod else None,
        pod=pod.name if pod else None,
        exit_code=pod.exit_code if pod else None,
    )
