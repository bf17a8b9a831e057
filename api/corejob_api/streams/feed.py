"""A feed: what is new about one job, read once for all who follow it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from corejob.document import state_key
from corejob.model import CoreJob
from corejob.state import FINAL
from corejob_api.query.selection import Row
from corejob_api.queue import Queue
from corejob_api.streams import frames
from corejob_api.tasks import log_failure
from corejob_api.timing import Clock
from corejob_journal.store import Gap, LogRecord, Store, StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

_PAGE: Final = 1000
_KEPT: Final = 2000
_KEPT_BYTES: Final = 8 * 2**20
_RETRY_FIRST: Final = 0.1
_RETRY_MOST: Final = 2.0


class Line(NamedTuple):
    """A record: its number, and its JSON for `frames.log_frame`."""

    seq: int
    text: bytes


class State(NamedTuple):
    """A state of the job: its document as JSON, what of it counts, and whether it is final."""

    document: bytes
    key: Row
    final: bool


class Reader(Protocol):
    """Who follows a feed. Neither call may block."""

    def state(self, state: State) -> None:
        """The job has changed."""

    def wake(self) -> None:
        """There is something new: records, or the job is gone."""

    def end(self) -> None:
        """Nothing will come any more, though the job isn't over."""


class Feed:
    """What is new about one job, from `open` on.

    Attributes:
        tail: Number of the last record that it knows of.
        gaps: Where records are missing, in order.
    """

    def __init__(self, job_id: str, queue: Queue, store: Store, now: Clock) -> None:
        self.job_id = job_id
        self.tail = 0
        self.gaps: list[Gap] = []
        self.readers: set[Reader] = set()
        self._queue = queue
        self._store = store
        self._now = now
        self._lines: deque[Line] = deque()
        self._bytes = 0
        self._seen: Row | None = None
        self._news = asyncio.Event()
        self._opened = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name=f"feed {job_id}")
        self._task.add_done_callback(self._failed)
        queue.watch(job_id, self._changed)
        current = self.current()
        if current is not None:
            self._seen = current.key

    async def opened(self) -> None:
        """Wait until it knows how far the log has come."""
        await self._opened.wait()

    async def close(self) -> None:
        """Stop reading."""
        self._queue.unwatch(self.job_id, self._changed)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def poke(self) -> None:
        """The store may have news of the job."""
        self._news.set()

    def job(self) -> CoreJob | None:
        """The job as the queue has it; None if there is no such resource any more."""
        entry = self._queue.get(self.job_id)
        return None if entry is None else entry.job

    def current(self) -> State | None:
        """Its state now."""
        entry = self._queue.get(self.job_id)
        return None if entry is None else _state(entry.job, entry.row(self._now()))

    def lines_after(self, seq: int, limit: int) -> list[Line] | None:
        """Records after number `seq`, the oldest first; None if it has not kept them all."""
        if seq >= self.tail:
            return []
        if not self._lines or self._lines[0].seq > seq + 1:
            return None
        skipped = seq + 1 - self._lines[0].seq
        return list(islice(self._lines, skipped, skipped + limit))

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """An answer of the store, waiting for it as long as it is away."""
        delay = _RETRY_FIRST
        while True:
            try:
                return await question()
            except StoreUnavailable as error:
                log.warning("job %s: waiting for the store: %s", self.job_id, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_MOST)

    async def records_after(self, seq: int, limit: int) -> list[LogRecord]:
        """Records of the store after number `seq`."""
        return await self.ask(lambda: self._store.log_after(self.job_id, seq, limit))

    async def last_seq(self) -> int:
        """Number of the last record in the store, as it is now."""
        return await self.ask(lambda: self._store.log_count(self.job_id))

    async def document(self) -> dict[str, Any] | None:
        """The document of the store, if the job is past."""
        return await self.ask(lambda: self._store.document(self.job_id))

    # --- the job --------------------------------------------------------------------------------

    def _changed(self, job: CoreJob) -> None:
        entry = self._queue.get(self.job_id)
        if entry is not None:
            state = _state(job, entry.row(self._now()))
            if state.key != self._seen:
                self._seen = state.key
                for reader in self.readers:
                    reader.state(state)
        self._wake()

    def _wake(self) -> None:
        for reader in self.readers:
            reader.wake()

    def _failed(self, task: "asyncio.Task[None]") -> None:
        if log_failure(task):
            for reader in tuple(self.readers):
                reader.end()

    # --- the log --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        self.tail = await self.last_seq()
        await self.read_gaps()
        self._opened.set()
        # What was stored between those two reads is caught up with at once.
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            while await self._read():
                pass

    async def _read(self) -> bool:
        """Read what is new; whether there may be more."""
        found = await self.records_after(self.tail, _PAGE)
        if found:
            # After the records: the gaps before them are then known for certain.
            await self.read_gaps()
            for record in found:
                self._keep(Line(record.seq, frames.encode_record(record)))
            self.tail = found[-1].seq
        self._wake()
        return len(found) == _PAGE

    async def read_gaps(self) -> None:
        """Look for gaps; those of the records that it knows of are always known already."""
        self.gaps = await self.ask(lambda: self._store.gaps(self.job_id))

    def _keep(self, line: Line) -> None:
        self._lines.append(line)
        self._bytes += len(line.text)
        while len(self._lines) > _KEPT or (self._bytes > _KEPT_BYTES and len(self._lines) > 1):
            self._bytes -= len(self._lines.popleft().text)


def _state(job: CoreJob, row: Row) -> State:
    return State(frames.encode(row), state_key(row), job.status.state in FINAL)
