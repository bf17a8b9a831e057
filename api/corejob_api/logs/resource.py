"""The log of a job: by pages or ranges, as text, or as a stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from falcon.asgi import Response

from corejob_api.auth.current_user import current_user
from corejob_api.auth.users import User
from corejob_api.http import call
from corejob_api.http.arguments import Arguments
from corejob_api.http.call import ApiRequest
from corejob_api.http.envelope import Envelope
from corejob_api.http.errors import bad_request
from corejob_api.http.paging import PageRequest, Window, page_request
from corejob_api.logs import levels, pages, text
from corejob_api.logs.printed import OUTPUT, lines_of, merged
from corejob_api.logs.ranges import LIMIT, Anchor, LogRange
from corejob_api.logs.text import LogText
from corejob_api.query import log_rows
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.scans import Scan, Scans
from corejob_api.query.selection import Selection
from corejob_api.queue.jobs import Jobs, job_id_argument
from corejob_api.queue.log_barrier import LogBarrier
from corejob_api.streams import responses
from corejob_api.streams.hub import Hub
from corejob_api.streams.responses import LogView
from corejob_journal.store import Store

_IDS_ONLY: Final = "ids_only"
_COUNT_LEVELS: Final = "count_levels"
_NOT_STREAMED: Final = (
    *Anchor, LIMIT, _IDS_ONLY, _COUNT_LEVELS, text.FORMAT, "filter", "sort", "order",
)  # fmt: skip
"""Without `page` and `per_page`, which scripts for core4 may send always: a stream has no pages."""


class LogResource:
    """Handler of a job's log; it reads the store."""

    def __init__(
        self,
        jobs: Jobs,
        store: Store,
        hub: Hub,
        scans: Scans,
        barrier: LogBarrier,
        envelope: Envelope,
    ) -> None:
        self._jobs = jobs
        self._barrier = barrier
        self._store = store
        self._hub = hub
        self._scans = scans
        self._envelope = envelope

    async def get(self, req: ApiRequest, resp: Response, job_id: str) -> None:
        """Answer with the log of a job, current or past."""
        arguments = call.of(req).arguments
        job_id = job_id_argument(job_id)
        view = LogView.of(req, arguments)
        if arguments.flag("follow", default=False):
            await self._follow(req, resp, job_id, arguments, view)
            return
        if arguments.optional_text(responses.LAST_ID):
            raise bad_request(
                f"parameter [{responses.LAST_ID}] is for streams: set follow=true, or use "
                f"[{Anchor.FROM}] to get the records from one on"
            )
        if text.wanted(req, arguments):
            await self._text(req, resp, job_id, view)
        else:
            await self._records(req, resp, job_id, arguments, view.where)

    async def _follow(
        self, req: ApiRequest, resp: Response, job_id: str, arguments: Arguments, view: LogView
    ) -> None:
        for name in _NOT_STREAMED:
            if arguments.raw(name) is not None:
                raise bad_request(
                    f"parameter [{name}] is not for streams: leave out follow=true, "
                    f"or use {', '.join(responses.VIEW)}"
                )
        page_request(arguments)  # raises for malformed ones
        user = current_user(req)
        await self._jobs.readable_log(job_id, user)
        follower = self._hub.follow(
            job_id,
            req.receive,
            self._scans.of(user.name),
            states=False,
            where=view.where,
            ids=view.ids,
            output=view.output,
            resume=view.resume,
        )
        responses.respond(resp, follower)

    async def _text(self, req: ApiRequest, resp: Response, job_id: str, view: LogView) -> None:
        user = current_user(req)
        await self._readable(req, job_id, user)
        # A store that is away is an error of this answer, while it can still have a status.
        await self._store.ping()
        scan = self._scans.of(user.name)
        whole = LogText(self._store, scan, job_id, view.where, req.receive, output=view.output)
        text.respond(resp, whole, job_id)

    async def _records(
        self, req: ApiRequest, resp: Response, job_id: str, arguments: Arguments, where: LogFilter
    ) -> None:
        chosen = LogRange.of(arguments)
        page, selection = page_request(arguments), Selection.of(arguments)
        form = _Form.of(arguments)
        user = current_user(req)
        await self._readable(req, job_id, user)
        scan = self._scans.of(user.name)
        if chosen is None:
            read_page = self._page(job_id, scan, page, selection, where, form)
            rows, window, more = await call.while_connected(req, read_page)
            await self._envelope.page(req, resp, rows, window, **more)
        else:
            read_range = self._range(job_id, scan, chosen, where, form)
            rows, more = await call.while_connected(req, read_range)
            await self._envelope.rows(req, resp, rows, per_page=chosen.limit, **more)

    async def _readable(self, req: ApiRequest, job_id: str, user: User) -> None:
        """Check that the user may read the log; wait for its end if its job has just ended."""
        await self._jobs.readable_log(job_id, user)
        if self._barrier.holds(job_id):
            await call.while_connected(req, self._barrier.passed(job_id))

    async def _page(
        self,
        job_id: str,
        scan: Scan,
        page: PageRequest,
        selection: Selection,
        where: LogFilter,
        form: "_Form",
    ) -> tuple[list[Any], Window, dict[str, Any]]:
        found = await pages.page_of(self._store, scan, job_id, page, selection, where)
        if form.output and found.span is None:
            raise bad_request(
                f"parameter [{OUTPUT}] needs the order of the log: leave filter and sort out"
            )
        rows = await self._rows(job_id, found.numbers, form)
        if form.output and found.span is not None:
            printed = await lines_of(self._store, scan, job_id, where, found.span)
            rows = merged(rows, printed, descending=pages.is_descending(selection))
        return rows, found.window, await self._levels(job_id, scan, where, found.passing, form)

    async def _range(
        self, job_id: str, scan: Scan, chosen: LogRange, where: LogFilter, form: "_Form"
    ) -> tuple[list[Any], dict[str, Any]]:
        last = await self._store.log_count(job_id)
        numbers, span = await chosen.numbers(self._store, scan, job_id, where, last)
        rows = await self._rows(job_id, numbers, form)
        if form.output:
            printed = await lines_of(self._store, scan, job_id, where, span)
            rows = merged(rows, printed, descending=False)
        more = {"last_id": log_rows.number(last) if last else None}
        return rows, more | await self._levels(job_id, scan, where, None, form)

    async def _rows(self, job_id: str, numbers: Sequence[int], form: "_Form") -> list[Any]:
        if form.ids_only:
            return [log_rows.number(number) for number in numbers]
        return await pages.rows_of(self._store, job_id, numbers)

    async def _levels(
        self,
        job_id: str,
        scan: Scan,
        where: LogFilter,
        passing: Sequence[int] | None,
        form: "_Form",
    ) -> dict[str, Any]:
        """Return the field `levels` of the envelope, if it was asked for."""
        if not form.count_levels:
            return {}
        return {"levels": await levels.counts(self._store, scan, job_id, where, passing)}


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of a page or range of records.

    Attributes:
        ids_only: The rows are the `_id`s of the records.
        count_levels: The envelope has the number of passing records of each level.
        output: The rows have what the job printed, too.
    """

    ids_only: bool
    count_levels: bool
    output: bool

    @classmethod
    def of(cls, arguments: Arguments) -> Self:
        form = cls(
            ids_only=arguments.flag(_IDS_ONLY, default=False),
            count_levels=arguments.flag(_COUNT_LEVELS, default=False),
            output=arguments.flag(OUTPUT, default=False),
        )
        if form.output and form.ids_only:
            raise bad_request(f"parameter [{OUTPUT}] excludes [{_IDS_ONLY}]")
        return form
