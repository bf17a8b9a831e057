"""Cleanup: delete the Jobs of ended trials, and finished CoreJobs that the journal has stored."""

from dataclasses import replace
from datetime import datetime, timedelta

from corejob.children import JobChild
from corejob.model import Status
from corejob.state import FINAL, State
from corejob_operator.decide.logs import log_deadline
from corejob_operator.decide.types import (
    Action,
    Decision,
    DeleteCoreJob,
    DeleteJob,
    RemoveFinalizer,
    Situation,
    at_most,
    next_trial,
)


def tidy(situation: Situation, decision: Decision) -> Decision:
    """Add the cleanup to a decision: deletions that are due, and when the next one falls due."""
    leave, leave_at = _leave(situation, decision.status)
    requeue_at = at_most(decision.requeue_at, leave_at)
    if leave:
        # The garbage collector deletes its Jobs together with the CoreJob.
        return replace(decision, actions=(*decision.actions, *leave), requeue_at=requeue_at)
    actions = list(decision.actions)
    stopping = {action.name for action in actions if isinstance(action, DeleteJob)}
    for job in situation.jobs:
        if job.name in stopping or job.deleting or not _is_spent(situation, job):
            continue
        deadline = _keep_until(situation, decision, job)
        if deadline is None or deadline <= situation.now:
            actions.append(DeleteJob(job.name, job.uid))
        else:
            requeue_at = at_most(requeue_at, deadline)
    return replace(decision, actions=tuple(actions), requeue_at=requeue_at)


def _is_spent(situation: Situation, job: JobChild) -> bool:
    """True if a Job's trial has ended and the status records its outcome."""
    status = situation.job.status
    if status.state in FINAL or situation.job.archivable:
        return True
    if status.state is State.RUNNING:
        return job.trial < status.trial
    return job.trial < next_trial(situation.job, situation.jobs)


def _keep_until(situation: Situation, decision: Decision, job: JobChild) -> datetime | None:
    """Return until when to keep a Job, since its log is read from its pod; None: not at all."""
    has_log = situation.job.carried_trials < job.trial <= situation.job.status.trial
    since = decision.status.end_time or situation.now
    return log_deadline(situation, job.trial, since=since, has_log=has_log)


def _leave(situation: Situation, status: Status) -> tuple[list[Action], datetime | None]:
    """Return how to let a past CoreJob go, if it is time for that, else when it will be."""
    job, now, settings = situation.job, situation.now, situation.settings
    if not job.archivable:
        return [], None
    if job.deleting:
        if not job.has_finalizer:
            return [], None
        if job.journaled:
            return [RemoveFinalizer(lost=False)], None
        # The journal only takes finished jobs, so the deadline counts from the latest of deletion,
        # removal and end: a slow end must not use the time up.
        times = (job.deleted_at, status.removed_time, status.end_time)
        since = max((time for time in times if time is not None), default=now)
        deadline = since + timedelta(seconds=settings.journal_deadline)
        return ([RemoveFinalizer(lost=True)], None) if deadline <= now else ([], deadline)
    if job.journaled_at is None:
        return [], None
    expiry = job.journaled_at + timedelta(seconds=settings.ttl)
    return ([DeleteCoreJob()], None) if expiry <= now else ([], expiry)
