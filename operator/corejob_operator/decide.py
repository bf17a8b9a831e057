"""One decision: what a CoreJob and its children, as they are now, call for.

Level-based: only the present state counts, not how it came about, so that a restart of the operator
at any point changes nothing. Pure: the time is passed in, the result says what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from corejob import clock, ids, machine, names, trial
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.state import FINAL, STOPPED, State
from corejob.trial import JobChild, Observation, Phase, PodChild
from corejob_operator.settings import Settings

STARTED: Final = frozenset(
    {
        Reason.STARTING,
        Reason.UNSCHEDULABLE,
        Reason.IMAGE_PULL,
        Reason.TERMINATING,
        # Its pod is being deleted, and is not gone yet.
        Reason.POD_DELETED,
        Reason.JOB_DELETED,
    }
)
"""Reasons that are only written once the trial's Job exists: gone then means deleted by hand."""


DISRUPTED: Final = frozenset({Reason.EVICTED, Reason.NODE_LOST})
"""Reasons of a trial that runs again."""


_PLACES: Final = {Reason.TEMPLATE_NOT_FOUND: "absent", Reason.COOKIE_PENDING: "active"}
"""What a job is to the choice of the next one while it is held back so; else it waits."""


@dataclass(frozen=True, slots=True)
class CreateTrial:
    """Create the Job of a trial."""

    trial: int


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Stop a pod, with the grace time that it has."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a trial's Job, and so its pods."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreateChild:
    """Create the CoreJob that restarts this one."""

    child_id: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Put our finalizer on the CoreJob."""


@dataclass(frozen=True, slots=True)
class Release:
    """Take our finalizer off: the journal has it, or (`lost`) it never came for it."""

    lost: bool


@dataclass(frozen=True, slots=True)
class DeleteCoreJob:
    """Delete a past CoreJob."""


Action = CreateTrial | DeletePod | DeleteJob | CreateChild | Hold | Release | DeleteCoreJob


@dataclass(frozen=True, slots=True)
class Gate:
    """Why a waiting job may not start now; None as reason: it may.

    Attributes:
        until: When it may be otherwise though nothing happens.
    """

    reason: Reason | None = None
    message: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order: the actions, then one write of the status if it differs.

    Attributes:
        queue: What the job is to the choice of the next one: `waits`, `active` or `absent`.
        wake: When to look again though nothing happens; None: no need.
    """

    status: Status
    actions: tuple[Action, ...] = ()
    queue: str = "absent"
    wake: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is now.

    Attributes:
        job: The CoreJob.
        jobs: All its trials' Jobs. `pods`: all their pods.
        gate: Whether it may start a trial now.
    """

    job: CoreJob
    jobs: Sequence[JobChild]
    pods: Sequence[PodChild]
    gate: Gate
    now: datetime
    settings: Settings

    def observe(self, number: int) -> Observation:
        """What became of one trial."""
        job = next((j for j in self.jobs if j.trial == number), None)
        return trial.observe(job, self.pods_of(number), now=self.now)

    def pods_of(self, number: int) -> list[PodChild]:
        """The pods of one trial."""
        return [pod for pod in self.pods if pod.trial == number]


def decide(seen: Situation) -> Decision:
    """What the situation calls for."""
    job = seen.job
    if not job.held and not job.deleting:
        return Decision(job.status, (Hold(),), queue=_queue(seen))
    if job.status.state in FINAL:
        decision = _final(seen)
    elif job.status.state is State.RUNNING:
        decision = _running(seen)
    else:
        decision = _waiting(seen)
    return _tidy(seen, _replaced(seen, decision))


def _queue(seen: Situation) -> str:
    status = seen.job.status
    if status.state in FINAL:
        return "absent"
    starting = any(job.trial == status.trial + 1 for job in seen.jobs)
    return "active" if status.state is State.RUNNING or starting else "waits"


def _at_most(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


# --- waiting: pending, failed, deferred ---------------------------------------------------------


def _waiting(seen: Situation) -> Decision:
    job, status = seen.job, seen.job.status
    number = status.trial + 1
    observed = seen.observe(number)
    if observed.phase is not Phase.ABSENT:
        seen, job = _heeded(seen)
    if job.kill or job.remove:
        return _withdraw(seen, number, observed)
    if observed.phase is Phase.ABSENT:
        return _not_started(seen, number)
    if observed.phase is Phase.RUNNING or observed.started_at is not None:
        return Decision(machine.start(job, number, observed, seen.now), queue="active")
    if observed.phase is Phase.ENDED:
        return _ended_before_start(seen, number, observed)
    return _starting(seen, number, observed)


def _withdraw(seen: Situation, number: int, observed: Observation) -> Decision:
    """A waiting job is killed or removed: what has begun of its next trial is stopped first."""
    job, now = seen.job, seen.now
    if job.past:
        return Decision(job.status, _stop(seen, number))  # the journal may have it as it is
    if observed.started_at is not None:
        if job.withdrawn:
            return _quit(seen, number, observed, observed.started_at)
        return Decision(machine.start(job, number, observed, now), queue="active")
    if observed.phase is Phase.STARTING:
        status = replace(job.status, killed_time=_asked(job, job.status.killed_time, now))
        return Decision(status, _stop(seen, number), queue="active")
    counted = _counted(job, number)
    if job.kill:
        return Decision(machine.killed(job, counted, now))
    return Decision(replace(counted, removed_time=counted.removed_time or now))


def _quit(seen: Situation, number: int, observed: Observation, started_at: datetime) -> Decision:
    """It was removed while it waited, and so has left the queue; its trial has started meanwhile.

    It must not come back as running: it is stopped, and keeps its state. If it has ended by itself
    already, that is how the job ended.
    """
    job, now = seen.job, seen.now
    if observed.phase is not Phase.ENDED:
        latest = started_at + timedelta(seconds=seen.settings.attach_wait)
        if job.log.trial < number and now < latest:
            return Decision(job.status, queue="active", wake=latest)
        return Decision(job.status, _stop_pods(seen, number), queue="active")
    if observed.outcome in {State.KILLED, State.PENDING}:
        return Decision(replace(job.status, trial=number, removed_time=now))
    ran = replace(job, status=machine.start(job, number, observed, now))
    return Decision(_removed(job, machine.finish(ran, observed, now), now))


def _counted(job: CoreJob, number: int) -> Status:
    """The status, with a trial that started and ended unseen, as the recorder tells who read it."""
    return replace(job.status, trial=number) if job.log.trial == number else job.status


def _asked(job: CoreJob, known: datetime | None, now: datetime) -> datetime | None:
    return (known or now) if job.kill else None


def _stop(seen: Situation, number: int) -> tuple[Action, ...]:
    """Stop a trial for good: its Job first, so that no new pod comes, and its pods at once."""
    jobs = tuple(
        DeleteJob(job.name, job.uid)
        for job in seen.jobs
        if job.trial == number and not job.deleting
    )
    pods = tuple(DeletePod(pod.name, pod.uid) for pod in seen.pods_of(number) if not pod.deleting)
    return jobs + pods


def _not_started(seen: Situation, number: int) -> Decision:
    job, status, now = seen.job, seen.job.status, seen.now
    if status.reason in STARTED:
        lost = replace(
            _counted(job, number),
            reason=str(Reason.JOB_DELETED),
            message=f"the Job {names.trial_name(job.name, number)} was deleted by somebody else",
            end_time=now,
        )
        return Decision(machine.killed(job, lost, now))
    moment = due(job)
    over = moment is None or moment <= now
    if status.state is State.DEFERRED and over and _is_inactive(job, now):
        return Decision(machine.inactive(status))
    if seen.gate.reason is None:
        starting = replace(
            status, reason=str(Reason.STARTING), message="waiting for the pod", query_time=moment
        )
        return Decision(_followed(job, starting), (CreateTrial(number),), queue="active")
    waiting = replace(
        status, reason=str(seen.gate.reason), message=seen.gate.message, query_time=moment
    )
    queue = _PLACES.get(seen.gate.reason, "waits")
    return Decision(waiting, queue=queue, wake=seen.gate.until)


def due(job: CoreJob) -> datetime | None:
    """When the next trial is due; None: at once, as also when a restart was asked."""
    return None if restart_asked(job) is not None else job.status.query_time


def restart_asked(job: CoreJob) -> datetime | None:
    """`spec.restartAt`, unless it was followed already; no clocks are compared."""
    asked = clock.parse(job.spec.get("restartAt"))
    return None if asked == job.status.restart_time else asked


def _followed(job: CoreJob, status: Status) -> Status:
    """Note that a restart was followed, or is none: a job that runs can't be restarted."""
    return replace(status, restart_time=clock.parse(job.spec.get("restartAt")))


def _heeded(seen: Situation) -> tuple[Situation, CoreJob]:
    """A restart asks for the next trial at once, and there it is; but a killed job is replaced."""
    job = seen.job
    if not job.kill:
        job = replace(job, status=_followed(job, job.status))
    return replace(seen, job=job), job


def _is_inactive(job: CoreJob, now: datetime) -> bool:
    return job.status.inactive_time is not None and job.status.inactive_time <= now


def _starting(seen: Situation, number: int, observed: Observation) -> Decision:
    job, now, settings = seen.job, seen.now, seen.settings
    child = next((j for j in seen.jobs if j.trial == number), None)
    wake = None
    if settings.start_deadline and child is not None and observed.trouble:
        deadline = child.created + timedelta(seconds=settings.start_deadline)
        wake = deadline
        if deadline <= now:
            late = f"not started within {settings.start_deadline:g} s: {observed.message}"
            failed = machine.failed_before_start(job.status, replace(observed, message=late), now)
            return Decision(failed)
    status = replace(
        job.status,
        reason=str(observed.reason),
        message=observed.message,
        last_error=observed.last_error or job.status.last_error,
    )
    if observed.last_error is not None and _same_error(job.status, observed):
        status = replace(status, last_error=job.status.last_error)
    return Decision(status, queue="active", wake=wake)


def _same_error(status: Status, observed: Observation) -> bool:
    """The same trouble seen again keeps its first timestamp, or each look would be a write."""
    known, new = status.last_error or {}, observed.last_error or {}
    return known.get("exception") == new.get("exception")


def _ended_before_start(seen: Situation, number: int, observed: Observation) -> Decision:
    """Its container never ran: no attempt is used and no trial is counted."""
    job, now = seen.job, seen.now
    if observed.outcome is State.PENDING:
        # A disruption: clear the dead Job away, then the same trial is made anew. Written down
        # first, or a crash in between would leave what looks like a Job deleted by hand.
        status = replace(
            job.status, reason=str(observed.reason), message=observed.message, last_error=None
        )
        noted = job.status.reason == status.reason
        return Decision(status, _stop(seen, number) if noted else (), queue="active")
    if observed.outcome is State.KILLED:
        status = replace(
            job.status, reason=str(observed.reason), message=observed.message, end_time=now
        )
        return Decision(machine.killed(job, status, now))
    return Decision(machine.failed_before_start(job.status, observed, now))


# --- running ------------------------------------------------------------------------------------


def _running(seen: Situation) -> Decision:
    seen, job = _heeded(seen)
    now = seen.now
    observed = seen.observe(job.status.trial)
    if observed.phase is Phase.ABSENT:
        observed = Observation(
            Phase.ENDED,
            Reason.JOB_DELETED,
            "the Job was deleted by somebody else",
            outcome=State.KILLED,
            last_error=trial.error("JobKilledByWorker", now),
            ended_at=now,
        )
    if observed.phase is Phase.ENDED:
        observed = _as_seen_before(job.status, observed)
        return Decision(_removed(job, machine.finish(job, observed, now), now), queue="absent")
    status = replace(
        job.status, reason=str(observed.reason), message=observed.message, node=observed.node
    )
    if observed.phase is Phase.STARTING:
        status = job.status
    if job.stop:
        return _stopping(seen, status)
    return _overdue(seen, _removed(job, status, now))


def _as_seen_before(status: Status, observed: Observation) -> Observation:
    """Of a disruption whose pod is gone the Job tells less than the pod did as it went."""
    if observed.pod is None and observed.outcome is State.PENDING and status.reason in DISRUPTED:
        return replace(observed, reason=Reason(str(status.reason)), message=status.message)
    return observed


def _removed(job: CoreJob, status: Status, now: datetime) -> Status:
    return replace(status, removed_time=status.removed_time or now) if job.remove else status


def _stopping(seen: Situation, status: Status) -> Decision:
    """Delete the pod, but only once the recorder is reading: a deleted pod's log is gone."""
    job, now = seen.job, seen.now
    status = replace(_removed(job, status, now), killed_time=_asked(job, status.killed_time, now))
    asked = status.killed_time or job.deleted_at or now
    latest = asked + timedelta(seconds=seen.settings.attach_wait)
    followed = job.log.trial >= job.status.trial
    if not followed and now < latest:
        return Decision(status, queue="active", wake=latest)
    text = "stopping the pod"
    if not followed:
        text += "; nobody was reading its log, its last lines may be missing"
    status = replace(status, reason=str(Reason.TERMINATING), message=text)
    return Decision(status, _stop_pods(seen, job.status.trial), queue="active")


def _stop_pods(seen: Situation, number: int) -> tuple[Action, ...]:
    """Stop what runs; its Job stays until the log is settled."""
    return tuple(
        DeletePod(pod.name, pod.uid)
        for pod in seen.pods_of(number)
        if not pod.deleting and not pod.over
    )


def _overdue(seen: Situation, status: Status) -> Decision:
    """Flag what runs too long or says nothing; it runs on."""
    job, now, start = seen.job, seen.now, seen.job.status.start_time or seen.now
    wake = None
    wall = job.spec["wallTimeSeconds"]
    if wall is not None and status.nonstop_time is None:
        limit = start + timedelta(seconds=wall)
        if limit <= now:
            status = replace(status, nonstop_time=now)
        else:
            wake = limit
    if status.zombie_time is None:
        beat = max(start, job.progress.time or start)
        limit = beat + timedelta(seconds=job.spec["zombieTimeSeconds"])
        if limit <= now:
            status = replace(status, zombie_time=now)
        else:
            wake = _at_most(wake, limit)
    return Decision(status, queue="active", wake=wake)


# --- final --------------------------------------------------------------------------------------


def _final(seen: Situation) -> Decision:
    job = seen.job
    return Decision(_removed(job, job.status, seen.now))


def _replaced(seen: Situation, decision: Decision) -> Decision:
    """The job that restarts this one is made, and noted."""
    child_id = wanted_child(seen.job)
    if child_id is None or decision.status.child_id is not None:
        return decision
    status = replace(decision.status, child_id=child_id)
    return replace(decision, status=status, actions=(*decision.actions, CreateChild(child_id)))


def wanted_child(job: CoreJob) -> str | None:
    """The id of the CoreJob that is to restart this one: the API's choice, or one of ours.

    Ours is derived, not drawn, so that a crash between creating it and noting it makes no second.
    """
    stopped = job.status.state in STOPPED
    if job.spec.get("childId"):
        return str(job.spec["childId"]) if stopped else None
    if job.past:
        return None  # the journal may have it as it is
    # One that is marked killed counts as killed.
    asked = restart_asked(job) if stopped or job.kill else None
    return ids.derived_id(asked, f"{job.uid}/restart") if asked is not None else None


# --- whatever the state -------------------------------------------------------------------------


def _tidy(seen: Situation, decision: Decision) -> Decision:
    """Clear away ended trials' Jobs, and the CoreJob itself once it is past and in the journal."""
    actions, wake = list(decision.actions), decision.wake
    stopping = {action.name for action in actions if isinstance(action, DeleteJob)}
    for job in seen.jobs:
        if job.name in stopping or job.deleting or not _is_spent(seen, job):
            continue
        deadline = _log_deadline(seen, decision, job)
        if deadline is None or deadline <= seen.now:
            actions.append(DeleteJob(job.name, job.uid))
        else:
            wake = _at_most(wake, deadline)
    leave, leave_at = _leave(seen, decision.status)
    actions += leave
    return replace(decision, actions=tuple(actions), wake=_at_most(wake, leave_at))


def _is_spent(seen: Situation, job: JobChild) -> bool:
    """Whether a Job's trial is over, and its outcome written down."""
    status = seen.job.status
    over = status.state is not State.RUNNING or job.trial < status.trial
    return over and (job.trial <= status.trial or status.state in FINAL)


def _log_deadline(seen: Situation, decision: Decision, job: JobChild) -> datetime | None:
    """Until when its log is waited for; None: it is in the journal, or it never had one."""
    log, status = seen.job.log, seen.job.status
    # A later trial's log that is being read says nothing about this one's.
    settled = log.trial >= job.trial and log.complete
    if settled or job.trial > status.trial or job.trial <= seen.job.carried_trials:
        return None
    ended = decision.status.end_time or seen.now
    return ended + timedelta(seconds=seen.settings.log_deadline)


def _leave(seen: Situation, status: Status) -> tuple[list[Action], datetime | None]:
    job, now, settings = seen.job, seen.now, seen.settings
    if not job.past:
        return [], None
    if job.deleting:
        if not job.held:
            return [], None
        if job.journaled:
            return [Release(lost=False)], None
        # Before it was past, the journal could not take it: slow ends don't count against that.
        times = (job.deleted_at, status.removed_time, status.end_time)
        since = max((time for time in times if time is not None), default=now)
        deadline = since + timedelta(seconds=settings.journal_deadline)
        return ([Release(lost=True)], None) if deadline <= now else ([], deadline)
    if job.journaled_at is None:
        return [], None
    expiry = job.journaled_at + timedelta(seconds=settings.ttl)
    return ([DeleteCoreJob()], None) if expiry <= now else ([], expiry)
