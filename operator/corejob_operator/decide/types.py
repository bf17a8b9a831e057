"""Input and output of `decide`: the situation, the actions and the decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from corejob import trial
from corejob.children import JobChild, PodChild
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.observation import ChildEvent, Observation
from corejob.state import State
from corejob_operator.admission import Blocked
from corejob_operator.settings import OperatorSettings

STARTED: Final = frozenset(
    {
        Reason.STARTING,
        Reason.FAILED_CREATE,
        Reason.UNSCHEDULABLE,
        Reason.FAILED_MOUNT,
        Reason.IMAGE_PULL,
        Reason.CONTAINER_ERROR,
        Reason.TERMINATING,
        # The trial's pod is being deleted, but still exists.
        Reason.POD_DELETED,
        Reason.JOB_DELETED,
    }
)
"""Reasons that are only written once the trial's Job exists."""
DISRUPTED: Final = frozenset({Reason.EVICTED, Reason.NODE_LOST, Reason.POD_REJECTED})
"""Reasons of a run that the cluster ended or refused; the trial runs again after a back-off."""


@dataclass(frozen=True, slots=True)
class CreateTrial:
    """Create the Job of a trial."""

    trial: int


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod, with its own grace period."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a trial's Job, and with it its pods."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreateChild:
    """Create the CoreJob that restarts this one."""

    child_id: str


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Add our finalizer to the CoreJob."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Remove our finalizer from the CoreJob.

    Attributes:
        lost: True if the journal did not store the job within the deadline.
    """

    lost: bool


@dataclass(frozen=True, slots=True)
class DeleteCoreJob:
    """Delete a finished CoreJob that the journal has stored."""


Action = (
    CreateTrial
    | DeletePod
    | DeleteJob
    | CreateChild
    | AddFinalizer
    | RemoveFinalizer
    | DeleteCoreJob
)


@dataclass(frozen=True, slots=True)
class Parent:
    """The job that this one restarts.

    Attributes:
        ended: True if its state is final, or its CoreJob is gone.
        trials: Number of its last trial; 0 if its CoreJob is gone.
        pods: Its pods.
    """

    ended: bool
    trials: int
    pods: Sequence[PodChild]


@dataclass(frozen=True, slots=True)
class Turn:
    """Answer of the admission to a job that wants to start.

    Attributes:
        admitted: True if it may start now.
        blocked: Why it may not, if the admission knows.
        retry_at: When to create its trial again, after the API server has refused it.
    """

    admitted: bool
    blocked: Blocked | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PendingLog:
    """The log of an ended trial that is not stored, and so may still change the cookie.

    Attributes:
        corejob: Name of the CoreJob.
        trial: Number of the trial.
        deadline: Until when to wait for the log.
    """

    corejob: str
    trial: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class StartCondition:
    """Start condition of a waiting job: the reason why it may not start now, or None if it may.

    Attributes:
        until: When to check again even if no event arrives.
    """

    reason: Reason | None = None
    message: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Result of `decide`: first perform the actions, then write the status once if it differs.

    Attributes:
        quiet: True if the status has nothing to tell yet: a later write carries it.
        queue: The job's place in the admission: `waits`, `active` or `absent`.
        requeue_at: When to reconcile again even if no event arrives; None: only at the next event.
    """

    status: Status
    actions: tuple[Action, ...] = ()
    quiet: bool = False
    queue: str = "absent"
    requeue_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All facts that a decision depends on, as they are now.

    Attributes:
        job: The CoreJob.
        jobs: The Jobs of all its trials. `pods`: all their pods.
        starting: Number of other trials that this operator has started and no status tells of yet.
        arrivals: Number of jobs that have come into line within the last ten seconds.
        gone_pod: The last state of its last pod that had started and is gone, until the status
            tells the outcome; None if this operator has seen none.
        events: Events of the Job and the pod of the trial that is starting; empty if none were
            read.
        has_template: True if there is a template of its qual_name.
        id_problem: Why the job can't have the id that its name says; None if it can.
        duplicate: Name of the CoreJob in the queue that this one duplicates, or None.
        parent: The job that it restarts; None for any other job, and once its own trials began.
        turn: The admission's answer, if the job wants to start (`wants_to_start`).
        pending_logs: Logs that its next trial waits for.
        created_trial: The trial whose Job this operator has created and not deleted; None if it
            knows of none, as after its start.
    """

    job: CoreJob
    jobs: Sequence[JobChild]
    pods: Sequence[PodChild]
    now: datetime
    settings: OperatorSettings
    events: Sequence[ChildEvent] = ()
    has_template: bool = True
    id_problem: str | None = None
    duplicate: str | None = None
    parent: Parent | None = None
    turn: Turn = Turn(admitted=False)
    pending_logs: tuple[PendingLog, ...] = ()
    created_trial: int | None = None
    gone_pod: PodChild | None = None
    starting: int = 0
    arrivals: int = 0

    @property
    def begun(self) -> bool:
        """True if a Job or a pod of the next trial exists."""
        trials = {child.trial for child in self.jobs} | {pod.trial for pod in self.pods}
        return next_trial(self.job, self.jobs) in trials

    def observe(self, number: int) -> Observation:
        """Return the observation of one trial.

        For a suspended trial, leave out the pod that the suspension stopped: the status records its
        end already.
        """
        job, status = self.job_of(number), self.job.status
        pods = own_pods(job, self.pods_of(number))
        gone = self.gone_pod if self.gone_pod and self.gone_pod.trial == number else None
        if status.state is State.RUNNING and gone and status.pod not in {None, gone.name}:
            gone = None  # the pod of a run before a suspension
        if status.state is not State.RUNNING and number == status.trial:
            pods = [pod for pod in pods if pod.name != status.pod]
            gone = gone if gone and gone.name != status.pod else None
        return trial.observe(job, pods, gone=gone, now=self.now, events=self.events)

    def job_of(self, number: int) -> JobChild | None:
        """Return the Job of one trial, or None if it does not exist."""
        return next((job for job in self.jobs if job.trial == number), None)

    def pods_of(self, number: int) -> list[PodChild]:
        """Return the pods of one trial, including those of an earlier Job of the same name."""
        return [pod for pod in self.pods if pod.trial == number]


def own_pods(job: JobChild | None, pods: Sequence[PodChild]) -> list[PodChild]:
    """Return the pods that this Job owns, or all of them if the Job is gone."""
    return [pod for pod in pods if job is None or pod.owner_uid == job.uid]


def next_trial(job: CoreJob, jobs: Sequence[JobChild]) -> int:
    """Return the number of the trial that a waiting job starts next, or is starting.

    A suspended trial keeps its number: it goes on in the same Job when that is resumed, and may
    have ended before the operator observes it again.
    """
    status = job.status
    if status.state is State.PENDING and status.reason in {Reason.SUSPENDED, *STARTED}:
        numbers = {child.trial for child in jobs}
        if status.trial > job.carried_trials and status.trial + 1 not in numbers:
            last = next((child for child in jobs if child.trial == status.trial), None)
            if last is not None and not _has_successor(status, last):
                return status.trial
    return status.trial + 1


def was_created(job: CoreJob, number: int, created_trial: int | None) -> bool:
    """True if the Job of the next trial was created before; if it is missing, it was deleted.

    A start that goes well is not in the status until the container runs. Until then this operator
    remembers the Job, and after a restart of the operator the recorder's part of the status tells
    that there was a log. A log proves nothing after a disruption: the operator itself has deleted
    that Job, and creates the trial again.

    Args:
        job: The CoreJob.
        number: The number of its next trial.
        created_trial: See `Situation`.
    """
    status = job.status
    if status.reason in {Reason.SUSPENDED, *STARTED} or created_trial == number:
        return True
    return job.log.trial >= number and not status.disruptions


def _has_successor(status: Status, last: JobChild) -> bool:
    """True if a later trial than that of this Job was started and its Job is gone.

    `startingTime` records the start of a trial, and is cleared when the container starts; for a
    resumed Job it is the creation time of that Job.
    """
    return status.starting_time is not None and status.starting_time > last.created


def at_most(*moments: datetime | None) -> datetime | None:
    """Return the earliest of the moments that are not None, or None if all are."""
    return min((moment for moment in moments if moment is not None), default=None)
