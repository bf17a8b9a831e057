"""Decisions about a running job."""

from dataclasses import replace
from datetime import timedelta

from corejob import machine, outcome, suspension
from corejob.model import Status
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.state import State
from corejob.trial import newest, overdue_at, silent_node
from corejob_operator.decide.requests import kill_time, removed, with_restart_followed
from corejob_operator.decide.stopping import ORPHANED, stop_orphans, stop_pods
from corejob_operator.decide.types import DISRUPTED, Decision, Situation, at_most, own_pods


def decide_running(situation: Situation) -> Decision:
    """Return the decision about a running job."""
    situation = with_restart_followed(situation)
    job, now = situation.job, situation.now
    observed = _stopped_by_suspension(situation) or situation.observe(job.status.trial)
    if observed.phase is Phase.ABSENT:
        observed = outcome.deleted(Reason.JOB_DELETED, "the Job", now)
    if observed.phase is Phase.STARTING and observed.reason is Reason.SUSPENDED:
        # The suspension deleted the pod. The Job stays: when resumed, the trial goes on in it.
        observed = replace(observed, phase=Phase.ENDED, outcome=State.PENDING, ended_at=now)
    if observed.phase is Phase.ENDED:
        observed = _with_recorded_reason(job.status, observed)
        # A suspended job keeps its place in the admission: it may be resumed at any time.
        queue = "active" if observed.reason is Reason.SUSPENDED else "absent"
        return Decision(removed(job, machine.finish(job, observed, now), now), queue=queue)
    status = replace(
        job.status, reason=str(observed.reason), message=observed.message, node=observed.node
    )
    if observed.phase is Phase.STARTING:
        status = job.status
    requeue_at = overdue_at(situation.pods_of(job.status.trial), now)
    if job.stop:
        decision = _stopping(situation, status)
    else:
        decision = _with_orphans_stopped(situation, _overdue(situation, removed(job, status, now)))
    return replace(decision, requeue_at=at_most(decision.requeue_at, requeue_at))


def as_started(situation: Situation, number: int, observed: Observation) -> Situation:
    """Return the situation as if the start of the trial's container had been written.

    So one write may tell start and end of a trial that was over before it was observed.
    """
    job = situation.job
    status = machine.start(job, number, observed, situation.now)
    return replace(situation, job=replace(job, status=status))


def _stopped_by_suspension(situation: Situation) -> Observation | None:
    """Return the end of the recorded run if its Job was suspended, and is to go on; else None.

    If the Job is resumed at once, the next pod of the trial may exist when the operator observes
    that the pod of the run has ended, or is gone. That pod is another run with another start.
    """
    job, status, now = situation.job, situation.job.status, situation.now
    child, gone = situation.job_of(status.trial), situation.gone_pod
    if job.stop or child is None or status.pod is None:
        return None
    pods = own_pods(child, situation.pods_of(status.trial))
    pod = next((pod for pod in pods if pod.name == status.pod), None)
    if pod is None and gone is not None and gone.name == status.pod:
        pod = gone
    if pod is None:
        stopped = suspension.has_gone_on(child, status.start_time)
        return suspension.stopped_run(child, now) if stopped else None
    if not suspension.goes_on(child, pod):
        return None
    if pod.over:
        return outcome.ended(child, pod, now=now)
    return None if pod in pods else suspension.stopped_run(child, now)


def _with_orphans_stopped(situation: Situation, decision: Decision) -> Decision:
    actions = stop_orphans(situation, situation.job.status.trial)
    if not actions:
        return decision
    status = replace(decision.status, reason=str(Reason.TERMINATING), message=ORPHANED)
    return replace(decision, status=status, actions=actions)


def _with_recorded_reason(status: Status, observed: Observation) -> Observation:
    """Keep the recorded reason and message of a disruption once its pod is gone.

    The Job alone tells less than its pod did while that still existed.
    """
    if observed.reason is Reason.SUSPENDED:
        return observed
    if observed.pod is None and observed.outcome is State.PENDING and status.reason in DISRUPTED:
        return replace(observed, reason=Reason(str(status.reason)), message=status.message)
    return observed


def _stopping(situation: Situation, status: Status) -> Decision:
    """Delete the pod of a killed job once the recorder reads its log, or `attach_wait` has passed.

    The log of a deleted pod is gone.
    """
    job, now = situation.job, situation.now
    status = replace(removed(job, status, now), killed_time=kill_time(job, status.killed_time, now))
    killed_at = status.killed_time or job.deleted_at or now
    latest = killed_at + timedelta(seconds=situation.settings.attach_wait)
    read = job.log.trial >= job.status.trial
    if not read and now < latest:
        return Decision(status, queue="active", requeue_at=latest)
    text = "stopping the pod"
    if not read:
        text += "; nobody was reading its log, its last lines may be missing"
    pod = newest(situation.pods_of(job.status.trial))
    silent = silent_node(pod, now) if pod is not None and pod.deleting else None
    if silent is not None:
        text += f"; {silent}"
    status = replace(status, reason=str(Reason.TERMINATING), message=text)
    return Decision(status, stop_pods(situation, job.status.trial), queue="active")


def _overdue(situation: Situation, status: Status) -> Decision:
    """Flag a job as non-stop (past `wallTimeSeconds`) or zombie (no progress); it keeps running."""
    job, now, start = situation.job, situation.now, situation.job.status.start_time or situation.now
    requeue_at = None
    wall = job.spec["wallTimeSeconds"]
    if wall is not None and status.nonstop_time is None:
        limit = start + timedelta(seconds=wall)
        if limit <= now:
            status = replace(status, nonstop_time=now)
        else:
            requeue_at = limit
    if status.zombie_time is None:
        beat = max(start, job.progress.time or start)
        limit = beat + timedelta(seconds=job.spec["zombieTimeSeconds"])
        if limit <= now:
            status = replace(status, zombie_time=now)
        else:
            requeue_at = at_most(requeue_at, limit)
    return Decision(status, queue="active", requeue_at=requeue_at)
