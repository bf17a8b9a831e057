"""Refusals: of a CoreJob that can never run, and of an object by the API server."""

from dataclasses import replace
from datetime import datetime

from corejob import machine
from corejob.model import CoreJob
from corejob.names import Reason
from corejob.observation import Observation, Phase, error
from corejob.state import FINAL, WAITING, State
from corejob_operator.decide.types import Decision, Situation


def refuse(situation: Situation) -> Decision | None:
    """Return the decision about a CoreJob that can't be a job of the queue; None if it can.

    It is unreadable, its name is the id of another job, or it duplicates a job of the queue.
    """
    job, now = situation.job, situation.now
    if not job.has_finalizer:
        return None
    if is_unreadable(job):
        text = f"the CoreJob can't be read: {job.unreadable}; make its args flatter"
        return never_starts(job, text, now)
    if situation.id_problem is not None and job.status.state not in FINAL:
        return Decision(machine.without_its_id(job, situation.id_problem, now))
    if situation.duplicate is not None:
        return Decision(machine.refused(job, situation.duplicate, now))
    return None


def is_unreadable(job: CoreJob) -> bool:
    """True if a waiting job must not start, since it can't be read as its user wrote it."""
    waits = job.status.state in WAITING and not (job.kill or job.remove)
    return bool(job.unreadable) and waits


def may_be_duplicate(situation: Situation) -> bool:
    """True if the job must be compared with equal ones.

    A restart is never a duplicate: it takes the place of the job that it restarts. A job that has
    left the queue (restarted or removed) before its first status is no duplicate either.
    """
    job = situation.job
    if not job.has_finalizer or not job.in_queue or job.spec.get("parentId"):
        return False
    return refuse(situation) is None


def never_starts(job: CoreJob, message: str, now: datetime) -> Decision:
    """Return the decision about a job whose trial can't be created: `error`, BadDefinition."""
    observed = Observation(
        Phase.ENDED,
        Reason.BAD_DEFINITION,
        message,
        outcome=State.ERROR,
        last_error=error(message, now),
    )
    return Decision(machine.failed_before_start(job.status, observed, now))


def create_later(job: CoreJob, message: str, retry_at: datetime) -> Decision:
    """Return the decision about a job whose trial was refused for now: it stays admitted."""
    status = replace(job.status, reason=str(Reason.QUEUED), message=message)
    return Decision(status, queue="active", requeue_at=retry_at)


def without_child(job: CoreJob, decision: Decision, retry_at: datetime) -> Decision:
    """Return the decision without the child, which was not created; all else stays."""
    status = replace(decision.status, child_id=job.status.child_id)
    return replace(decision, status=status, requeue_at=retry_at)
