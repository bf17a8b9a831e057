"""Decisions about a waiting job that was killed or removed; its next trial may have begun."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from corejob import machine
from corejob.children import PodChild
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.state import State
from corejob.trial import newest, overdue_at, silent_node
from corejob_operator.decide.logs import log_deadline
from corejob_operator.decide.requests import kill_time, removed
from corejob_operator.decide.running import as_started, decide_running
from corejob_operator.decide.start_deadline import starting_time, with_starting_time
from corejob_operator.decide.stopping import stop_pods, stop_trial
from corejob_operator.decide.types import Decision, Situation


def kill_or_remove(situation: Situation, number: int, observed: Observation) -> Decision:
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
        return decide_running(as_started(situation, number, observed))
    if observed.phase is Phase.STARTING:
        status = with_starting_time(situation, number)
        status = replace(status, killed_time=kill_time(job, status.killed_time, now))
        status = _naming_silent_node(status, situation.pods_of(number), now)
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


def _naming_silent_node(status: Status, pods: Sequence[PodChild], now: datetime) -> Status:
    """Return the status with the node that does not stop the newest pod, if it is overdue."""
    pod = newest(pods)
    silent = silent_node(pod, now) if pod is not None and pod.deleting else None
    if silent is None:
        return status
    return replace(status, reason=str(Reason.TERMINATING), message=f"stopping the pod; {silent}")


def _end_unstarted(situation: Situation, number: int, observed: Observation) -> Decision:
    """Kill or remove a job whose next trial does not run, and can't start any more."""
    job, now = situation.job, situation.now
    if observed.outcome is State.FAILED:
        # The trial failed by itself before the job's container started; it has a log.
        failed = machine.failed_unstarted(job, number, observed, now)
        if job.kill:
            status = replace(
                job.status, trial=number, end_time=failed.end_time, exit_code=failed.exit_code
            )
            return Decision(machine.killed(job, status, now))
        return Decision(removed(job, failed, now))
    unread = _stopped_log_deadline(situation, number, began=False)
    if unread is not None and unread > now:
        status = replace(job.status, killed_time=kill_time(job, job.status.killed_time, now))
        return Decision(status, stop_trial(situation, number), queue="active", requeue_at=unread)
    status = counted(job, number)
    if job.kill:
        return Decision(machine.killed(job, status, now))
    return Decision(_removed_while_waiting(job, status, now))


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
        return Decision(_removed_while_waiting(job, counted(job, number), now))
    ran = as_started(situation, number, observed).job
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
    since = starting_time(situation, number) or job.created
    has_log = began or job.log.trial >= number
    return log_deadline(situation, number, since=since, has_log=has_log)


def counted(job: CoreJob, number: int) -> Status:
    """Return the status, with a trial counted that started but was never observed running.

    The log decides, since a pod may be stopped before its container executes the job's program.
    """
    begun = job.log.started_trial >= number > job.status.trial
    return replace(job.status, trial=number, exit_code=None) if begun else job.status
