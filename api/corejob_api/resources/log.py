"""The log of a job, by pages or as a stream."""

from collections.abc import Sequence
from typing import Any, Final

from falcon.asgi import Response

from corejob_api import call, records
from corejob_api.call import ApiRequest
from corejob_api.envelope import Envelope
from corejob_api.jobs import Jobs, job_id_argument
from corejob_api.paging import Window, page_request
from corejob_api.query import logscan
from corejob_api.query.logfilter import EVERYTHING, LogFilter
from corejob_api.query.selection import BY_ID, Row, Selection, Sort, Turns, fits
from corejob_api.query.values import Key, sort_key
from corejob_api.resources import sse
from corejob_api.streams.hub import Hub
from corejob_journal.store import Store

_NEWEST_FIRST: Final[Sort] = (("_id", -1),)
_BY_NUMBER: Final = frozenset({BY_ID, _NEWEST_FIRST})


class Log:
    """Answers from the store."""

    def __init__(self, jobs: Jobs, store: Store, hub: Hub, envelope: Envelope) -> None:
        self._jobs = jobs
        self._store = store
        self._hub = hub
        self._envelope = envelope

    async def get(self, req: ApiRequest, resp: Response, job_id: str) -> None:
        """The log of a job, current or past."""
        arguments = call.of(req).arguments
        follow = arguments.flag("follow", default=False)
        job_id = job_id_argument(job_id)
        view = sse.View.of(req, arguments)
        if follow:
            await self._jobs.readable_log(job_id, call.user_of(req))
            follower = self._hub.follow(
                job_id,
                req.receive,
                states=False,
                where=view.where,
                ids=view.ids,
                resume=view.resume,
            )
            sse.respond(resp, follower)
            return
        page = page_request(arguments)
        selection = Selection.of(arguments)
        await self._jobs.readable_log(job_id, call.user_of(req))
        newest_first = selection.sort == _NEWEST_FIRST
        if selection.predicate is not None or selection.sort not in _BY_NUMBER:
            numbers = await self._select(job_id, selection, view.where)
            window = page.window(len(numbers))
            rows = await self._rows(job_id, window.cut(numbers))
        elif view.where == EVERYTHING:
            window = page.window(await self._store.log_count(job_id))
            rows = await self._page(job_id, window, descending=newest_first)
        else:
            found = await logscan.Found.of(self._store, job_id, view.where)
            window = page.window(found.total)
            rows = await self._found(job_id, found, window, descending=newest_first)
        self._envelope.page(req, resp, rows, window)

    async def _page(self, job_id: str, window: Window, *, descending: bool) -> list[Row]:
        limit = window.stop - window.start
        found = await self._store.log_page(
            job_id, offset=window.start, limit=limit, descending=descending
        )
        return [records.row(record) for record in found]

    async def _found(
        self, job_id: str, found: logscan.Found, window: Window, *, descending: bool
    ) -> list[Row]:
        if not descending:
            return await self._rows(job_id, await found.cut(window.start, window.stop))
        numbers = await found.cut(window.total - window.stop, window.total - window.start)
        return await self._rows(job_id, numbers[::-1])

    async def _select(self, job_id: str, selection: Selection, where: LogFilter) -> list[int]:
        """Numbers of the records that pass and fit, in order; of the others nothing is kept."""
        turns = Turns()
        found: list[tuple[int, tuple[Key, ...]]] = []
        async for record in logscan.passing(self._store, job_id, where):
            row = records.row(record)
            if selection.predicate is None or fits(selection.predicate, row):
                found.append((record.seq, _keys(row, selection.sort)))
            await turns.give_way()
        found = where.newest(found)
        for at in reversed(range(len(selection.sort))):
            down = selection.sort[at][1] < 0
            found.sort(key=lambda item, at=at: item[1][at], reverse=down)  # type: ignore[misc]
        return [number for number, _ in found]

    async def _rows(self, job_id: str, numbers: Sequence[int]) -> list[Row]:
        found = await self._store.log_rows(job_id, numbers)
        return [records.row(record) for record in found]


def _keys(row: dict[str, Any], sort: Sort) -> tuple[Key, ...]:
    return tuple(
        sort_key(row, tuple(name.split(".")), descending=direction < 0) for name, direction in sort
    )
