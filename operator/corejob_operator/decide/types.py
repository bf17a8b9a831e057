"""What a decision is made from and what it is made of: the situation, the actions, the result."""

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
from corejob_operator.settings import Settings

STARTED: Final = frozenset(
    {
        Reason.STARTING,
        Reason.FAILED_CREATE,
        Reason.UNSCHEDULABLE,
        Reason.FAILED_MOUNT,
        Reason.IMAGE_PULL,
        Reason.CONTAINER_ERROR,
        Reason.TERMINATING,
        # Its pod is being deleted, and is not gone yet.
        Reason.POD_DELETED,
        Reason.JOB_DELETED,
    }
)
"""Reasons that are only written once the trial's Job exists: gone then means deleted by hand."""
DISRUPTED: Final = frozenset({Reason.EVICTED, Reason.NODE_LOST, Reason.POD_REJECTED})
"""Reasons of a run that the cluster ended or refused: it runs again after a pause."""


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
        until: When to check again even if no event arrives.
    """

    reason: Reason | None = None
    message: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order: the actions, then one write of the status if it differs.

    Attributes:
        queue: What the job is to the choice of the next one: `waits`, `active` or `absent`.
        wake: When to reconcile again even if no event arrives; None: no need.
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
        events: Events of the Job and the pod of the trial that is starting, as far as they were
            read.
    """

    job: CoreJob
    jobs: Sequence[JobChild]
    pods: Sequence[PodChild]
    gate: Gate
    now: datetime
    settings: Settings
    events: Sequence[ChildEvent] = ()

    def observe(self, number: int) -> Observation:
        """What became of one trial.

        Of a trial that waits to be resumed, the pod that was stopped by the suspension is left out:
        its end is written down.
        """
        job, status = self.job_of(number), self.job.status
        pods = own_pods(job, self.pods_of(number))
        if status.state is not State.RUNNING and number == status.trial:
            pods = [pod for pod in pods if pod.name != status.pod]
        return trial.observe(job, pods, now=self.now, events=self.events)

    def job_of(self, number: int) -> JobChild | None:
        """The Job of one trial."""
        return next((job for job in self.jobs if job.trial == number), None)

    def pods_of(self, number: int) -> list[PodChild]:
        """The pods of one trial, also those of a Job before that had the same name."""
        return [pod for pod in self.pods if pod.trial == number]


def own_pods(job: JobChild | None, pods: Sequence[PodChild]) -> list[PodChild]:
    """The pods of this very Job; all of them if the Job is gone."""
    return [pod for pod in pods if job is None or pod.owner_uid == job.uid]


def next_trial(job: CoreJob, jobs: Sequence[JobChild]) -> int:
    """Number of the trial that a waiting job starts next, or has begun to start.

    A trial whose Job was suspended goes on in the same Job when that is resumed, and may have ended
    by the time it is seen again.
    """
    status = job.status
    if status.state is State.PENDING and status.reason in {Reason.SUSPENDED, *STARTED}:
        numbers = {child.trial for child in jobs}
        if status.trial > job.carried_trials and status.trial + 1 not in numbers:
            last = next((child for child in jobs if child.trial == status.trial), None)
            if last is not None and not _has_successor(status, last):
                return status.trial
    return status.trial + 1


def _has_successor(status: Status, last: JobChild) -> bool:
    """True if a later trial than the one of this Job has been started, and is gone.

    The start of a trial is noted as `startingTime`, which its container's start clears; a Job that
    was resumed has the time of its own creation there.
    """
    return status.starting_time is not None and status.starting_time > last.created


def at_most(*moments: datetime | None) -> datetime | None:
    """The earliest of the moments that there are."""
    return min((moment for moment in moments if moment is not None), default=None)
