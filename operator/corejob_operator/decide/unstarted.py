"""Decisions about a trial that ended before the job's own container ran."""

from dataclasses import replace

from corejob import machine
from corejob.model import Status
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.state import State
from corejob.trial import newest, overdue_at, silent_node
from corejob_operator.decide.start_deadline import start_deadline, too_late, with_starting_time
from corejob_operator.decide.stopping import stop_trial
from corejob_operator.decide.types import DISRUPTED, Decision, Situation, at_most

_UNEXPLAINED = frozenset({Reason.STARTING, Reason.POD_DELETED, Reason.JOB_DELETED})
"""Reasons of a start that tell nothing else than that there is no pod, or one in deletion."""


def ended_before_start(situation: Situation, number: int, observed: Observation) -> Decision:
    """Return the decision about a trial that ended before the job's own container ran."""
    job, now = situation.job, situation.now
    if observed.outcome is State.PENDING:
        return _disrupted_before_start(situation, number, observed)
    if observed.outcome is State.KILLED:
        if _is_replaced(job.status):
            return _replace_run(situation, number)
        status = replace(
            job.status, reason=str(observed.reason), message=observed.message, end_time=now
        )
        return Decision(machine.killed(job, status, now))
    if observed.outcome is State.FAILED:
        return Decision(machine.failed_unstarted(job, number, observed, now))
    return Decision(machine.failed_before_start(job.status, observed, now))


def leftover(situation: Situation, number: int, observed: Observation) -> Decision | None:
    """Return the decision about the rest of a run that the operator itself deletes; None: no rest.

    The Job may outlive its pod, by a finalizer or because its watch lags, and then looks as if it
    waited for a pod. If it is a new Job all the same, created just before a crash, its pod comes.
    """
    if observed.phase is not Phase.STARTING or observed.reason not in _UNEXPLAINED:
        return None
    if not _is_replaced(situation.job.status) or situation.created_trial == number:
        return None
    if not all(pod.deleting for pod in situation.pods_of(number)):
        return None
    deadline = start_deadline(situation)
    if deadline is not None and deadline <= situation.now:
        status = situation.job.status
        return Decision(too_late(situation, status.reason, status.message))
    return replace(_replace_run(situation, number), actions=())


def _is_replaced(status: Status) -> bool:
    """True if the trial's Job and pod are those of a run that the cluster ended or refused.

    The status says so before the operator deletes them, and `Starting` once the trial is created
    again. What is observed in between follows from that deletion, and not from somebody else's.
    """
    return bool(status.disruptions) and status.reason in DISRUPTED


def _disrupted_before_start(situation: Situation, number: int, observed: Observation) -> Decision:
    """Delete the Job of a trial whose pod the cluster refused or evicted; then create it again.

    The status is written first: after a crash in between, the missing Job would look as if
    somebody else had deleted it. The old Job must be gone first, since the new one has its name.
    """
    status = situation.job.status
    deadline = start_deadline(situation)
    if deadline is not None and deadline <= situation.now:
        return Decision(too_late(situation, str(observed.reason), observed.message))
    # Without its pod, the Job tells less than the status has from that pod.
    known = status.reason == str(observed.reason) or observed.pod is None
    if _is_replaced(status) and known:
        return _replace_run(situation, number)
    status = with_starting_time(situation, number)
    return Decision(machine.disrupted(status, observed, situation.now), queue="active")


def _replace_run(situation: Situation, number: int) -> Decision:
    """Delete Job and pods of the trial; the reason stays. Name the node that keeps a pod."""
    status, pods, now = situation.job.status, situation.pods_of(number), situation.now
    pod = newest(pods)
    silent = silent_node(pod, now) if pod is not None and pod.deleting and not pod.over else None
    if silent is not None and silent not in (status.message or ""):
        status = replace(status, message=f"{status.message}; {silent}")
    requeue_at = at_most(start_deadline(situation), overdue_at(pods, now))
    return Decision(status, stop_trial(situation, number), queue="active", requeue_at=requeue_at)
