"""The log as plain text, for downloads: one line per record, and a line for each gap."""

import asyncio
import bisect
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar

from falcon.asgi import Request, Response

from corejob import timestamps
from corejob_api.http import accept
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request
from corejob_api.logs.ranges import LIMIT, Anchor
from corejob_api.query import log_rows, log_scan
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.scans import Scan
from corejob_journal.store import Gap, LogRecord, OutputLine, Store, StoreUnavailable
from corejob_process import tasks
from corejob_process.backoff import Backoff

T = TypeVar("T")

FORMAT: Final = "format"
_TEXT: Final = "text"
_JSON: Final = "json"
_MEDIA_TYPE: Final = "text/plain"
_MEDIA_TYPE_OF_PAGES: Final = "application/json"
_EXCLUDED: Final = (
    *Anchor, LIMIT, "page", "per_page", "sort", "order", "filter", "ids_only", "count_levels",
)  # fmt: skip
_READ: Final = 500
"""Number of records of a piece of text."""
END_OF_TEXT: Final = chr(sys.maxunicode)
"""Comes after any text."""
_FIRST_PAUSE_S: Final = 0.1
_MOST_PAUSE_S: Final = 2.0
_PATIENCE_S: Final = 60.0
"""For so long a download waits for a store that is away; then its connection is cut."""


Place = tuple[int, int, int]
"""Place of a line: the record that it is or follows, then gaps, then what was printed."""
Line = tuple[Place, str]


def wanted(req: Request, arguments: Arguments) -> bool:
    """Return True if the request asks for text, by `format=text` or by its header `Accept`.

    The header alone does not turn a request for pages or a range, which core4 had, into a file.

    Raises:
        ApiError: 400, the format is unknown, or text excludes another argument.
    """
    form = arguments.optional_text(FORMAT)
    if form not in {None, _TEXT, _JSON}:
        raise bad_request(f"parameter [{FORMAT}] must be {_TEXT} or {_JSON}")
    if form == _JSON or (form is None and not _prefers_text(req)):
        return False
    excluded = [name for name in _EXCLUDED if arguments.raw(name) is not None]
    if excluded and form == _TEXT:
        raise bad_request(f"a log as text excludes parameter [{excluded[0]}]")
    return not excluded


def _prefers_text(req: Request) -> bool:
    """Return True if the header `Accept` names text, and does not prefer JSON."""
    header = req.get_header("Accept") or ""
    if not accept.names(header, _MEDIA_TYPE):
        return False
    # Falcon returns the first of two equal types: JSON if it is named too, text if it is `*/*`.
    types = (_MEDIA_TYPE, _MEDIA_TYPE_OF_PAGES)
    first = types[::-1] if accept.names(header, _MEDIA_TYPE_OF_PAGES) else types
    return req.client_prefers(first) == _MEDIA_TYPE


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
        output: True to add what the job printed.
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
        output: bool = False,
        patience: float = _PATIENCE_S,
    ) -> None:
        self._store = store
        self._scan = scan
        self._job_id = job_id
        self._where = where
        self._receive = receive
        self._output = output
        self._printed = 0
        self._place: Place = (0, 0, 0)
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
        gaps = [gap for gap in gaps if gap.after_seq >= position and self._where.passes_gap(gap)]
        if self._where.tail is not None:
            self._printed = await self._read(
                lambda: self._store.output_number(self._job_id, position)
            )
        while position < last:
            records, position = await self._read(partial(self._piece, position, last))
            due = [gap for gap in gaps if gap.after_seq < position]
            gaps = gaps[len(due) :]
            lines = [*map(_of_record, records), *map(_of_gap, due)]
            # Lines printed after the piece's last record come with the next piece.
            async for text in self._with_printed(lines, position - 1):
                yield text
        async for text in self._with_printed([*map(_of_gap, gaps)], last):
            yield text

    async def _with_printed(self, lines: list[Line], last: int) -> AsyncGenerator[bytes]:
        """Yield lines with what was printed until record `last`, as soon as their order is sure."""
        async for part in self._printed_until(last):
            lines = sorted([*lines, *part])
            sure = bisect.bisect_right(lines, (self._place, END_OF_TEXT))
            if sure:
                yield _text(lines[:sure])
            lines = lines[sure:]
        if lines:
            yield _text(sorted(lines))

    async def _printed_until(self, last: int) -> AsyncGenerator[list[Line]]:
        """Yield the passing printed lines after record `last` or earlier ones, in pieces."""
        while self._output:
            part = await self._read(partial(self._next_printed, last))
            if not part:
                return
            self._printed = part[-1].seq
            self._place = _of_output(part[-1])[0]
            yield [
                _of_output(line) for line in await self._scan.keep(self._where.passes_output, part)
            ]

    async def _next_printed(self, last: int) -> list[OutputLine]:
        return await self._store.outputs(
            self._job_id, seq=self._printed, first=0, last=last, limit=_READ
        )

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
        part = self._where.within(self._job_id, after, stop)
        records = await self._store.log_scan(part, _READ)
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


def _text(lines: Sequence[Line]) -> bytes:
    return "".join(text for _, text in lines).encode(errors="replace")


def _of_record(record: LogRecord) -> Line:
    text = _start(record.epoch, log_rows.level(record.levelno)) + f"{record.message}\n"
    place = (record.seq, 0, 0)
    if record.exception is None:
        return place, text
    lines = record.exception.get("text")
    trace = lines if isinstance(lines, list) else ()
    return place, text + "".join(f"{str(line).rstrip()}\n" for line in trace)


def _of_output(line: OutputLine) -> Line:
    return (line.after_seq, 2, line.seq), f"{_start(line.epoch, line.channel)}{line.text}\n"


def _of_gap(gap: Gap) -> Line:
    lines = "lines are"
    if gap.first_n is not None:
        lines = f"lines {gap.first_n} to {'…' if gap.last_n is None else gap.last_n} are"
    return (gap.after_seq, 1, gap.first_n or 0), f"-- {lines} missing here: {gap.reason} --\n"


def _start(epoch: float, word: str) -> str:
    return f"{timestamps.iso(timestamps.from_epoch(epoch))} {word:<8} "
