"""The suspension of a trial's Job, which stops its pod; when resumed, the Job makes another one."""

from datetime import datetime

from corejob.children import JobChild, PodChild
from corejob.ends import end
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.state import State


def goes_on(job: JobChild | None, pod: PodChild | None) -> bool:
    """True if the trial goes on in this Job after the end of a pod that a suspension stopped.

    The Job controller takes its finalizer off a pod before it deletes it for a suspension. So the
    pod does not count as failed, and the Job makes another one, even if it is resumed before the
    pod has ended.

    Args:
        job: The trial's Job; None if the Job is gone.
        pod: The pod, or None.
    """
    if job is None or _has_ended(job):
        return False
    if job.suspended or job.suspension_in_force:
        return True
    # The pod's creation tells nothing: the Job controller creates the first pod of a resumed Job
    # before it writes when it has resumed it.
    asked_at = pod.deletion_asked_at if pod is not None else None
    return asked_at is not None and job.resumed_at is not None and asked_at <= job.resumed_at


def has_gone_on(job: JobChild, started_at: datetime | None) -> bool:
    """True if a run that started at this time was stopped by a suspension, and its pod is gone."""
    if goes_on(job, None):
        return True
    if _has_ended(job) or started_at is None or job.resumed_at is None:
        return False
    return started_at < job.resumed_at


def _has_ended(job: JobChild) -> bool:
    return job.failed or job.complete or job.deleting


def stopped_pod(job: JobChild | None, pod: PodChild, now: datetime) -> Observation:
    """Return the end `pending` of a pod that the suspension of its Job stopped."""
    return end(pod, now, Reason.SUSPENDED, State.PENDING, suspension_text(job))


def stopped_run(job: JobChild, now: datetime) -> Observation:
    """Return the same of a pod that is gone."""
    return Observation(
        Phase.ENDED, Reason.SUSPENDED, suspension_text(job), State.PENDING, ended_at=now
    )


def suspension_text(job: JobChild | None) -> str:
    """Return the message about a suspended Job, or one that was resumed meanwhile."""
    return f"its Job {'is' if job is None or job.suspended else 'was'} suspended"
