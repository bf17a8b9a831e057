"""Earlier jobs of a schedule: equal jobs that are in the queue when a time falls due."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from corejob import ids
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.names import SchedulePolicy
from corejob.state import STOPPED, State
from corejob_operator.caches import Caches
from corejob_process.clock import Clock

_RESTARTING: Final = timedelta(seconds=60)
"""Maximum time until the CoreJob that restarts another appears in the cache."""
_HINTS: Final = {
    State.ERROR: "ended in error and is still in the queue",
    State.INACTIVE: "turned inactive and is still in the queue",
    State.KILLED: "was killed and is still in the queue",
    State.RUNNING: "is still running",
    State.PENDING: "is still waiting to start",
    State.FAILED: "has failed and is still waiting for its next trial",
    State.DEFERRED: "is deferred and still waiting for its next trial",
}


class EarlierJobs:
    """Equal jobs without args that are in the queue or being restarted."""

    def __init__(self, caches: Caches, now: Clock) -> None:
        self._caches = caches
        self._now = now

    def of(self, qual_name: str, *, but: str = "") -> list[CoreJob]:
        """Return the jobs of a name, oldest first; `but` is the name of one that is left out."""
        jobs = [
            job
            for job in self._caches.same_jobs(identity(qual_name, {}), but=but)
            if job.in_queue or self._is_restarting(job)
        ]
        return sorted(jobs, key=lambda job: (job.created, job.name))

    def all_stopped(self, jobs: Sequence[CoreJob]) -> bool:
        """True if all are in a state that needs a restart or removal, and none has a live pod."""
        return all(
            job.in_queue
            and job.status.state in STOPPED
            and all(pod.over for pod in self._caches.pods_of(job.name))
            for job in jobs
        )

    def describe(self, job: CoreJob, policy: str | None) -> str:
        """Return the job, its state, and what to do, by the template's schedulePolicy."""
        what = f"job {job.id}" if job.id == job.name else f"job {job.name} ({job.id})"
        return f"{what} {self._state(job, policy)}"

    def _state(self, job: CoreJob, policy: str | None) -> str:
        if not job.in_queue:
            return "is being restarted"
        hint, state = _HINTS[job.status.state], job.status.state
        if state not in STOPPED:
            return hint
        if policy == SchedulePolicy.REPLACE:
            ends = not self.all_stopped([job])
            return f"{hint}; {'its pod is still ending' if ends else 'the next time replaces it'}"
        return f"{hint}; restart or remove it, or set spec.schedulePolicy to Replace"

    def _is_restarting(self, job: CoreJob) -> bool:
        """True from a restart's request until its CoreJob is in the cache, for 60 s at most."""
        child = job.child_id
        if child is None or not ids.is_id(child) or self._caches.corejobs.get(child) is not None:
            return False
        return abs(self._now() - ids.created_at(child)) < _RESTARTING
