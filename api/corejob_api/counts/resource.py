"""The queue's counts: history from the store, live as a stream. They are not confidential."""

from falcon.asgi import Request, Response

from corejob_api.auth.current_user import current_user
from corejob_api.counts import history
from corejob_api.http import call
from corejob_api.http.call import ApiRequest
from corejob_api.http.envelope import Envelope
from corejob_api.http.paging import page_request
from corejob_api.query.filters import Predicate
from corejob_api.query.scans import Scan, Scans
from corejob_api.query.selection import filter_argument, fits
from corejob_api.streams import responses
from corejob_api.streams.hub import Hub
from corejob_journal.store import Store
from corejob_process.clock import Clock

_SLICE = 1000


class CountsResource:
    """Handlers of the counts, for all users who may call the API."""

    def __init__(
        self, store: Store, hub: Hub, scans: Scans, envelope: Envelope, now: Clock
    ) -> None:
        self._store = store
        self._hub = hub
        self._scans = scans
        self._envelope = envelope
        self._now = now

    async def changes(self, req: ApiRequest, resp: Response) -> None:
        """List a row for each change of the counts."""
        arguments = call.of(req).arguments
        descending = history.is_descending(arguments)
        page, predicate = page_request(arguments), filter_argument(arguments)
        if predicate is None:
            window = page.window(await self._store.history_count())
            limit = window.stop - window.start
            counts = await self._store.history_page(
                offset=window.start, limit=limit, descending=descending
            )
        else:
            scan = self._scans.of(current_user(req).name)
            numbers = await call.while_connected(req, self._select(predicate, scan))
            if descending:
                numbers.reverse()
            window = page.window(len(numbers))
            counts = await self._store.history_rows(window.cut(numbers))
        await self._envelope.page(req, resp, [history.row_of(count) for count in counts], window)

    async def steps(self, req: Request, resp: Response) -> None:
        """List the last row of each step of a time span."""
        arguments = call.of(req).arguments
        descending = history.is_descending(arguments)
        page, steps = page_request(arguments, "perPage"), history.steps(arguments, self._now)
        window = page.window(await self._store.history_step_count(steps))
        limit = window.stop - window.start
        counts = await self._store.history_steps(
            steps, offset=window.start, limit=limit, descending=descending
        )
        await self._envelope.page(req, resp, [history.row_of(count) for count in counts], window)

    async def live(self, req: ApiRequest, resp: Response) -> None:
        """Stream the present counts and their changes."""
        responses.respond(resp, self._hub.summary(req.receive))

    async def _select(self, predicate: Predicate, scan: Scan) -> list[int]:
        """Return the numbers of the matching rows, oldest first; other rows are not kept."""
        numbers: list[int] = []
        no = 0
        while part := await self._store.history_after(no, _SLICE):
            matching = await scan.keep(lambda count: fits(predicate, history.row_of(count)), part)
            numbers += [count.no for count in matching]
            no = part[-1].no
        return numbers
