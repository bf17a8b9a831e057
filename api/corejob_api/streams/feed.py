"""Feed of one job: its states and new log records, read once for all its followers."""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from corejob.document import document, state_key
from corejob.machine import unwritten_run
from corejob.model import CoreJob
from corejob.state import FINAL
from corejob.trials import has_ended
from corejob_api.query import log_scan
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import END, Position
from corejob_api.query.ordering import Row
from corejob_api.query.scans import Scan
from corejob_api.queue.index import Queue
from corejob_api.streams import frames
from corejob_api.streams.frames import Mode
from corejob_journal.store import (
    Gap,
    LogRecord,
    OutputLine,
    Store,
    StoreUnavailable,
    is_cut,
)
from corejob_process import tasks
from corejob_process.backoff import Backoff
from corejob_process.clock import Clock
from corejob_process.tasks import log_failure

log = logging.getLogger(__name__)
T = TypeVar("T")

_PAGE: Final = 1000
_KEPT: Final = 2000
_KEPT_BYTES: Final = 8 * 2**20
_CHUNK_LINES: Final = 500
_CHUNK_BYTES: Final = 2**16
_CHUNKS_KEPT_BYTES: Final = 2**20
_RETRY_FIRST: Final = 0.1
_RETRY_MOST: Final = 2.0


class EncodedRecord(NamedTuple):
    """A log record with its JSON for `frames.log_frame`."""

    record: LogRecord
    text: bytes

    @classmethod
    def of(cls, record: LogRecord) -> "EncodedRecord":
        """Encode a record."""
        return cls(record, frames.encode_record(record))

    @property
    def seq(self) -> int:
        """Sequence number of the record."""
        return self.record.seq

    @property
    def size(self) -> int:
        """Approximate size in memory, in bytes."""
        return len(self.text) + len(self.record.message)


class Chunk(NamedTuple):
    """Frames of successive records, cached for all followers at the same position.

    Attributes:
        data: The encoded frames.
        last: Number of the last record.
        lines: Number of records.
    """

    data: bytes
    last: int
    lines: int


class JobSnapshot(NamedTuple):
    """The job at one moment.

    Attributes:
        document: The job's document as JSON.
        key: The fields whose change makes a new `state` frame.
        final: True if the state is final.
    """

    document: bytes
    key: Row
    final: bool


class Subscriber(Protocol):
    """A subscriber of a feed. Its methods must not block."""

    def state(self, snapshot: JobSnapshot) -> None:
        """Handle a changed state of the job."""

    def notify(self) -> None:
        """Handle a change or the removal of the job."""

    def records(self) -> None:
        """Handle that the log was read again: there may be new records."""

    def end(self) -> None:
        """Handle the failure of the feed: no more news, although the job isn't finished."""


class Feed:
    """States and new log records of one job, from its creation on.

    Attributes:
        job_id: The job's id.
        tail: Number of the last record read.
        gaps: Gaps of the log, in order.
        subscribers: Its subscribers.
    """

    def __init__(self, job_id: str, queue: Queue, store: Store, now: Clock) -> None:
        self.job_id = job_id
        self.tail = 0
        self.gaps: list[Gap] = []
        self.subscribers: set[Subscriber] = set()
        self._queue = queue
        self._store = store
        self._now = now
        self._lines: deque[EncodedRecord] = deque()
        self._chunks: OrderedDict[tuple[int, Mode, bool], Chunk] = OrderedDict()
        self._chunk_bytes = 0
        self._bytes = 0
        self._last_job: CoreJob | None = None
        self._last_key: Row | None = None
        self._news = asyncio.Event()
        self._opened = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name=f"feed {job_id}")
        self._task.add_done_callback(self._failed)
        queue.watch(job_id, self._changed)
        self._last_job = self.job()
        current = self.current()
        if current is not None:
            self._last_key = current.key

    async def opened(self) -> None:
        """Wait until `tail` and `gaps` have been read from the store."""
        await self._opened.wait()

    async def close(self) -> None:
        """Unsubscribe from the queue and stop reading the log."""
        self._queue.unwatch(self.job_id, self._changed)
        await tasks.cancel(self._task)

    def refresh(self) -> None:
        """Read the log again, since the store may have new records of the job."""
        self._news.set()

    def job(self) -> CoreJob | None:
        """Return the job of the queue, or None if the resource no longer exists."""
        entry = self._queue.get(self.job_id)
        return None if entry is None else entry.job

    def current(self) -> JobSnapshot | None:
        """Return the present state, or None if the resource no longer exists."""
        entry = self._queue.get(self.job_id)
        return None if entry is None else _snapshot(entry.job, entry.row(self._now()))

    def has(self, seq: int) -> bool:
        """Return True if all known records after number `seq` are still buffered."""
        return seq >= self.tail or bool(self._lines and self._lines[0].seq <= seq + 1)

    def lines_after(self, seq: int) -> list[EncodedRecord]:
        """Return a batch of the records after number `seq`, oldest first.

        The caller has checked `has(seq)`. Empty if there are no such records yet.
        """
        if seq >= self.tail:
            return []
        skipped = seq + 1 - self._lines[0].seq
        batch, size = [], 0
        for line in islice(self._lines, skipped, skipped + _CHUNK_LINES):
            batch.append(line)
            size += len(line.text)
            if size >= _CHUNK_BYTES:
                break
        return batch

    def chunk_after(self, seq: int, mode: Mode, *, ids: bool) -> Chunk | None:
        """Return the frames of `lines_after`, with ids or without; None if there are no lines."""
        key = (seq, mode, ids)
        chunk = self._chunks.get(key)
        if chunk is None:
            lines = self.lines_after(seq)
            if not lines:
                return None
            data = b"".join(
                frames.log_frame(line.text, mode, line.seq if ids else None) for line in lines
            )
            chunk = self._chunks[key] = Chunk(data, lines[-1].seq, len(lines))
            self._chunk_bytes += len(data)
            while self._chunk_bytes > _CHUNKS_KEPT_BYTES and len(self._chunks) > 1:
                self._chunk_bytes -= len(self._chunks.popitem(last=False)[1].data)
        return chunk

    async def query(self, run: Callable[[], Awaitable[T]]) -> T:
        """Return the result of a store query; retries with back-off while it is unavailable."""
        backoff = Backoff(_RETRY_FIRST, _RETRY_MOST)
        while True:
            try:
                return await run()
            except StoreUnavailable as error:
                log.warning("job %s: waiting for the store: %s", self.job_id, error)
                await asyncio.sleep(backoff.next())

    async def scan(self, where: LogFilter, after: int, last: int, limit: int) -> list[LogRecord]:
        """Return stored records between two numbers that match the filter, but for `grep`."""
        part = where.within(self.job_id, after, last)
        return await self.query(lambda: self._store.log_scan(part, limit))

    async def printed(self, after: int, last: int, limit: int) -> list[OutputLine]:
        """Return printed lines after number `after` that precede or follow record `last`."""
        return await self.query(
            lambda: self._store.outputs(self.job_id, seq=after, first=0, last=last, limit=limit)
        )

    async def printed_until(self, last: int) -> int:
        """Return the number of the last printed line after record `last` or earlier."""
        return await self.query(lambda: self._store.output_number(self.job_id, last))

    async def tail_numbers(self, where: LogFilter, scan: Scan) -> list[int]:
        """Return the numbers of the last `where.tail` records up to `tail` that match."""
        last = self.tail
        return await self.query(
            lambda: log_scan.last_numbers(self._store, scan, self.job_id, where, last)
        )

    async def end_of_trial(self, trial: int) -> Position | None:
        """Return where the log of a trial ends; None while the trial or its log goes on."""
        job = self.job()
        if job is None or not has_ended(job.status, trial):
            return None
        logs = await self.query(lambda: self._store.trial_logs(self.job_id))
        own = [log.finalised for log in logs if log.trial == trial]
        # Without any log, wait until the recorder has looked at the trial.
        looked_at = job.log.trial > trial or (job.log.trial == trial and job.log.complete)
        if not all(own) or not (own or looked_at or trial <= job.carried_trials):
            return None
        return Position(await self.last_seq(), await self.printed_until(END))

    async def last_seq(self) -> int:
        """Read the number of the last record from the store."""
        return await self.query(lambda: self._store.log_count(self.job_id))

    async def document(self) -> dict[str, Any] | None:
        """Return the stored document of a finished job, or None."""
        return await self.query(lambda: self._store.document(self.job_id))

    # --- the job --------------------------------------------------------------------------------

    def _changed(self, job: CoreJob) -> None:
        entry, now = self._queue.get(self.job_id), self._now()
        if entry is not None:
            # Clients see each trial run, even if its start was written together with its end.
            run = unwritten_run(self._last_job, job) if self._last_job is not None else None
            if run is not None:
                self._publish(_snapshot(run, document(run, now)))
            self._publish(_snapshot(job, entry.row(now)))
            self._last_job = job
        self._notify()

    def _publish(self, snapshot: JobSnapshot) -> None:
        """Pass a state on to the subscribers, unless they have it already."""
        if snapshot.key != self._last_key:
            self._last_key = snapshot.key
            for subscriber in self.subscribers:
                subscriber.state(snapshot)

    def _notify(self) -> None:
        for subscriber in self.subscribers:
            subscriber.notify()

    def _failed(self, task: "asyncio.Task[None]") -> None:
        if log_failure(task):
            for subscriber in tuple(self.subscribers):
                subscriber.end()

    # --- the log --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        self.tail = await self.last_seq()
        await self.read_gaps()
        self._opened.set()
        # Read at once: records may have been stored between those two reads.
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            while await self._read():
                pass

    async def _read(self) -> bool:
        """Read the next page of new records. Return True if there may be more of them already."""
        records, gaps = await self.query(
            lambda: self._store.log_after(self.job_id, self.tail, _PAGE)
        )
        if records:
            self.gaps = gaps
            for record in records:
                self._keep(EncodedRecord.of(record))
            self.tail = records[-1].seq
        for subscriber in self.subscribers:
            subscriber.records()
        return is_cut(records, _PAGE)

    async def read_gaps(self) -> None:
        """Read the gaps; `gaps` always covers the records up to `tail`."""
        self.gaps = await self.query(lambda: self._store.gaps(self.job_id))

    def _keep(self, line: EncodedRecord) -> None:
        self._lines.append(line)
        self._bytes += line.size
        while len(self._lines) > _KEPT or (self._bytes > _KEPT_BYTES and len(self._lines) > 1):
            self._bytes -= self._lines.popleft().size


def _snapshot(job: CoreJob, row: Row) -> JobSnapshot:
    return JobSnapshot(frames.encode(row), state_key(row), job.status.state in FINAL)
