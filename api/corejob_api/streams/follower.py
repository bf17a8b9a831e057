"""A follower: the stream of one client, from its first frame to its last.

It is what Falcon iterates over as a response's body. A task of its own makes the frames, so that
whatever that waits for, the client is told that the server lives, and is let go of when it is gone.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Self

from corejob.document import state_key
from corejob.state import FINAL, State
from corejob_api.metrics import Metrics
from corejob_api.query.selection import Row
from corejob_api.streams import feed, frames
from corejob_api.streams.feed import Feed, Line
from corejob_api.streams.frames import KEEP_ALIVE, Event, Mode
from corejob_api.tasks import log_failure

if TYPE_CHECKING:
    from corejob_api.streams.hub import Hub

Receive = Callable[[], Awaitable[Any]]
"""The next event of the client's connection (ASGI)."""

_BATCH: Final = 500
_CHUNK: Final = 2**16
_AHEAD: Final = 2
"""Chunks made ahead of the client."""
_STATES: Final = 64


class Follower:
    """An asynchronous iterator of bytes. It takes nothing before its first item is asked for.

    Args:
        hub: Who knows the feeds.
        job_id: The job to follow.
        receive: The client's connection, read to its end.
        states: Whether the client wants them; else the log only.
        resume: Number of the last record that the client has.
    """

    def __init__(
        self,
        hub: "Hub",
        job_id: str,
        receive: Receive,
        *,
        metrics: Metrics,
        keep_alive: float,
        states: bool,
        resume: int,
    ) -> None:
        self._hub = hub
        self._job_id = job_id
        self._receive = receive
        self._metrics = metrics
        self._keep_alive = keep_alive
        self._with_states = states
        self._seq = resume
        self._before = 0
        self._gap = 0
        self._final = False
        self._states: deque[feed.State] = deque()
        self._dropped = 0
        self._shown: Row | None = None
        self._counts: Counter[str] = Counter()
        self._news = asyncio.Event()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    # --- what Falcon does -------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._tasks and not self._over:
            self._start()
        if self._over and self._chunks.empty():
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(self._keep_alive):
                chunk = await self._chunks.get()
        except TimeoutError:
            return KEEP_ALIVE
        if chunk is None:
            self._over = True
            raise StopAsyncIteration
        return chunk

    async def close(self) -> None:
        """Let go of everything."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what the hub and the feed do -------------------------------------------------------------

    def state(self, state: feed.State) -> None:
        """The job has changed."""
        if not self._with_states:
            self._final = self._final or state.final
            return
        if len(self._states) == _STATES:
            self._states.popleft()
            self._dropped += 1
        self._states.append(state)

    def wake(self) -> None:
        """There is something new."""
        self._news.set()

    def end(self) -> None:
        """End the stream here and now, without a `close` frame: a client may resume it."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(None)

    # --- making frames ----------------------------------------------------------------------------

    def _start(self) -> None:
        made = asyncio.create_task(self._make(), name=f"follow {self._job_id}")
        made.add_done_callback(self._made)
        watch = asyncio.create_task(self._watch_client(), name=f"client of {self._job_id}")
        self._tasks = [made, watch]

    def _made(self, task: "asyncio.Task[None]") -> None:
        if log_failure(task):
            self.end()

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.end()

    async def _make(self) -> None:
        source = self._hub.join(self._job_id, self)
        if source is None:
            self.end()
            return
        try:
            await self._first(source)
            while not await self._round(source):
                pass
            await self._put([self._close_frame()])
            await self._chunks.put(None)
        finally:
            await self._hub.leave(source, self)

    async def _first(self, source: Feed) -> None:
        """The state of the moment, and where the log begins for this client."""
        state = source.current()
        if state is None:
            state = await self._past(source)
        if state is not None:
            await self._put(self._state_frames([state]))
        await source.opened()
        self._before = source.tail
        self._seq = min(self._seq, source.tail)
        self._gap = sum(1 for gap in source.gaps if gap.after_seq < self._seq)

    async def _round(self, source: Feed) -> bool:
        """Send what is there, and wait for more if that was nothing; whether all is sent."""
        self._news.clear()
        ended = _ended(source)
        last = await source.last_seq() if ended else 0
        if ended:
            await source.read_gaps()
        states = list(self._states)
        self._states.clear()
        if ended and source.current() is None:
            past = await self._past(source)
            states += [past] if past is not None else []
        found = self._lagged_frames() + self._state_frames(states)
        lines = await self._lines(source)
        found += self._line_frames(source, lines)
        if found:
            await self._put(found)
        elif not ended:
            await self._news.wait()
        elif source.tail >= last:
            return True
        else:
            source.poke()
            await self._news.wait()
        return False

    async def _past(self, source: Feed) -> feed.State | None:
        """The state of a job that is no resource any more."""
        document = await source.document()
        if document is None:
            return None
        return feed.State(frames.encode(document), state_key(document), final=True)

    async def _lines(self, source: Feed) -> list[Line]:
        """The next records, from the feed, or if they are too old for it from the store."""
        lines = source.lines_after(self._seq, _BATCH)
        if lines is None:
            # Not beyond the feed: which records are missing is known up to there.
            most = min(_BATCH, source.tail - self._seq)
            records = await source.records_after(self._seq, most)
            lines = [Line(record.seq, frames.encode_record(record)) for record in records]
        return lines

    def _line_frames(self, source: Feed, lines: list[Line]) -> list[bytes]:
        found = self._gap_frames(source)
        for line in lines:
            found.append(frames.log_frame(line.seq, line.text, self._mode(line.seq)))
            self._seq = line.seq
            found += self._gap_frames(source)
        self._count(Event.LOG, len(lines))
        return found

    def _mode(self, seq: int) -> Mode:
        if seq <= self._before:
            return Mode.BEFORE
        return Mode.AFTER if self._final else Mode.LIVE

    def _gap_frames(self, source: Feed) -> list[bytes]:
        found = []
        while self._gap < len(source.gaps) and source.gaps[self._gap].after_seq <= self._seq:
            found.append(frames.gap_frame(source.gaps[self._gap]))
            self._gap += 1
        if found:
            self._count(Event.GAP, len(found))
        return found

    def _lagged_frames(self) -> list[bytes]:
        if not self._dropped:
            return []
        data, self._dropped = frames.encode({"dropped": self._dropped}), 0
        self._count(Event.LAGGED, 1)
        return [frames.frame(Event.LAGGED, data, self._seq)]

    def _state_frames(self, states: list[feed.State]) -> list[bytes]:
        found = []
        for state in states:
            self._final = self._final or state.final
            if self._with_states and state.key != self._shown:
                self._shown = state.key
                found.append(frames.frame(Event.STATE, state.document, self._seq))
        self._count(Event.STATE, len(found))
        return found

    def _close_frame(self) -> bytes:
        expected = [Event.STATE, Event.LOG] if self._with_states else [Event.LOG]
        counts = {str(event): self._counts[event] for event in expected} | dict(self._counts)
        if not self._with_states:
            counts.pop(Event.STATE, None)
        return frames.frame(Event.CLOSE, frames.encode(counts), self._seq)

    def _count(self, event: Event, number: int) -> None:
        self._counts[str(event)] += number
        self._metrics.frames.labels(str(event)).inc(number)

    async def _put(self, found: list[bytes]) -> None:
        """Hand frames over, in chunks of a sensible size."""
        chunk: list[bytes] = []
        size = 0
        for one in found:
            chunk.append(one)
            size += len(one)
            if size >= _CHUNK:
                await self._chunks.put(b"".join(chunk))
                chunk, size = [], 0
        if chunk:
            await self._chunks.put(b"".join(chunk))


def _ended(source: Feed) -> bool:
    """Whether the job is over and all of its log is in the store."""
    job = source.job()
    if job is None:
        return True
    removed = job.status.removed_time is not None and job.status.state is not State.RUNNING
    return (job.status.state in FINAL or removed) and job.log_settled
