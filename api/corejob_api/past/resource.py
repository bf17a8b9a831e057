"""Past jobs, by pages or by cursor."""

from collections.abc import AsyncIterator, Sequence
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
from corejob_api.past.query_plan import QueryPlan, plan_query
from corejob_api.query.ordering import Keys, Row, Sort, in_order, keys_of
from corejob_api.query.scans import Scan, Scans
from corejob_api.query.selection import filter_argument, fits, search_argument, sort_argument
from corejob_api.queue.masking import Masking
from corejob_journal.store import PastCursor, PastJob, PastOrder, Store

_SLICE: Final = 500
_MOST_READ: Final = 20 * _SLICE
"""Maximum number of documents that one request by cursor reads."""
_MOST_SORTED: Final = 100_000
"""Maximum number of jobs that are sorted by a property without an index."""


class PastResource:
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
        filter_, search = arguments.mapping("filter"), search_argument(arguments)
        sort, page = sort_argument(arguments), page_request(arguments, most=cursors.MOST_PER_PAGE)
        order = cursors.order_of(sort)
        cursor = cursors.cursor_request(arguments, order)
        user = current_user(req)
        masking, scan = Masking(user.may_read), self._scans.of(user.name)
        kinds = await self._store.past_kinds()
        plan = await scan.call(lambda: plan_query(filter_, search, kinds, masking.name))
        query = _PastSearch(self._store, scan, plan, masking)
        if order is None:
            rows, window = await query.sorted_page(sort, page)
            await self._envelope.page(req, resp, rows, window, next_cursor=None)
        elif cursor is None:
            jobs, window = await query.page(order, page)
            has_more = window.stop < window.total and bool(jobs)
            next_cursor = cursors.encode_cursor(order, jobs[-1].cursor) if has_more else None
            await self._envelope.page(req, resp, query.rows(jobs), window, next_cursor=next_cursor)
        else:
            jobs, last = await query.after(order, cursor.after, page.per_page)
            next_cursor = cursors.encode_cursor(order, last) if last else None
            await self._envelope.rows(
                req, resp, query.rows(jobs), per_page=page.per_page, next_cursor=next_cursor
            )


class _PastSearch:
    """Query of one request to the store."""

    def __init__(self, store: Store, scan: Scan, plan: QueryPlan, masking: Masking) -> None:
        self._store = store
        self._scan = scan
        self._query = plan.query
        self._predicate = plan.predicate
        self._masking = masking

    def rows(self, jobs: Sequence[PastJob]) -> list[Row]:
        """Return the rows of jobs as the user may see them."""
        return list(self._masking.rows(job.document for job in jobs))

    async def page(self, order: PastOrder, page: PageRequest) -> tuple[list[PastJob], Window]:
        """Return a page of an indexed order."""
        if self._predicate is not None:
            return await self._filtered_page(order, page)
        windows: list[Window] = []

        def window(total: int) -> tuple[int, int]:
            windows.append(page.window(total))
            return windows[-1].start, windows[-1].stop - windows[-1].start

        jobs = await self._store.past_page(self._query, order, window)
        return jobs, windows[-1]

    async def after(
        self, order: PastOrder, cursor: PastCursor | None, limit: int
    ) -> tuple[list[PastJob], PastCursor | None]:
        """Return up to `limit` jobs after a cursor, and the cursor of the next page.

        That cursor is None at the end. If `_MOST_READ` documents are read, the page may be shorter.
        """
        if self._predicate is None:
            jobs = await self._store.past_after(self._query, order, cursor, limit + 1)
            return jobs[:limit], jobs[limit - 1].cursor if len(jobs) > limit else None
        matching: list[PastJob] = []
        documents_read = 0
        async for job, matches in self._tested(order, cursor):
            if len(matching) == limit or documents_read == _MOST_READ:
                return matching, cursor
            documents_read, cursor = documents_read + 1, job.cursor
            if matches:
                matching.append(job)
        return matching, None

    async def sorted_page(self, sort: Sort, page: PageRequest) -> tuple[list[Row], Window]:
        """Return a page of an order that has no index."""
        keys = keys_of(sort)
        ids_with_keys: list[tuple[str, Keys]] = []
        async for jobs in self._slices(PastOrder(), None):
            matching = [job for job, matches in await self._with_match(jobs) if matches]
            if len(ids_with_keys) + len(matching) > _MOST_SORTED:
                raise bad_request(
                    f"parameter [sort]: more than {_MOST_SORTED} past jobs match; narrow the "
                    "filter, or sort by _id, enqueued.at or finished_at"
                )
            sort_keys = await self._scan.map(keys, self.rows(matching))
            ids_with_keys += zip((job.cursor.job_id for job in matching), sort_keys, strict=True)
        ordered = await self._scan.call(lambda: in_order(ids_with_keys, sort))
        window = page.window(len(ordered))
        documents = await self._store.past_documents(window.cut(ordered))
        return [self._masking.row(document) for document in documents], window

    async def _filtered_page(
        self, order: PastOrder, page: PageRequest
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

    async def _count(self, order: PastOrder, start: int, stop: int) -> tuple[int, list[PastJob]]:
        """Return the number of matching jobs, and those from `start` up to `stop` of them."""
        total, kept = 0, []
        async for job, matches in self._tested(order, None):
            if matches:
                if start <= total < stop:
                    kept.append(job)
                total += 1
        return total, kept

    async def _slices(
        self, order: PastOrder, cursor: PastCursor | None
    ) -> AsyncIterator[list[PastJob]]:
        """Yield the jobs that the store finds, in slices."""
        while jobs := await self._store.past_after(self._query, order, cursor, _SLICE):
            yield jobs
            cursor = jobs[-1].cursor

    async def _tested(
        self, order: PastOrder, cursor: PastCursor | None
    ) -> AsyncIterator[tuple[PastJob, bool]]:
        """Yield each job that the store finds, with True if it matches the filter."""
        async for jobs in self._slices(order, cursor):
            for pair in await self._with_match(jobs):
                yield pair

    async def _with_match(self, jobs: Sequence[PastJob]) -> list[tuple[PastJob, bool]]:
        predicate = self._predicate
        if predicate is None:
            return [(job, True) for job in jobs]
        # Mask before filtering, so that a filter can't probe what its user may not read.
        rows = self.rows(jobs)
        matches = await self._scan.map(lambda row: fits(predicate, row), rows)
        return list(zip(jobs, matches, strict=True))
