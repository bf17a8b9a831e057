"""Decisions about a waiting job (pending, failed, deferred): not started yet, or starting."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from corejob import machine
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.starting import WAITING_FOR_POD
from corejob.state import State
from corejob.trial import overdue_at
from corejob_operator.decide.requests import (
    due,
    followed,
    requested_restart,
    with_restart_followed,
)
from corejob_operator.decide.running import as_started, decide_running
from corejob_operator.decide.start_conditions import start_condition
from corejob_operator.decide.start_deadline import start_deadline, too_late, with_starting_time
from corejob_operator.decide.stopping import ORPHANED, stop_orphans
from corejob_operator.decide.types import (
    DISRUPTED,
    CreateTrial,
    Decision,
    Situation,
    at_most,
    next_trial,
    was_created,
)
from corejob_operator.decide.unstarted import ended_before_start, leftover
from corejob_operator.decide.withdrawn import counted, kill_or_remove

REPORT_AFTER: Final = timedelta(seconds=2)
"""Age of its Job at which a start without problems is reported: most are over by then.

It takes at least one second, since creation times are truncated to whole seconds.
"""
REPORT_LATER: Final = timedelta(seconds=0.25)
"""This is added for each trial that starts at the same time.

A cluster starts many trials in turn, and a status patch of each would slow all of them down.
"""
REPORT_LATEST: Final = timedelta(seconds=30)
"""Age of its Job at which any start is reported."""
ARRIVALS_REPORTED_AT_ONCE: Final = 10
"""If so many jobs have come into line within ten seconds, a new one is reported at once."""
WAIT_REPORT_LATER: Final = timedelta(seconds=0.05)
"""This is added for each further one to the age at which a new job in line is reported.

A status patch costs as much as an enqueue, and would slow the enqueues down. A job that starts
meanwhile needs no report that it waited.
"""
WAIT_REPORT_LATEST: Final = timedelta(seconds=10)
"""Age at which any job in line is reported."""
_IN_LINE: Final = frozenset({Reason.QUEUED, Reason.MAX_PARALLEL, Reason.NAMESPACE_LIMIT})
_PLACES: Final = {Reason.TEMPLATE_NOT_FOUND: "absent", Reason.COOKIE_PENDING: "active"}
"""Place in the admission of a job that waits for one of these reasons; any other: `waits`."""


def decide_waiting(situation: Situation) -> Decision:
    """Return the decision about a waiting job."""
    number = next_trial(situation.job, situation.jobs)
    observed = situation.observe(number)
    may_be_quiet = _may_be_quiet(situation.job)
    if observed.phase is not Phase.ABSENT:
        situation = with_restart_followed(situation)
    job = situation.job
    if job.kill or job.remove:
        return kill_or_remove(situation, number, observed)
    if observed.phase is Phase.ABSENT:
        return _not_started(situation, number)
    if observed.phase is Phase.RUNNING or observed.started_at is not None:
        return decide_running(as_started(situation, number, observed))
    if observed.phase is Phase.ENDED and observed.reason is not Reason.SUSPENDED:
        return ended_before_start(situation, number, observed)
    # A suspended trial waits, though its pod has ended: when resumed, it goes on in the same Job.
    rest = leftover(situation, number, observed)
    return rest or _starting(situation, number, observed, may_be_quiet=may_be_quiet)


# --- the next trial has no Job ------------------------------------------------------------------


def _not_started(situation: Situation, number: int) -> Decision:
    job, status, now = situation.job, situation.job.status, situation.now
    if was_created(job, number, situation.created_trial):
        return _lost(situation, number)
    moment = due(job)
    over = moment is None or moment <= now
    if status.state is State.DEFERRED and over and _is_inactive(job, now):
        return Decision(machine.inactive(status))
    deadline = start_deadline(situation)
    if deadline is not None and deadline <= now:
        return Decision(too_late(situation, status.reason, status.message))
    condition = start_condition(situation)
    if condition.reason is None:
        starting = replace(
            status,
            reason=str(Reason.STARTING),
            message=WAITING_FOR_POD,
            query_time=moment,
            starting_time=status.starting_time or now,
        )
        actions, quiet = (CreateTrial(number),), _may_be_quiet(job)
        return Decision(followed(job, starting), actions, quiet=quiet, queue="active")
    waiting = replace(
        status,
        reason=str(condition.reason),
        message=condition.message,
        query_time=moment,
    )
    queue = _PLACES.get(condition.reason, "waits")
    requeue_at = at_most(condition.until, deadline)
    report_at = _wait_report_at(situation, condition.reason)
    return Decision(
        waiting,
        quiet=report_at is not None,
        queue=queue,
        requeue_at=at_most(requeue_at, report_at),
    )


def _wait_report_at(situation: Situation, reason: Reason) -> datetime | None:
    """Return when to report that a new job waits in line, if it does until then; None: now.

    A job made by kubectl is reported at once: its status has its id.
    """
    job = situation.job
    many = situation.arrivals - ARRIVALS_REPORTED_AT_ONCE
    if many <= 0 or reason not in _IN_LINE or job.observed or job.id != job.name:
        return None
    report_at = job.created + min(many * WAIT_REPORT_LATER, WAIT_REPORT_LATEST)
    return report_at if situation.now < report_at else None


def _lost(situation: Situation, number: int) -> Decision:
    """Kill a job whose trial has lost its Job before it was observed running."""
    job, now = situation.job, situation.now
    status = replace(
        counted(job, number),
        reason=str(Reason.JOB_DELETED),
        message="its Job was deleted by somebody else",
        end_time=now,
    )
    if situation.created_trial == number:
        status = followed(job, status)  # the start was not written, nor that it was requested
    return Decision(machine.killed(job, status, now))


def _is_inactive(job: CoreJob, now: datetime) -> bool:
    return job.status.inactive_time is not None and job.status.inactive_time <= now


def _may_be_quiet(job: CoreJob) -> bool:
    """True if a start may go unreported at first.

    After a disruption it may not: its reason would seem to be that of the new Job. Nor if the start
    follows a restart: a kill would seem to come before that, and the killed job would be restarted.
    """
    return job.status.reason not in DISRUPTED and requested_restart(job) is None


# --- the next trial has a Job -------------------------------------------------------------------


def _starting(
    situation: Situation, number: int, observed: Observation, *, may_be_quiet: bool
) -> Decision:
    job, now = situation.job, situation.now
    observed = _with_recorded_event(situation, number, observed)
    deadline = start_deadline(situation)
    if deadline is not None and deadline <= now:
        return Decision(too_late(situation, str(observed.reason), observed.message))
    requeue_at = at_most(deadline, overdue_at(situation.pods_of(number), now))
    report_at = _report_at(situation, number, observed)
    if may_be_quiet and report_at is not None:
        requeue_at = at_most(requeue_at, report_at)
        return Decision(job.status, quiet=True, queue="active", requeue_at=requeue_at)
    status = replace(
        with_starting_time(situation, number),
        reason=str(observed.reason),
        message=observed.message,
        last_error=observed.last_error or job.status.last_error,
    )
    if observed.last_error is not None and _same_error(job.status, observed):
        status = replace(status, last_error=job.status.last_error)
    actions = stop_orphans(situation, number)
    if actions:
        status = replace(status, reason=str(Reason.JOB_DELETED), message=ORPHANED)
    return Decision(status, actions, queue="active", requeue_at=requeue_at)


def _report_at(situation: Situation, number: int, observed: Observation) -> datetime | None:
    """Return when to report the start if it lasts until then; None: now.

    A start that Kubernetes reports a problem of, or whose Job is gone, is reported at once.
    """
    child = situation.job_of(number)
    if observed.reason is not Reason.STARTING or child is None:
        return None
    quiet = min(REPORT_AFTER + situation.starting * REPORT_LATER, REPORT_LATEST)
    report_at = child.created + quiet
    return report_at if situation.now < report_at else None


def _with_recorded_event(situation: Situation, number: int, observed: Observation) -> Observation:
    """Keep reason and message that came from an Event.

    Events expire after an hour, and are not read at each reconcile.
    """
    status = situation.job.status
    pods = situation.pods_of(number)
    about = {pod.uid for pod in pods} | {job.uid for job in situation.jobs if job.trial == number}
    if observed.reason is not Reason.STARTING or any(
        event.uid in about for event in situation.events
    ):
        return observed
    kept = Reason.FAILED_MOUNT if pods else Reason.FAILED_CREATE
    if status.reason != kept:
        return observed
    return replace(observed, reason=kept, message=status.message)


def _same_error(status: Status, observed: Observation) -> bool:
    """True if `lastError` has the same problem already: its first timestamp stays, no write."""
    recorded, new = status.last_error or {}, observed.last_error or {}
    return recorded.get("exception") == new.get("exception")
