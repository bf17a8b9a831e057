"""A follower: the stream of a job for one client (contract section 3)."""

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from corejob.document import state_key
from corejob.state import FINAL, State
from corejob_api.query.selection import Row
from corejob_api.streams import feed, frames
from corejob_api.streams.feed import Feed, Line
from corejob_api.streams.frames import Event, Mode
from corejob_api.streams.stream import Receive, Stream, Streams

if TYPE_CHECKING:
    from corejob_api.streams.hub import Hub

_BATCH: Final = 500
_STATES: Final = 64


class Follower(Stream):
    """The states and the log of a job, up to its end.

    Args:
        hub: Who knows the feeds.
        streams: Those that it is one of.
        job_id: The job to follow.
        receive: The client's connection, read to its end.
        states: Whether the client wants them; else the log only.
        resume: Number of the last record that the client has.
    """

    def __init__(
        self,
        hub: "Hub",
        streams: Streams,
        job_id: str,
        receive: Receive,
        *,
        states: bool,
        resume: int,
    ) -> None:
        super().__init__(f"job {job_id}", streams, receive)
        self._hub = hub
        self._job_id = job_id
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

    # --- what the feed does -----------------------------------------------------------------------

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

    # --- making frames ----------------------------------------------------------------------------

    async def _make(self) -> None:
        source = self._hub.join(self._job_id, self)
        try:
            await self._first(source)
            while not await self._round(source):
                pass
            await self._put([self._close_frame()])
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
        self._streams.metrics.frames.labels(str(event)).inc(number)


def _ended(source: Feed) -> bool:
    """Whether the job is over and all of its log is in the store."""
    job = source.job()
    if job is None:
        return True
    removed = job.status.removed_time is not None and job.status.state is not State.RUNNING
    return (job.status.state in FINAL or removed) and job.log_settled
