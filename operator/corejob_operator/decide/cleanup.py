"""Cleanup: delete the Jobs of ended trials, and finished CoreJobs that the journal has stored."""

from dataclasses import replace
from datetime import datetime, timedelta

from corejob.children import JobChild
from corejob.model import Status
from corejob.state import FINAL, State
from corejob_operator.decide.types import (
    Action,
    Decision,
    DeleteCoreJob,
    DeleteJob,
    Release,
    Situation,
    at_most,
    next_trial,
)


def tidy(seen: Situation, decision: Decision) -> Decision:
    """Add the cleanup to a decision: deletions that are due, and when the next one falls due."""
    actions, wake = list(decision.actions), decision.wake
    stopping = {action.name for action in actions if isinstance(action, DeleteJob)}
    for job in seen.jobs:
        if job.name in stopping or job.deleting or not _is_spent(seen, job):
            continue
        deadline = _log_deadline(seen, decision, job)
        if deadline is None or deadline <= seen.now:
            actions.append(DeleteJob(job.name, job.uid))
        else:
            wake = at_most(wake, deadline)
    leave, leave_at = _leave(seen, decision.status)
    actions += leave
    return replace(decision, actions=tuple(actions), wake=at_most(wake, leave_at))


def _is_spent(seen: Situation, job: JobChild) -> bool:
    """True if a Job's trial has ended and the status records its outcome."""
    status = seen.job.status
    if status.state in FINAL or seen.job.archivable:
        return True
    if status.state is State.RUNNING:
        return job.trial < status.trial
    return job.trial < next_trial(seen.job, seen.jobs)


def _log_deadline(seen: Situation, decision: Decision, job: JobChild) -> datetime | None:
    """Return the deadline for storing the Job's log; None if it is stored or never existed."""
    log, status = seen.job.log, seen.job.status
    # `log.complete` is about the trial that `log` names: a later trial's incomplete log does not
    # tell that this trial's log is stored.
    settled = log.trial >= job.trial and log.complete
    if settled or job.trial > status.trial or job.trial <= seen.job.carried_trials:
        return None
    ended = decision.status.end_time or seen.now
    return ended + timedelta(seconds=seen.settings.log_deadline)


def _leave(seen: Situation, status: Status) -> tuple[list[Action], datetime | None]:
    job, now, settings = seen.job, seen.now, seen.settings
    if not job.archivable:
        return [], None
    if job.deleting:
        if not job.has_finalizer:
            return [], None
        if job.journaled:
            return [Release(lost=False)], None
        # The journal only takes finished jobs, so the deadline counts from the latest of deletion,
        # removal and end: a slow end must not use the time up.
        times = (job.deleted_at, status.removed_time, status.end_time)
        since = max((time for time in times if time is not None), default=now)
        deadline = since + timedelta(seconds=settings.journal_deadline)
        return ([Release(lost=True)], None) if deadline <= now else ([], deadline)
    if job.journaled_at is None:
        return [], None
    expiry = job.journaled_at + timedelta(seconds=settings.ttl)
    return ([DeleteCoreJob()], None) if expiry <= now else ([], expiry)
