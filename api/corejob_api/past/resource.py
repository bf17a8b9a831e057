"""Past jobs, by pages or by cursor."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from falcon.asgi import Response

from corejob_api.auth.current_user import current_user
from corejob_api.http import call
from corejob_api.http.arguments import Arguments
from corejob_api.http.call import ApiRequest
from corejob_api.http.envelope import Envelope
from corejob_api.http.errors import bad_request
from corejob_api.http.paging import PageRequest, Window, page_request
from corejob_api.past import cursors
from corejob_api.past.query_plan import Plan, plan
from corejob_api.query.ordering import Keys, Row, Sort, in_order, keys_of
from corejob_api.query.scans import Scan, Scans
from corejob_api.query.selection import filter_argument, fits, search_argument, sort_argument
from corejob_api.queue.index import UNAUTHORIZED, mask
from corejob_journal.store import Order, PastJob, Place, Store

_SLICE: Final = 500
_LOOK_AT: Final = 20 * _SLICE
"""Maximum number of documents that one request by cursor reads."""
_MOST_SORTED: Final = 100_000
"""Maximum number of jobs that are sorted by a property without an index."""


class Journal:
    """Handler of the past jobs; it reads the store."""

    def __init__(self, store: Store, scans: Scans, envelope: Envelope) -> None:
        self._store = store
        self._scans = scans
        self._envelope = envelope

    async def list(self, req: ApiRequest, resp: Response) -> None:
        """List the past jobs."""
        await call.while_connected(req, self._list(req, resp, call.of(req).arguments))

    async def _list(self, req: ApiRequest, resp: Response, arguments: Arguments) -> None:
        filter_argument(arguments)  # raises for a malformed filter
        query, search = arguments.mapping("filter"), search_argument(arguments)
        sort, page = sort_argument(arguments), page_request(arguments, most=cursors.MOST_PER_PAGE)
        order = cursors.order_of(sort)
        cursor = cursors.cursor_request(arguments, order)
        user = current_user(req)
        view, scan = _View(user.may_read), self._scans.of(user.name)
        kinds = await self._store.past_kinds()
        found = await scan.call(lambda: plan(query, search, kinds, view.name))
        look = _Look(self._store, scan, found, view)
        if order is None:
            rows, window = await look.sorted_page(sort, page)
            await self._envelope.page(req, resp, rows, window, next_cursor=None)
        elif cursor is None:
            jobs, window = await look.page(order, page)
            more = window.stop < window.total and bool(jobs)
            following = cursors.cursor_of(order, jobs[-1].place) if more else None
            rows = view.rows(jobs)
            await self._envelope.page(req, resp, rows, window, next_cursor=following)
        else:
            jobs, place = await look.behind(order, cursor.place, page.per_page)
            following = cursors.cursor_of(order, place) if place else None
            await self._envelope.section(
                req, resp, view.rows(jobs), per_page=page.per_page, next_cursor=following
            )


class _View:
    """Masks the jobs that the user may not read."""

    def __init__(self, may_read: Callable[[str], bool]) -> None:
        self._may_read = may_read

    def name(self, qual_name: str) -> str:
        return qual_name if self._may_read(qual_name) else UNAUTHORIZED

    def row(self, document: Row) -> Row:
        return document if self._may_read(document["qual_name"]) else mask(document)

    def rows(self, jobs: Sequence[PastJob]) -> list[Row]:
        return [self.row(job.document) for job in jobs]


class _Look:
    """Query of one request to the store."""

    def __init__(self, store: Store, scan: Scan, found: Plan, view: _View) -> None:
        self._store = store
        self._scan = scan
        self._wanted = found.wanted
        self._rest = found.rest
        self._view = view

    async def page(self, order: Order, page: PageRequest) -> tuple[list[PastJob], Window]:
        """Return a page of an indexed order."""
        if self._rest is not None:
            return await self._looked_at_page(order, page)
        windows: list[Window] = []

        def window(total: int) -> tuple[int, int]:
            windows.append(page.window(total))
            return windows[-1].start, windows[-1].stop - windows[-1].start

        jobs = await self._store.past_page(self._wanted, order, window)
        return jobs, windows[-1]

    async def behind(
        self, order: Order, place: Place | None, limit: int
    ) -> tuple[list[PastJob], Place | None]:
        """Return up to `limit` jobs after a place, and the place after which the next page begins.

        That place is None at the end. If `_LOOK_AT` documents are read, the page may be shorter.
        """
        if self._rest is None:
            jobs = await self._store.past_after(self._wanted, order, place, limit + 1)
            return jobs[:limit], jobs[limit - 1].place if len(jobs) > limit else None
        found: list[PastJob] = []
        looked = 0
        async for job, fit in self._tested(order, place):
            if len(found) == limit or looked == _LOOK_AT:
                return found, place
            looked, place = looked + 1, job.place
            if fit:
                found.append(job)
        return found, None

    async def sorted_page(self, sort: Sort, page: PageRequest) -> tuple[list[Row], Window]:
        """Return a page of an order that has no index."""
        keys = keys_of(sort)
        found: list[tuple[str, Keys]] = []
        async for jobs in self._slices(Order(), None):
            fitting = [job for job, fit in await self._with_fit(jobs) if fit]
            if len(found) + len(fitting) > _MOST_SORTED:
                raise bad_request(
                    f"parameter [sort]: more than {_MOST_SORTED} past jobs fit; narrow the filter, "
                    "or sort by _id, enqueued.at or finished_at"
                )
            each = await self._scan.map(keys, self._view.rows(fitting))
            found += zip((job.place.job_id for job in fitting), each, strict=True)
        ordered = await self._scan.call(lambda: in_order(found, sort))
        window = page.window(len(ordered))
        documents = await self._store.past_documents(window.cut(ordered))
        return [self._view.row(document) for document in documents], window

    async def _looked_at_page(
        self, order: Order, page: PageRequest
    ) -> tuple[list[PastJob], Window]:
        if page.page >= 0:
            start = page.page * page.per_page
            total, jobs = await self._count(order, start, start + page.per_page)
            return jobs, page.window(total)
        # A page from the end: its start is known only after counting.
        total, _ = await self._count(order, 0, 0)
        window = page.window(total)
        _, jobs = await self._count(order, window.start, window.stop)
        return jobs, window

    async def _count(self, order: Order, start: int, stop: int) -> tuple[int, list[PastJob]]:
        """Return the number of matching jobs, and those from `start` up to `stop` of them."""
        total, kept = 0, []
        async for job, fit in self._tested(order, None):
            if fit:
                if start <= total < stop:
                    kept.append(job)
                total += 1
        return total, kept

    async def _slices(self, order: Order, place: Place | None) -> AsyncIterator[list[PastJob]]:
        """Yield the jobs that the store finds, in slices."""
        while jobs := await self._store.past_after(self._wanted, order, place, _SLICE):
            yield jobs
            place = jobs[-1].place

    async def _tested(
        self, order: Order, place: Place | None
    ) -> AsyncIterator[tuple[PastJob, bool]]:
        """Yield each job that the store finds, with True if it matches the filter."""
        async for jobs in self._slices(order, place):
            for pair in await self._with_fit(jobs):
                yield pair

    async def _with_fit(self, jobs: Sequence[PastJob]) -> list[tuple[PastJob, bool]]:
        rest = self._rest
        if rest is None:
            return [(job, True) for job in jobs]
        # Mask before filtering, so that a filter can't probe what its user may not read.
        rows = self._view.rows(jobs)
        return list(zip(jobs, await self._scan.map(lambda row: fits(rest, row), rows), strict=True))
