"""Patches of a CoreJob's spec: the commands kill, remove and restart (docs/rest.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from corejob import timestamps
from corejob.model import CoreJob
from corejob.names import MANAGER_API
from corejob.state import FINAL
from corejob_api.auth.users import User
from corejob_api.http.errors import ApiError, forbidden, job_not_found, unavailable
from corejob_api.queue.index import Queue
from corejob_api.queue.jobs import Jobs
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, InvalidError, NotFoundError
from corejob_kube.resources import COREJOBS

_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class SpecPatch:
    """A patch of the spec, and the answer to the client.

    Attributes:
        spec: Fields of the spec to set; empty if nothing changes.
        answer: Answer to the client.
    """

    spec: dict[str, Any]
    answer: Any = True


Decide = Callable[[CoreJob], SpecPatch]
"""Returns the patch for the job's present state, or raises `ApiError`."""


def kill(job: CoreJob) -> SpecPatch:
    """Kill a job; a finished one stays as it is.

    A restart that was requested and not carried out is cancelled, since the last command wins.
    """
    return SpecPatch({} if job.state in FINAL else {"kill": True, "restartAt": None})


def remove(job: CoreJob) -> SpecPatch:
    """Remove a job from the queue; a running one is removed when its trial ends."""
    return SpecPatch({} if job.remove else {"remove": True})


def start_next_trial(job: CoreJob, now: datetime) -> SpecPatch:
    """Start the next trial of a failed or deferred job at once."""
    return SpecPatch({"restartAt": timestamps.render(now)}, job.id)


class SpecPatcher:
    """Patches jobs in the queue that the user may execute."""

    def __init__(self, kube: Kube, namespace: str, queue: Queue, jobs: Jobs) -> None:
        self._kube = kube
        self._namespace = namespace
        self._queue = queue
        self._jobs = jobs

    async def executable(self, job_id: str, user: User) -> CoreJob:
        """Return a job in the queue.

        Raises:
            ApiError: 404, no such job is in the queue; 403, the user may not execute it.
        """
        entry = self._queue.get(job_id)
        job = entry.job if entry is not None else await self._jobs.fetch(job_id)
        return self._checked(job_id, job, user)

    @staticmethod
    def _checked(job_id: str, job: CoreJob | None, user: User) -> CoreJob:
        if job is None or not job.in_queue:
            raise job_not_found(job_id)
        if not user.may_execute(job.qual_name):
            raise forbidden(f"no permission to execute job [{job_id}]")
        return job

    async def patch(self, job_id: str, user: User, decide: Decide) -> Any:
        """Patch the job as `decide` says for its present state; on a conflict decide again.

        Returns:
            The answer of the patch that was applied.

        Raises:
            ApiError: 404 or 403, see `executable`; 409, the API server's rules forbid the patch;
                503, the job kept changing.
        """
        job = await self.executable(job_id, user)
        for _ in range(_TRIES):
            patch = decide(job)
            if not patch.spec:
                return patch.answer
            try:
                await self._apply(job, patch.spec)
            except ConflictError:
                job = self._checked(job_id, await self._reread(job), user)
            else:
                return patch.answer
        raise unavailable(f"job [{job_id}] changes too fast, try again")

    async def _reread(self, job: CoreJob) -> CoreJob | None:
        """Read the job from the API server."""
        fresh = await self._jobs.fetch(job.name)
        if fresh is None:
            self._queue.forget(job)
        return fresh

    async def _apply(self, job: CoreJob, spec: dict[str, Any]) -> None:
        body = {"metadata": {"resourceVersion": job.resource_version}, "spec": spec}
        try:
            patched = await self._kube.patch(
                COREJOBS, self._namespace, job.name, body, manager=MANAGER_API
            )
        except NotFoundError:
            self._queue.forget(job)
            raise job_not_found(job.id) from None
        except InvalidError as error:
            raise ApiError(409, error.message) from None
        self._queue.put(patched)
