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
from corejob_operator.decide.logs import log_deadline
from corejob_operator.decide.requests import (
    due,
    followed,
    kill_time,
    removed,
    requested_restart,
    with_restart_followed,
)
from corejob_operator.decide.running import decide_running
from corejob_operator.decide.start_conditions import start_condition
from corejob_operator.decide.stopping import stop_pods, stop_trial
from corejob_operator.decide.types import (
    DISRUPTED,
    CreateTrial,
    Decision,
    Situation,
    at_most,
    next_trial,
    was_created,
)

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
        return _kill_or_remove(situation, number, observed)
    if observed.phase is Phase.ABSENT:
        return _not_started(situation, number)
    if observed.phase is Phase.RUNNING or observed.started_at is not None:
        return decide_running(_started(situation, number, observed))
    if observed.phase is Phase.ENDED:
        return _ended_before_start(situation, number, observed)
    return _starting(situation, number, observed, may_be_quiet=may_be_quiet)


def _started(situation: Situation, number: int, observed: Observation) -> Situation:
    """Return the situation as if the start of the trial's container had been written.

    So one write may tell start and end of a trial that was over before it was observed.
    """
    job = situation.job
    status = machine.start(job, number, observed, situation.now)
    return replace(situation, job=replace(job, status=status))


# --- killed or removed --------------------------------------------------------------------------


def _kill_or_remove(situation: Situation, number: int, observed: Observation) -> Decision:
    """Kill or remove a waiting job. Stop its next trial first if that has already started."""
    job, now = situation.job, situation.now
    if job.archivable:
        # The journal may have stored the status already, so it must not change. A suspended trial
        # has run, and so has a log: its Job stays until the log is stored.
        stop = stop_pods if number <= job.status.trial else stop_trial
        return Decision(job.status, stop(situation, number))
    if observed.started_at is not None:
        if job.removed_while_waiting:
            return _stop_removed(situation, number, observed, observed.started_at)
        return decide_running(_started(situation, number, observed))
    if observed.phase is Phase.STARTING:
        status = _with_starting_time(situation, number)
        status = replace(status, killed_time=kill_time(job, status.killed_time, now))
        # A suspended trial has run: its Job stays until its log is stored.
        ended = job.status.end_time or now
        unread = log_deadline(situation, number, since=ended, has_log=number <= job.status.trial)
        if unread is not None and unread > now:
            return Decision(status, stop_pods(situation, number), queue="active", requeue_at=unread)
        requeue_at = overdue_at(situation.pods_of(number), now)
        return Decision(
            status, stop_trial(situation, number), queue="active", requeue_at=requeue_at
        )
    return _end_unstarted(situation, number, observed)


def _end_unstarted(situation: Situation, number: int, observed: Observation) -> Decision:
    """Kill or remove a job whose next trial does not run, and can't start any more."""
    job, now = situation.job, situation.now
    if observed.outcome is State.FAILED:
        # The trial failed by itself before the job's container started; it has a log.
        failed = machine.failed_unstarted(job, number, observed, now)
        if job.kill:
            counted = replace(
                job.status, trial=number, end_time=failed.end_time, exit_code=failed.exit_code
            )
            return Decision(machine.killed(job, counted, now))
        return Decision(removed(job, failed, now))
    unread = _stopped_log_deadline(situation, number, began=False)
    if unread is not None and unread > now:
        status = replace(job.status, killed_time=kill_time(job, job.status.killed_time, now))
        return Decision(status, stop_trial(situation, number), queue="active", requeue_at=unread)
    counted = _counted(job, number)
    if job.kill:
        return Decision(machine.killed(job, counted, now))
    return Decision(_removed_while_waiting(job, counted, now))


def _removed_while_waiting(job: CoreJob, status: Status, now: datetime) -> Status:
    """Return the status of a job removed while it waited: the same state, no longer starting."""
    cause = "the CoreJob was deleted" if job.deleting else "removed by the user"
    return replace(
        removed(job, status, now),
        reason=str(Reason.REMOVED),
        message=f"{cause} while it waited",
        query_time=None,
        starting_time=None,
    )


def _stop_removed(
    situation: Situation, number: int, observed: Observation, started_at: datetime
) -> Decision:
    """Stop the trial of a job that was removed while it waited, but started meanwhile.

    The job has left the queue, and must not come back as running: an equal job may be queued by
    now. It keeps its state, unless its trial has ended by itself: then the job ends with that
    outcome.
    """
    job, now = situation.job, situation.now
    if observed.phase is not Phase.ENDED:
        latest = started_at + timedelta(seconds=situation.settings.attach_wait)
        if job.log.trial < number and now < latest:
            return Decision(job.status, queue="active", requeue_at=latest)
        requeue_at = overdue_at(situation.pods_of(number), now)
        return Decision(
            job.status, stop_pods(situation, number), queue="active", requeue_at=requeue_at
        )
    if observed.outcome in {State.KILLED, State.PENDING}:
        unread = _stopped_log_deadline(situation, number, began=True)
        if unread is not None and unread > now:
            return Decision(job.status, queue="active", requeue_at=unread)
        return Decision(_removed_while_waiting(job, _counted(job, number), now))
    ran = _started(situation, number, observed).job
    return Decision(removed(job, machine.finish(ran, observed, now), now))


def _stopped_log_deadline(situation: Situation, number: int, *, began: bool) -> datetime | None:
    """Return until when to wait for the log of a stopped trial; None if it is read or has none.

    Only the log tells if the job's own program had started before the trial was stopped.

    Args:
        situation: The situation.
        number: The trial.
        began: True if its container is known to have started.
    """
    job = situation.job
    since = _starting_time(situation, number) or job.created
    has_log = began or job.log.trial >= number
    return log_deadline(situation, number, since=since, has_log=has_log)


def _counted(job: CoreJob, number: int) -> Status:
    """Return the status, with a trial counted that started but was never observed running.

    The log decides, since a pod may be stopped before its container executes the job's program.
    """
    begun = job.log.started_trial >= number > job.status.trial
    return replace(job.status, trial=number, exit_code=None) if begun else job.status


# --- the next trial has no Job ------------------------------------------------------------------


def _not_started(situation: Situation, number: int) -> Decision:
    job, status, now = situation.job, situation.job.status, situation.now
    if was_created(job, number, situation.created_trial):
        return _lost(situation, number)
    moment = due(job)
    over = moment is None or moment <= now
    if status.state is State.DEFERRED and over and _is_inactive(job, now):
        return Decision(machine.inactive(status))
    deadline = _start_deadline(situation)
    if deadline is not None and deadline <= now:
        return Decision(_too_late(situation, status.reason, status.message))
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
        _counted(job, number),
        reason=str(Reason.JOB_DELETED),
        message="its Job was deleted by somebody else",
        end_time=now,
    )
    if situation.created_trial == number:
        status = followed(job, status)  # the start was not written, nor that it was requested
    return Decision(machine.killed(job, status, now))


def _is_inactive(job: CoreJob, now: datetime) -> bool:
    return job.status.inactive_time is not None and job.status.inactive_time <= now


def _start_deadline(situation: Situation) -> datetime | None:
    """Return when the starting trial exceeds the start deadline, for any cause; None: never.

    A Job is suspended on purpose, so the time counts from its resumption.
    """
    number, seconds = next_trial(situation.job, situation.jobs), situation.settings.start_deadline
    since = _starting_time(situation, number)
    if not seconds or since is None:
        return None
    job = situation.job_of(number)
    if job is not None:
        if job.suspended:
            return None
        since = max(since, job.resumed_at or since)
    return since + timedelta(seconds=seconds)


def _starting_time(situation: Situation, number: int) -> datetime | None:
    """Return when the start of the trial was first requested; None before.

    Until the status has it, it is the creation time of the trial's Job.
    """
    child = situation.job_of(number)
    return situation.job.status.starting_time or (child.created if child is not None else None)


def _with_starting_time(situation: Situation, number: int) -> Status:
    """Return the status with the time at which the start of the trial was first requested."""
    since = _starting_time(situation, number) or situation.now
    return replace(situation.job.status, starting_time=since)


def _may_be_quiet(job: CoreJob) -> bool:
    """True if a start may go unreported at first.

    After a disruption it may not: its reason would seem to be that of the new Job. Nor if the start
    follows a restart: a kill would seem to come before that, and the killed job would be restarted.
    """
    return job.status.reason not in DISRUPTED and requested_restart(job) is None


def _too_late(situation: Situation, reason: str | None, message: str | None) -> Status:
    late = f"not started within {situation.settings.start_deadline:g} s: {message}"
    observed = Observation(Phase.ENDED, Reason(reason or Reason.STARTING), late)
    return machine.failed_before_start(situation.job.status, observed, situation.now)


# --- the next trial has a Job -------------------------------------------------------------------


def _starting(
    situation: Situation, number: int, observed: Observation, *, may_be_quiet: bool
) -> Decision:
    job, now = situation.job, situation.now
    observed = _with_recorded_event(situation, number, observed)
    deadline = _start_deadline(situation)
    if deadline is not None and deadline <= now:
        return Decision(_too_late(situation, str(observed.reason), observed.message))
    requeue_at = at_most(deadline, overdue_at(situation.pods_of(number), now))
    report_at = _report_at(situation, number, observed)
    if may_be_quiet and report_at is not None:
        requeue_at = at_most(requeue_at, report_at)
        return Decision(job.status, quiet=True, queue="active", requeue_at=requeue_at)
    status = replace(
        _with_starting_time(situation, number),
        reason=str(observed.reason),
        message=observed.message,
        last_error=observed.last_error or job.status.last_error,
    )
    if observed.last_error is not None and _same_error(job.status, observed):
        status = replace(status, last_error=job.status.last_error)
    return Decision(status, queue="active", requeue_at=requeue_at)


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


def _ended_before_start(situation: Situation, number: int, observed: Observation) -> Decision:
    """Return the decision about a trial that ended before the job's own container ran."""
    job, now = situation.job, situation.now
    if observed.outcome is State.PENDING:
        return _disrupted_before_start(situation, number, observed)
    if observed.outcome is State.KILLED:
        status = replace(
            job.status, reason=str(observed.reason), message=observed.message, end_time=now
        )
        return Decision(machine.killed(job, status, now))
    if observed.outcome is State.FAILED:
        return Decision(machine.failed_unstarted(job, number, observed, now))
    return Decision(machine.failed_before_start(job.status, observed, now))


def _disrupted_before_start(situation: Situation, number: int, observed: Observation) -> Decision:
    """Delete the Job of a trial whose pod the cluster refused or evicted; then create it again.

    The status is written first: after a crash in between, the missing Job would look as if
    somebody else had deleted it. The old Job must be gone first, since the new one has its name.
    """
    status = situation.job.status
    deadline = _start_deadline(situation)
    if deadline is not None and deadline <= situation.now:
        return Decision(_too_late(situation, str(observed.reason), observed.message))
    if status.reason == str(observed.reason):
        return Decision(status, stop_trial(situation, number), queue="active", requeue_at=deadline)
    status = _with_starting_time(situation, number)
    return Decision(machine.disrupted(status, observed, situation.now), queue="active")
