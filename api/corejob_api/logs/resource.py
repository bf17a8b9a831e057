"""The log of a job, by pages or as a stream."""

from collections.abc import Iterable, Sequence
from typing import Final

from falcon.asgi import Response

from corejob_api.auth.current_user import current_user
from corejob_api.http import call
from corejob_api.http.call import ApiRequest
from corejob_api.http.envelope import Envelope
from corejob_api.http.errors import bad_request
from corejob_api.http.paging import PageRequest, Window, page_request
from corejob_api.query import log_rows, log_scan
from corejob_api.query.log_filter import EVERYTHING, LogFilter
from corejob_api.query.ordering import Keys, Row, Sort, in_order
from corejob_api.query.scans import Scan, Scans
from corejob_api.query.selection import BY_ID, Selection
from corejob_api.queue.jobs import Jobs, job_id_argument
from corejob_api.streams import responses
from corejob_api.streams.hub import Hub
from corejob_journal.store import LogRecord, Store

_NEWEST_FIRST: Final[Sort] = (("_id", -1),)
_PIECE: Final = 100
"""Number of records per query."""
_MOST_TEXT: Final = 32 * 2**20
"""Maximum characters of a page's messages, which are in memory several times over."""
_BY_NUMBER: Final = frozenset({BY_ID, _NEWEST_FIRST})


class LogResource:
    """Handler of a job's log; it reads the store."""

    def __init__(
        self, jobs: Jobs, store: Store, hub: Hub, scans: Scans, envelope: Envelope
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._hub = hub
        self._scans = scans
        self._envelope = envelope

    async def get(self, req: ApiRequest, resp: Response, job_id: str) -> None:
        """Answer with the log of a job, current or past."""
        arguments = call.of(req).arguments
        follow = arguments.flag("follow", default=False)
        job_id = job_id_argument(job_id)
        view, user = responses.LogView.of(req, arguments), current_user(req)
        if follow:
            await self._jobs.readable_log(job_id, user)
            follower = self._hub.follow(
                job_id,
                req.receive,
                self._scans.of(user.name),
                states=False,
                where=view.where,
                ids=view.ids,
                resume=view.resume,
            )
            responses.respond(resp, follower)
            return
        page = page_request(arguments)
        selection = Selection.of(arguments)
        await self._jobs.readable_log(job_id, user)
        read = self._window(job_id, page, selection, view.where, self._scans.of(user.name))
        rows, window = await call.while_connected(req, read)
        await self._envelope.page(req, resp, rows, window)

    async def _window(
        self,
        job_id: str,
        page: PageRequest,
        selection: Selection,
        where: LogFilter,
        scan: Scan,
    ) -> tuple[list[Row], Window]:
        newest_first = selection.sort == _NEWEST_FIRST
        if selection.predicate is not None or selection.sort not in _BY_NUMBER:
            numbers = await self._select(job_id, selection, where, scan)
            window = page.window(len(numbers))
            return await self._rows(job_id, window.cut(numbers)), window
        if where == EVERYTHING:
            window = page.window(await self._store.log_count(job_id))
            return await self._page(job_id, window, descending=newest_first), window
        matches = await log_scan.LogMatches.of(self._store, scan, job_id, where)
        window = page.window(matches.total)
        return await self._matching_page(job_id, matches, window, descending=newest_first), window

    async def _page(self, job_id: str, window: Window, *, descending: bool) -> list[Row]:
        # Positions count from the oldest record, since the log may grow between two queries.
        first, last = window.start, window.stop
        if descending:
            first, last = window.total - window.stop, window.total - window.start
        rows = _Rows()
        for start in range(first, last, _PIECE):
            limit = min(_PIECE, last - start)
            rows.add(await self._store.log_page(job_id, offset=start, limit=limit))
        return rows.rows[::-1] if descending else rows.rows

    async def _matching_page(
        self, job_id: str, matches: log_scan.LogMatches, window: Window, *, descending: bool
    ) -> list[Row]:
        if not descending:
            return await self._rows(job_id, await matches.cut(window.start, window.stop))
        numbers = await matches.cut(window.total - window.stop, window.total - window.start)
        return await self._rows(job_id, numbers[::-1])

    async def _select(
        self, job_id: str, selection: Selection, where: LogFilter, scan: Scan
    ) -> list[int]:
        """Return the numbers of the matching records, in order; other records are not kept."""
        selected = selection.selected()
        numbers_with_keys: list[tuple[int, Keys]] = []
        async for part in log_scan.passing(self._store, scan, job_id, where):
            sort_keys = await scan.map(lambda record: selected(log_rows.row(record)), part)
            numbers_with_keys += [
                (record.seq, keys)
                for record, keys in zip(part, sort_keys, strict=True)
                if keys is not None
            ]
        newest = where.newest(numbers_with_keys)
        return await scan.call(lambda: in_order(newest, selection.sort))

    async def _rows(self, job_id: str, numbers: Sequence[int]) -> list[Row]:
        rows = _Rows()
        for start in range(0, len(numbers), _PIECE):
            rows.add(await self._store.log_rows(job_id, numbers[start : start + _PIECE]))
        return rows.rows


class _Rows:
    """Rows of a page that have been read so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._size = 0

    def add(self, records: Iterable[LogRecord]) -> None:
        """Add records to the page.

        Raises:
            ApiError: 400, the page's messages exceed `_MOST_TEXT` characters.
        """
        for record in records:
            self._size += len(record.message)
            self.rows.append(log_rows.row(record))
        if self._size > _MOST_TEXT and len(self.rows) > 1:
            raise bad_request(
                f"the records of this page have more than {_MOST_TEXT} characters: "
                "ask for fewer by parameter [per_page]"
            )
