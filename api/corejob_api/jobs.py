"""Finding a job, wherever it is by now: in the queue, a past resource, or in the store."""

from dataclasses import dataclass
from typing import Any

from corejob import ids
from corejob.model import CoreJob
from corejob_api.errors import bad_request, forbidden, job_not_found
from corejob_api.query.ordering import Row
from corejob_api.queue import Queue
from corejob_api.users import User
from corejob_journal.store import Store, StoreUnavailable
from corejob_kube.client import Kube
from corejob_kube.errors import NotFoundError
from corejob_kube.resources import COREJOBS
from corejob_kube.timing import Clock


def job_id_argument(text: str) -> str:
    """A job id as it came in a URL.

    Raises:
        ApiError: 400, it is malformed.
    """
    job_id = text.lower()
    if not ids.is_id(job_id):
        raise bad_request(f"job id [{text[:100]}] is malformed: expected 24 hex digits")
    return job_id


@dataclass(frozen=True, slots=True)
class Found:
    """A job.

    Attributes:
        document: As clients see it, without `journal`.
        in_queue: Whether it is in the queue; else it is a past job.
    """

    document: Row
    in_queue: bool

    @property
    def qual_name(self) -> str:
        """Which job it is."""
        return str(self.document["qual_name"])

    def detail(self) -> Row:
        """The document of a detail."""
        return {**self.document, "journal": not self.in_queue}


class Jobs:
    """The queue, the store, and where neither knows, the API server itself.

    The latter only matters with several replicas: another one may have made the job an instant ago.
    """

    def __init__(self, queue: Queue, store: Store, kube: Kube, namespace: str, now: Clock) -> None:
        self._queue = queue
        self._store = store
        self._kube = kube
        self._namespace = namespace
        self._now = now

    async def find(self, job_id: str) -> Found | None:
        """The job of that id, or None."""
        entry = self._queue.get(job_id)
        if entry is not None:
            return Found(entry.row(self._now()), entry.job.in_queue)
        document = await self._store.document(job_id)
        if document is not None:
            return Found(document, in_queue=False)
        if await self.fetch(job_id) is None:
            return None
        entry = self._queue.get(job_id)
        return None if entry is None else Found(entry.row(self._now()), entry.job.in_queue)

    async def fetch(self, name: str) -> CoreJob | None:
        """A CoreJob as the API server has it now; the queue learns of it, also if it is gone."""
        try:
            body = await self._kube.get(COREJOBS, self._namespace, name)
        except NotFoundError:
            return None
        return self._queue.put(body)

    async def readable(self, job_id: str, user: User) -> Found:
        """The job of that id, if the user may read it.

        Raises:
            ApiError: 404, there is none; 403, the user may not.
        """
        found = await self.find(job_id)
        if found is None:
            raise job_not_found(job_id)
        if not user.may_read(found.qual_name):
            raise forbidden(f"no permission to read job [{job_id}]")
        return found

    async def readable_log(self, job_id: str, user: User) -> None:
        """Check that the user may read the job of that id, and the log that is stored under it.

        They are of one job, but for the moment before a CoreJob with another's id is refused.

        Raises:
            ApiError: 404, there is none; 403, the user may not.
        """
        await self.readable(job_id, user)
        try:
            qual_name = await self._store.log_qual_name(job_id)
        except StoreUnavailable:
            return  # a stream begins all the same; whoever reads a page finds out for himself
        if qual_name is not None and not user.may_read(qual_name):
            raise forbidden(f"no permission to read the log of job [{job_id}]")

    async def in_queue(self, job_id: str) -> bool | None:
        """Whether a job is in the queue; None if nobody knows the job."""
        found: Any = await self.find(job_id) if ids.is_id(job_id) else None
        return None if found is None else found.in_queue
