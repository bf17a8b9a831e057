"""Group commit: each transaction has all operations that arrived during the previous one."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.store import StoreUnavailable, Writer
from corejob_journal.store.records import Append, Operation, OperationResult, Probe
from corejob_process import tasks
from corejob_process.backoff import Backoff
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_LINES: Final = 20_000
_MOST_BYTES: Final = 16 * 2**20
_PACE_S_A_LINE: Final = 0.001
_PACE_S_MOST: Final = 0.03
"""A transaction costs as much as storing many lines, so it takes at least a millisecond per line.

The result waits at most thirty milliseconds. Above a thousand lines a second, more and more lines
therefore share a transaction; below that, nothing waits.
"""
_TURNS: Final = 3
"""Turns of the event loop after which callers that wait for a result have submitted more."""
_BACKOFF_FIRST: Final = 0.05
_BACKOFF_MOST: Final = 2.0

_IDLE_S: Final = 5.0
"""Seconds without a commit after which a probe tests if the store accepts writes."""

_Entry = tuple[Sequence[Operation], "asyncio.Future[list[OperationResult]]"]


class GroupCommit:
    """The queue of operations for the writer."""

    def __init__(self, writer: Writer, metrics: RecorderMetrics) -> None:
        self._writer = writer
        self._metrics = metrics
        self._queue: deque[_Entry] = deque()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._probe: asyncio.Future[list[OperationResult]] | None = None
        self._idle_since = time.monotonic()
        self._closing = False
        self._problem: str | None = None
        self._listeners: list[Callable[[str | None], None]] = []

    @property
    def problem(self) -> str | None:
        """The reason why the store accepts no writes at the moment; None while it does."""
        return self._problem

    def listen(self, changed: Callable[[str | None], None]) -> None:
        """Call `changed` with the new value whenever `problem` changes."""
        self._listeners.append(changed)

    def start(self, supervision: Supervision | None = None) -> None:
        """Start the tasks that commit and that probe the store.

        Args:
            supervision: Supervises the tasks; None creates a new one.
        """
        supervision = supervision or Supervision()
        self._task = supervision.start("group commit", self._run, once=True)
        self._watch = supervision.start("probe the store", self._probe_forever, restart=True)

    async def close(self, within: float) -> None:
        """Commit what is queued, but give up after `within` seconds."""
        self._closing = True
        self._news.set()
        if self._watch is not None:
            await tasks.cancel(self._watch)
        if self._task is not None:
            await tasks.finish(self._task, within=within)

    def submit(self, operations: Sequence[Operation]) -> "asyncio.Future[list[OperationResult]]":
        """Queue operations for one transaction. Retries while the store is unavailable."""
        future: asyncio.Future[list[OperationResult]] = asyncio.get_running_loop().create_future()
        self._queue.append((operations, future))
        self._news.set()
        return future

    async def call(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        """Call the writer outside the queue. Retries while the store is unavailable."""
        backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
        while True:
            try:
                answer = await work(self._writer)
            except StoreUnavailable as error:
                self._note_failure(error)
                await asyncio.sleep(backoff.next())
                continue
            if self._problem is not None:
                self._submit_probe()  # only a commit ends the problem: a full store can be read
            return answer

    async def cookies(self, qual_name: str) -> dict[str, Any]:
        """Return the cookies: the key-value store that all jobs of a qual_name share."""
        return await self.call(lambda writer: writer.cookies(qual_name))

    async def ping(self) -> None:
        """Wait until the queued operations and a probe after them are committed."""
        await asyncio.shield(self._submit_probe())

    def _submit_probe(self) -> "asyncio.Future[list[OperationResult]]":
        if self._probe is None or self._probe.done():
            self._probe = self.submit([Probe()])
        return self._probe

    async def _probe_forever(self) -> None:
        """Probe an idle store, so that a problem is noticed even when there is nothing to store."""
        while True:
            await asyncio.sleep(_IDLE_S)
            if time.monotonic() - self._idle_since >= _IDLE_S:
                await asyncio.gather(self.ping(), return_exceptions=True)

    async def _run(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._news.clear()
                await self._news.wait()
                continue
            await self._commit(self._next())
            # Callers that got a result may submit more, even when closing.
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    def _next(self) -> list[_Entry]:
        """Take from the queue as much as fits into one transaction."""
        entries: list[_Entry] = []
        lines = size = 0
        while self._queue and lines < _MOST_LINES and size < _MOST_BYTES:
            entry = self._queue.popleft()
            entries.append(entry)
            for operation in entry[0]:
                if isinstance(operation, Append):
                    lines += operation.lines
                    size += operation.bytes
        return entries

    async def _commit(self, entries: list[_Entry]) -> None:
        operations = [operation for entry in entries for operation in entry[0]]
        try:
            answers = iter(await self._persist(operations))
        except Exception as error:
            if len(entries) == 1:
                log.exception("the store refused %d operations", len(operations))
                if not entries[0][1].cancelled():
                    entries[0][1].set_exception(error)
                return
            for entry in entries:  # commit one by one, so that a bad value does not fail the others
                await self._commit([entry])
            return
        for entry_operations, future in entries:
            stored = [next(answers) for _ in entry_operations]
            if not future.cancelled():
                future.set_result(stored)

    async def _persist(self, operations: Sequence[Operation]) -> list[OperationResult]:
        backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
        while True:
            began = time.perf_counter()
            try:
                answers = await self._writer.commit(operations)
            except StoreUnavailable as error:
                self._note_failure(error)
                await asyncio.sleep(backoff.next())
                continue
            took = time.perf_counter() - began
            self._metrics.commits.observe(took)
            lines = self._count(operations, answers)
            self._idle_since = time.monotonic()
            if self._problem is not None:
                log.info("the store takes what it gets again")
                self._set_problem(None)
            # Callers that wait for their result gather lines and submit them together afterwards.
            await asyncio.sleep(min(lines * _PACE_S_A_LINE, _PACE_S_MOST) - took)
            return answers

    def _count(self, operations: Sequence[Operation], answers: Sequence[OperationResult]) -> int:
        """Count what was stored in the metrics. Return the number of lines."""
        pairs = zip(operations, answers, strict=True)
        stored = [
            operation
            for operation, answer in pairs
            if isinstance(operation, Append) and not answer.stale
        ]
        lines = sum(append.lines for append in stored)
        self._metrics.lines.inc(lines)
        self._metrics.bytes.inc(sum(append.bytes for append in stored))
        return lines

    def _note_failure(self, error: StoreUnavailable) -> None:
        self._metrics.store_failures.inc()
        if self._problem is None:
            log.warning("waiting for the store, nothing is lost meanwhile: %s", error)
        self._set_problem(str(error))

    def _set_problem(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        for listener in self._listeners:
            listener(problem)
