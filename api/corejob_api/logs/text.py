"""The log as plain text, for downloads: one line per record, and a line for each gap."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar

from falcon.asgi import Request, Response

from corejob import timestamps
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request
from corejob_api.logs.ranges import LIMIT, Anchor
from corejob_api.query import log_rows, log_scan
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.scans import Scan
from corejob_journal.store import Gap, LogRecord, Store, StoreUnavailable
from corejob_process import tasks
from corejob_process.backoff import Backoff

T = TypeVar("T")

FORMAT: Final = "format"
_TEXT: Final = "text"
_JSON: Final = "json"
_MEDIA_TYPE: Final = "text/plain"
_EXCLUDED: Final = (
    *Anchor, LIMIT, "page", "per_page", "sort", "order", "filter", "ids_only", "count_levels",
)  # fmt: skip
_READ: Final = 500
"""Number of records of a piece of text."""
_FIRST_PAUSE_S: Final = 0.1
_MOST_PAUSE_S: Final = 2.0
_PATIENCE_S: Final = 60.0
"""For so long a download waits for a store that is away; then its connection is cut."""


def wanted(req: Request, arguments: Arguments) -> bool:
    """Return True if the request asks for text, by `format=text` or by its header `Accept`.

    Raises:
        ApiError: 400, the format is unknown, or text excludes another argument.
    """
    form = arguments.optional_text(FORMAT)
    if form not in {None, _TEXT, _JSON}:
        raise bad_request(f"parameter [{FORMAT}] must be {_TEXT} or {_JSON}")
    preferred = req.client_prefers(("application/json", _MEDIA_TYPE))
    if form == _JSON or (form is None and preferred != _MEDIA_TYPE):
        return False
    for name in _EXCLUDED:
        if arguments.raw(name) is not None:
            raise bad_request(f"a log as text excludes parameter [{name}]")
    return True


def respond(resp: Response, text: "LogText", job_id: str) -> None:
    """Answer with the text, as a file for browsers."""
    resp.content_type = f"{_MEDIA_TYPE}; charset=utf-8"
    resp.set_header("Content-Disposition", f'attachment; filename="{job_id}.log"')
    resp.stream = text


class LogText:
    """The passing records as UTF-8 text: an asynchronous iterator of bytes for Falcon.

    It ends with the record that was the last one at its start. If the client disconnects, it ends.

    Args:
        store: The store.
        scan: Runs the expression of the filter.
        job_id: The job.
        where: The filters of the log.
        receive: ASGI receive of the client's connection.
        patience: Seconds to wait for a store that is away, before each piece.
    """

    def __init__(
        self,
        store: Store,
        scan: Scan,
        job_id: str,
        where: LogFilter,
        receive: Callable[[], Awaitable[Any]],
        *,
        patience: float = _PATIENCE_S,
    ) -> None:
        self._store = store
        self._scan = scan
        self._job_id = job_id
        self._where = where
        self._receive = receive
        self._patience = patience
        self._gone: asyncio.Task[None] | None = None
        self._pieces = self._make()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._gone is None:
            self._gone = asyncio.create_task(self._disconnected(), name=f"text of {self._job_id}")
        if self._gone.done():
            raise StopAsyncIteration
        return await anext(self._pieces)

    async def close(self) -> None:
        """End the watch of the client."""
        if self._gone is not None:
            await tasks.cancel(self._gone)
        await self._pieces.aclose()

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _make(self) -> AsyncGenerator[bytes]:
        last = await self._read(lambda: self._store.log_count(self._job_id))
        gaps = await self._read(lambda: self._store.gaps(self._job_id))
        position = await self._read(lambda: self._start(last))
        # As in a stream, gaps among the lines that `tail` skips are skipped too.
        gaps = [gap for gap in gaps if gap.after_seq >= position]
        while position < last:
            records, position = await self._read(partial(self._piece, position, last))
            due = [gap for gap in gaps if gap.after_seq < position]
            gaps = gaps[len(due) :]
            if records or due:
                yield _text(records, due)
        if gaps:
            yield _text([], gaps)

    async def _start(self, last: int) -> int:
        """Return the number before the first record."""
        if self._where.tail is None:
            return 0
        newest = await log_scan.last_numbers(
            self._store, self._scan, self._job_id, self._where, last
        )
        return newest[0] - 1 if newest else last

    async def _piece(self, after: int, last: int) -> tuple[list[LogRecord], int]:
        """Return the next passing records, and the number of the last record examined."""
        stop = min(last, after + log_scan.SLICE)
        records = await self._store.log_scan(
            self._job_id,
            after=after,
            last=stop,
            level=self._where.level,
            since=self._where.since,
            limit=_READ,
        )
        # An empty result is the end of the slice.
        examined = records[-1].seq if records else stop
        if self._where.grep is not None:
            records = await self._scan.keep(self._where.passes, records)
        return records, examined

    async def _read(self, query: Callable[[], Awaitable[T]]) -> T:
        """Run a query; while the store is away, retry it for `patience` seconds.

        Raises:
            StoreUnavailable: The store is still away. The server then cuts the connection, so the
                client doesn't take the text for the whole log.
        """
        backoff = Backoff(_FIRST_PAUSE_S, _MOST_PAUSE_S)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await query()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(backoff.next())


def _text(records: Iterable[LogRecord], gaps: Sequence[Gap]) -> bytes:
    """Return the lines of records and of gaps, in the order of the log."""
    lines: list[str] = []
    waiting = list(gaps)
    for record in records:
        while waiting and waiting[0].after_seq < record.seq:
            lines.append(_gap_line(waiting.pop(0)))
        lines.append(_record_lines(record))
    lines += map(_gap_line, waiting)
    return "".join(lines).encode(errors="replace")


def _record_lines(record: LogRecord) -> str:
    moment = timestamps.iso(timestamps.from_epoch(record.epoch))
    text = f"{moment} {log_rows.level(record.levelno):<8} {record.message}\n"
    if record.exception is None:
        return text
    lines = record.exception.get("text")
    trace = lines if isinstance(lines, list) else ()
    return text + "".join(f"{str(line).rstrip()}\n" for line in trace)


def _gap_line(gap: Gap) -> str:
    lines = "lines are"
    if gap.first_n is not None:
        lines = f"lines {gap.first_n} to {'…' if gap.last_n is None else gap.last_n} are"
    return f"-- {lines} missing here: {gap.reason} --\n"
