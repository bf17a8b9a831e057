"""Changes the admission: the only place that does, so that its state follows from few calls."""

from collections.abc import Iterable
from datetime import datetime

from corejob.model import CoreJob
from corejob_kube.workqueue import WorkQueue
from corejob_operator.admission import Admission, AdmissionEntry
from corejob_operator.decide import Decision, Turn, due
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.refusal_backoff import RefusalBackoff
from corejob_operator.settings import OperatorSettings


class Admitter:
    """The admission of a namespace, and the queue of the CoreJobs that it admits.

    Attributes:
        admission: The waiting and the active jobs.
    """

    def __init__(
        self, settings: OperatorSettings, queue: WorkQueue, metrics: OperatorMetrics
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._metrics = metrics
        self.admission = Admission(settings.namespace_limit)

    def restore(self, active: Iterable[CoreJob]) -> None:
        """Start again with these jobs as the active ones, and with no waiting job."""
        self.admission = Admission(self._settings.namespace_limit)
        for job in active:
            self.admission.activate(entry(job, self._settings))

    def turn(self, job: CoreJob, refused: RefusalBackoff, now: datetime) -> Turn:
        """Return the job's turn; a job that is not active takes its place among the waiting."""
        retry_at = refused.waiting(job.name, now)
        if retry_at is not None and self.admission.is_active(job.name):
            return Turn(admitted=True, retry_at=retry_at)
        moment = due(job)
        if moment is not None and moment > now:
            # The cluster refused the job's pod: other jobs may start during the back-off.
            self.admission.forget(job.name)
        if not self.admission.is_active(job.name):
            self.admission.wait(entry(job, self._settings))
            self._admit(now)
        if self.admission.is_active(job.name):
            return Turn(admitted=True)
        return Turn(admitted=False, blocked=self.admission.blocked(job.name))

    def account(self, job: CoreJob, decision: Decision, now: datetime) -> None:
        """Note if the job is active or has left, as a decision says."""
        if decision.queue == "active":
            self.admission.activate(entry(job, self._settings))
        elif decision.queue == "absent":
            self.leave(job.name, now)
        self._metrics.waiting.set(self.admission.waiting())
        self._metrics.active.set(self.admission.active())

    def leave(self, name: str, now: datetime) -> None:
        """Remove the job from the admission, and enqueue the jobs that may start instead."""
        self.admission.forget(name)
        self._admit(now)

    def _admit(self, now: datetime) -> None:
        for name in self.admission.admit(now.timestamp()):
            self._queue.add(name)


def entry(job: CoreJob, settings: OperatorSettings) -> AdmissionEntry:
    """Return the job's entry for the admission."""
    moment = due(job)
    return AdmissionEntry(
        key=job.name,
        qual_name=job.qual_name,
        order=job.id,
        priority=job.spec["priority"],
        force=job.spec["force"],
        max_parallel=job.spec["maxParallel"] or settings.max_parallel,
        due=moment.timestamp() if moment is not None else 0.0,
    )
