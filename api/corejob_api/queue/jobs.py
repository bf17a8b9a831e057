"""Find a job in the queue, among the finished CoreJobs, or in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corejob import ids
from corejob.model import CoreJob
from corejob_api.auth.users import User
from corejob_api.http.errors import bad_request, forbidden, job_not_found
from corejob_api.query.ordering import Row
from corejob_api.queue import abilities
from corejob_api.queue.index import Queue
from corejob_api.queue.trials import with_logs
from corejob_journal.store import Store, StoreUnavailable
from corejob_kube.client import Kube
from corejob_kube.errors import NotFoundError
from corejob_kube.resources import COREJOBS
from corejob_process.clock import Clock


def job_id_argument(text: str) -> str:
    """Return the job id of a URL, in lower case.

    Raises:
        ApiError: 400, the id is malformed.
    """
    job_id = text.lower()
    if not ids.is_id(job_id):
        raise bad_request(f"job id [{text[:100]}] is malformed: expected 24 hex digits")
    return job_id


@dataclass(frozen=True, slots=True)
class LocatedJob:
    """A job, wherever it was found.

    Attributes:
        document: The job document that clients see, without `journal`.
        in_queue: True if the job is in the queue; False if it is a past job.
        trials: Its `status.trials`.
    """

    document: Row
    in_queue: bool
    trials: Sequence[Mapping[str, Any]] = ()

    @property
    def qual_name(self) -> str:
        """The job's qual_name."""
        return str(self.document["qual_name"])

    def detail(self, user: User, trials: Sequence[Row]) -> Row:
        """Return the document with what only a detail has.

        That is `journal` (True for a past job), the trials, and what the user may do.
        """
        may = abilities.of(self.document, user, in_queue=self.in_queue)
        return {**self.document, "journal": not self.in_queue, "trials": trials, **may}


class Jobs:
    """Looks jobs up in the queue, then in the store, then at the API server.

    The API server matters only with several replicas: another replica may have created the job so
    recently that the cache does not have it yet.
    """

    def __init__(self, queue: Queue, store: Store, kube: Kube, namespace: str, now: Clock) -> None:
        self._queue = queue
        self._store = store
        self._kube = kube
        self._namespace = namespace
        self._now = now

    async def find(self, job_id: str) -> LocatedJob | None:
        """Return the job with this id, or None."""
        cached = self._cached(job_id)
        if cached is not None:
            return cached
        past = await self._store.past_job(job_id)
        if past is not None:
            document, trials = past
            return LocatedJob(document, in_queue=False, trials=trials)
        return None if await self.fetch(job_id) is None else self._cached(job_id)

    def _cached(self, job_id: str) -> LocatedJob | None:
        entry = self._queue.get(job_id)
        if entry is None:
            return None
        return LocatedJob(entry.row(self._now()), entry.job.in_queue, entry.job.status.trials)

    async def fetch(self, name: str) -> CoreJob | None:
        """Fetch a CoreJob from the API server and put it into the cache, or None."""
        try:
            body = await self._kube.get(COREJOBS, self._namespace, name)
        except NotFoundError:
            return None
        return self._queue.put(body)

    async def readable(self, job_id: str, user: User) -> LocatedJob:
        """Return the job with this id.

        Raises:
            ApiError: 404, there is no such job; 403, the user may not read it.
        """
        job = await self.find(job_id)
        if job is None:
            raise job_not_found(job_id)
        if not user.may_read(job.qual_name):
            raise forbidden(f"no permission to read job [{job_id}]")
        return job

    async def readable_log(self, job_id: str, user: User) -> None:
        """Check that the user may read the job with this id, and the log stored under the id.

        Both belong to the same job, except until a CoreJob that reuses another job's id is refused.

        Raises:
            ApiError: 404, there is no such job; 403, the user may not read the job or the log.
        """
        await self.readable(job_id, user)
        try:
            qual_name = await self._store.log_qual_name(job_id)
        except StoreUnavailable:
            return  # a stream can begin without the store; reading a page fails later by itself
        if qual_name is not None and not user.may_read(qual_name):
            raise forbidden(f"no permission to read the log of job [{job_id}]")

    async def trials(self, job_id: str, job: LocatedJob) -> list[Row]:
        """Return the trials of a job, with their places in its log."""
        return await with_logs(self._store, job_id, job.trials)

    async def in_queue(self, job_id: str) -> bool | None:
        """True if a job is in the queue; None if there is no such job."""
        job = await self.find(job_id) if ids.is_id(job_id) else None
        return None if job is None else job.in_queue
