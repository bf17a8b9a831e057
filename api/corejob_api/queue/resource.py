"""The queue, one job, and the catalogue."""

import asyncio
from dataclasses import replace
from typing import Any, Final

from falcon.asgi import Response

from corejob_api.auth.current_user import current_user
from corejob_api.http import call
from corejob_api.http.arguments import Arguments
from corejob_api.http.call import ApiRequest
from corejob_api.http.envelope import Envelope
from corejob_api.http.paging import page_request
from corejob_api.query.filters import Predicate
from corejob_api.query.patterns import Search
from corejob_api.query.scans import Scans
from corejob_api.query.selection import Selection, search_argument
from corejob_api.queue.catalogue import Catalogue
from corejob_api.queue.index import Queue
from corejob_api.queue.jobs import Jobs, job_id_argument
from corejob_api.queue.listing import QueueListing
from corejob_api.queue.log_barrier import LogBarrier
from corejob_api.queue.masking import Masking
from corejob_process.clock import Clock

_NAMES: Final = frozenset({"qual_name", "name"})
_PIECE: Final = 100
"""Number of rows made before other requests get a turn."""


class QueueResource:
    """Handlers of the queue and the catalogue; lists read only the caches."""

    def __init__(
        self,
        queue: Queue,
        catalogue: Catalogue,
        jobs: Jobs,
        scans: Scans,
        envelope: Envelope,
        barrier: LogBarrier,
        now: Clock,
    ) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._jobs = jobs
        self._scans = scans
        self._envelope = envelope
        self._barrier = barrier
        self._now = now

    async def list_queue(self, req: ApiRequest, resp: Response) -> None:
        """List the jobs in the queue."""
        arguments = call.of(req).arguments
        selection, search = Selection.of(arguments), search_argument(arguments)
        page, now = page_request(arguments), self._now()
        user = current_user(req)
        masking, scan = Masking(user.may_read), self._scans.of(user.name)
        listing = QueueListing(selection, search, masking, now)
        entries, window = await call.while_connected(req, listing.page(self._queue, page, scan))
        rows = []
        for entry in entries:
            rows.append(masking.row(entry.row(now)))
            if len(rows) % _PIECE == 0:
                await asyncio.sleep(0)
        await self._envelope.page(req, resp, rows, window)

    async def list_catalogue(self, req: ApiRequest, resp: Response) -> None:
        """List the jobs of the catalogue that the user may execute."""
        arguments = call.of(req).arguments
        selection = Selection.of(arguments)
        search = search_argument(arguments)
        if not _names_job(arguments):
            selection = _searched(selection, search)
        page = page_request(arguments)
        user = current_user(req)
        rows = [
            template.listed(self._state_of)
            for template in self._catalogue
            if user.may_execute(template.qual_name)
        ]
        work = selection.apply(rows, self._scans.of(user.name), lambda row: row)
        matching = await call.while_connected(req, work)
        window = page.window(len(matching))
        await self._envelope.page(req, resp, window.cut(matching), window)

    def _state_of(self, job_id: str) -> str | None:
        entry = self._queue.get(job_id)
        return None if entry is None else str(entry.job.state)

    async def detail(self, req: ApiRequest, resp: Response, job_id: str) -> None:
        """Answer with one job, current or past."""
        user, job_id = current_user(req), job_id_argument(job_id)
        job = await self._jobs.readable(job_id, user)
        if self._barrier.holds(job_id):
            await call.while_connected(req, self._barrier.passed(job_id))
            job = await self._jobs.readable(job_id, user)
        trials = await self._jobs.trials(job_id, job)
        self._envelope.answer(req, resp, job.detail(user, trials))


def _names_job(arguments: Arguments) -> bool:
    return not _NAMES.isdisjoint(arguments.mapping("filter"))


def _searched(selection: Selection, search: Search | None) -> Selection:
    """Return a selection that also searches the qual_name for a text."""
    if search is None:
        return selection
    inner: Predicate | None = selection.predicate

    def fits(row: Any) -> bool:
        return search(row["qual_name"]) and (inner is None or inner(row))

    filtered = selection.filtered | {("qual_name",)}
    return replace(selection, predicate=fits, filtered=filtered)
