"""Why a trial's container has not started: a reason, and the message of Kubernetes.

Sources: waiting reasons of the kubelet (kubelet/images, kuberuntime), the scheduler's condition
`PodScheduled`, Events of the Job controller and the kubelet.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from corejob import texts
from corejob.children import JobChild, PodChild
from corejob.names import Reason
from corejob.observation import ChildEvent, Observation, Phase, error
from corejob.state import State
from corejob.suspension import goes_on, suspension_text

_PULL: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        # The container runtime did not answer: a temporary error.
        "ImageInspectError",
    }
)
_BAD_IMAGE: Final = frozenset({"InvalidImageName"})
"""Waiting reasons of a permanent error: no later pull can succeed."""
_CREATE: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "CrashLoopBackOff",
    }
)
_MOUNT: Final = frozenset(
    {
        "FailedMount",
        "FailedAttachVolume",
        "FailedMapVolume",
        "FailedBinding",
        "ProvisioningFailed",
        "VolumeResizeFailed",
    }
)
WAITING_FOR_POD: Final = "waiting for the pod"


def starting(
    job: JobChild | None, pod: PodChild | None, events: Sequence[ChildEvent], *, now: datetime
) -> Observation:
    """Return why a trial has not started.

    Args:
        job: Its Job; None if the Job is gone.
        pod: Its pod, or None.
        events: Events of Job and pod; empty if none were read.
        now: The time of an error.

    Returns:
        An observation in phase STARTING, or ENDED if the trial can never start.
    """
    suspended = job is not None and (job.suspended or goes_on(job, pod))
    if suspended and (pod is None or pod.deleting):
        return Observation(Phase.STARTING, Reason.SUSPENDED, suspension_text(job))
    if pod is None:
        return _without_pod(job, events)
    if pod.deleting:
        return _being_deleted(job, pod)
    observation = Observation(Phase.STARTING, Reason.STARTING, node=pod.node, pod=pod.name)
    if pod.unschedulable is not None:
        return replace(
            observation, reason=Reason.UNSCHEDULABLE, message=texts.clean_message(pod.unschedulable)
        )
    if pod.waiting_reason in _BAD_IMAGE:
        text = _of_container(pod)
        return replace(
            observation,
            phase=Phase.ENDED,
            reason=Reason.BAD_IMAGE,
            message=text,
            outcome=State.ERROR,
            last_error=error(text, now),
            ended_at=now,
        )
    if pod.waiting_reason in _PULL:
        return _failing(observation, Reason.IMAGE_PULL, _of_container(pod), now)
    if pod.waiting_reason in _CREATE:
        return _failing(observation, Reason.CONTAINER_ERROR, _of_container(pod), now)
    return _unexplained(observation, pod, events)


def needs_events(job: JobChild | None, pod: PodChild | None) -> bool:
    """True if neither Job nor pod tells why the trial waits, so that only Events can."""
    if job is not None and job.suspended:
        return False
    if pod is None:
        return job is not None and not job.deleting
    if pod.deleting or pod.unschedulable is not None or pod.running_init is not None:
        return False
    return pod.waiting_reason not in _PULL | _BAD_IMAGE | _CREATE


def _without_pod(job: JobChild | None, events: Sequence[ChildEvent]) -> Observation:
    newest = _newest(events, job.uid if job is not None else "")
    if newest is not None and newest.warning:
        return Observation(
            Phase.STARTING, Reason.FAILED_CREATE, texts.clean_message(newest.message)
        )
    return Observation(Phase.STARTING, Reason.STARTING, WAITING_FOR_POD)


def _being_deleted(job: JobChild | None, pod: PodChild) -> Observation:
    lost = job is None or job.deleting
    reason = Reason.JOB_DELETED if lost else Reason.POD_DELETED
    return Observation(Phase.STARTING, reason, "the pod is being deleted", pod=pod.name)


def _unexplained(
    observation: Observation, pod: PodChild, events: Sequence[ChildEvent]
) -> Observation:
    """Return the observation of a pod that has no reason itself, by its newest Event."""
    newest = _newest(events, pod.uid)
    if newest is not None and newest.warning:
        reason = Reason.FAILED_MOUNT if newest.reason in _MOUNT else Reason.STARTING
        return replace(observation, reason=reason, message=texts.clean_message(newest.text))
    if pod.running_init is not None:
        return replace(observation, message=f"init container [{pod.running_init}] is running")
    if newest is not None:
        return replace(observation, message=texts.clean_message(newest.message))
    return replace(
        observation, message=pod.waiting_message or pod.waiting_reason or WAITING_FOR_POD
    )


def _failing(observation: Observation, reason: Reason, text: str, now: datetime) -> Observation:
    return replace(observation, reason=reason, message=text, last_error=error(text, now))


def _of_container(pod: PodChild) -> str:
    """Return the kubelet's message, with the container's name if that is not the job's own."""
    message = pod.waiting_message or "the kubelet gives no reason"
    text = texts.clean_message(f"{pod.waiting_reason}: {message}")
    if pod.waiting_container not in {None, pod.container}:
        return f"container [{pod.waiting_container}]: {text}"
    return text


def _newest(events: Sequence[ChildEvent], uid: str) -> ChildEvent | None:
    about = [event for event in events if event.uid == uid]
    return max(about, key=lambda event: (event.at, event.warning), default=None)
