"""Observation of one trial, by its Job and pods."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from corejob import timestamps
from corejob.children import JobChild, PodChild
from corejob.names import Reason, trial_name
from corejob.observation import ChildEvent, Observation, Phase
from corejob.outcome import deleted, disrupted, ended, ended_without_pod
from corejob.starting import starting
from corejob.suspension import goes_on, suspension_text

OVERDUE: Final = timedelta(seconds=10)
"""Tolerance after a pod's grace period, for a busy node; a responding node needs no longer."""


def newest(pods: Sequence[PodChild]) -> PodChild | None:
    """Return the newest pod, or None: there are two only while one replaces the other."""
    return max(pods, key=lambda pod: pod.created, default=None)


def observe(
    job: JobChild | None,
    pods: Sequence[PodChild],
    *,
    now: datetime,
    gone: PodChild | None = None,
    events: Sequence[ChildEvent] = (),
) -> Observation:
    """Return the observation of a trial.

    Args:
        job: The trial's Job, or None.
        pods: The trial's pods.
        gone: The last state of a pod that had started and is gone, if it is known.
        now: The time of an end or error without a timestamp.
        events: Events of Job and pod; empty if none were read.
    """
    pod = newest(pods)
    if pod is None:
        if job is None:
            return _gone(gone, now)
        if job.failed or job.complete:
            return _gone_from(job, gone, now)
        return starting(job, None, events, now=now)
    if pod.over:
        return ended(job, pod, now=now)
    if pod.started_at is not None:
        reason, message = _while_it_runs(job, pod, now)
        return Observation(
            Phase.RUNNING, reason, message, started_at=pod.started_at, node=pod.node, pod=pod.name
        )
    if pod.deleting and pod.disruption and not goes_on(job, pod):
        observation = disrupted(pod, now)
    else:
        observation = starting(job, pod, events, now=now)
    silent = silent_node(pod, now) if pod.deleting else None
    if silent is None:
        return observation
    return replace(observation, message=f"{observation.message}; {silent}")


def _gone_from(job: JobChild, gone: PodChild | None, now: datetime) -> Observation:
    """Return the end of a trial whose Job has ended and whose pod is gone.

    A cleaner may delete a pod that ended by itself before the operator has seen its end. The Job
    tells much less of that than the pod's last state, if it is the state of this Job's pod.
    """
    if gone is None or not gone.over or gone.owner_uid != job.uid:
        return ended_without_pod(job, now=now)
    if job.complete and gone.exit_code != 0:
        return ended_without_pod(job, now=now)  # the last state came before the end
    return ended(job, gone, now=now)


def _gone(pod: PodChild | None, now: datetime) -> Observation:
    """Return the observation of a trial whose Job and pod are gone.

    Args:
        pod: The pod's last state if its container had started; None: nothing is known.
        now: The time of an end without a timestamp.
    """
    if pod is None:
        return Observation(Phase.ABSENT, Reason.JOB_DELETED)
    if pod.over:
        return ended(None, pod, now=now)
    killed = deleted(Reason.JOB_DELETED, "the Job", now)
    return replace(killed, started_at=pod.started_at, node=pod.node, pod=pod.name)


def _while_it_runs(job: JobChild | None, pod: PodChild, now: datetime) -> tuple[Reason, str | None]:
    """Return reason and message of a running trial.

    A disruption is reported at once, since its pod may be gone at the next reconcile.
    """
    silent = silent_node(pod, now)
    if not pod.deleting:
        return Reason.RUNNING, silent
    if pod.disruption:
        disruption = disrupted(pod, now)
        return (
            disruption.reason,
            f"{disruption.message}; {silent}" if silent else disruption.message,
        )
    text = "the pod is being deleted"
    if goes_on(job, pod):
        text = f"{suspension_text(job)}: the pod is being stopped"
    return Reason.TERMINATING, silent or text


def silent_node(pod: PodChild, now: datetime) -> str | None:
    """Return a message if the pod's node does not answer, with the remedy; else None.

    The signs are a pod that the node controller marked as not ready, or an overdue deletion.
    """
    since = pod.not_ready_since
    # A pod that was never bound to a node is kept by a finalizer only.
    bound = pod.node is not None
    overdue = bound and pod.deleted_at is not None and pod.deleted_at + OVERDUE <= now
    # Delete the Job first: while it exists, its finalizer keeps a pod that has not ended.
    remedy = (
        f"the pod stops when the node is back. If that is gone for good: `kubectl delete node "
        f"{pod.node}`; or, without that right, `kubectl delete job "
        f"{trial_name(pod.corejob, pod.trial)}`, then `kubectl delete pod {pod.name} --force`"
    )
    if since is not None:
        text = f"node {pod.node} has not answered since {timestamps.iso(since)} UTC"
        return f"{text}: {remedy}" if pod.deleting else text
    if overdue:
        due = timestamps.iso(pod.deleted_at)
        return f"node {pod.node} should have stopped the pod by {due} UTC and has not: {remedy}"
    return None


def overdue_at(pods: Sequence[PodChild], now: datetime) -> datetime | None:
    """Return when the next pod that is being deleted becomes overdue; None if none will."""
    moments = [
        pod.deleted_at + OVERDUE for pod in pods if pod.deleted_at is not None and not pod.over
    ]
    return min((moment for moment in moments if moment > now), default=None)
