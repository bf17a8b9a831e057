"""Follower: the SSE stream of one job for one client (docs/rest.md)."""

import asyncio
from collections import Counter, deque
from math import inf
from typing import TYPE_CHECKING, Final

from corejob.document import state_key
from corejob.state import FINAL, State
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import Position
from corejob_api.query.log_scan import SLICE
from corejob_api.query.ordering import Row
from corejob_api.query.scans import Scan
from corejob_api.streams import feed, frames
from corejob_api.streams.feed import EncodedRecord, Feed
from corejob_api.streams.frames import Event, FrameId, Mode
from corejob_api.streams.stream import Receive, Stream, Streams
from corejob_journal.store import OutputLine

if TYPE_CHECKING:
    from corejob_api.streams.hub import Hub

_BATCH: Final = 250
_STATES: Final = 64


class Follower(Stream):
    """Stream of the states and the log of a job, until its end.

    Args:
        hub: Registry of the feeds.
        streams: The open streams.
        job_id: The job to follow.
        receive: ASGI receive of the client's connection, read until the disconnect.
        scan: Filters records for the user, in the shared scan threads.
        states: True to send states and log; False for the log only.
        where: Filter of the records.
        ids: True if frames have ids.
        output: True to send what the job printed, too.
        resume: The last record that the client has; None on its first connection.
    """

    def __init__(
        self,
        hub: "Hub",
        streams: Streams,
        job_id: str,
        receive: Receive,
        scan: Scan,
        *,
        states: bool,
        where: LogFilter,
        ids: bool,
        output: bool,
        resume: Position | None,
    ) -> None:
        super().__init__(f"job {job_id}", streams, receive)
        self._hub = hub
        self._job_id = job_id
        self._with_states = states
        self._where = where
        self._scan = scan
        self._ids = ids
        self._resume = resume
        self._seq = resume.seq if resume is not None else 0
        self._with_output = output
        # Number of the last printed line sent or left out; None until it is known.
        self._printed = 0 if resume is None and where.tail is None else None
        if resume is not None:
            self._printed = resume.printed
        self._sent_seq: int | None = None
        self._behind = False
        self._before = 0
        self._gap = 0
        self._final = False
        self._states: deque[feed.JobSnapshot] = deque()
        self._dropped = 0
        self._shown: Row | None = None
        # Where the log of the wanted trial ends; None until that is known.
        self._end: Position | None = None
        self._counts: Counter[Event] = Counter()
        self._news = asyncio.Event()
        # The feed while everything was sent and only new records are to come; else None.
        self._idle_at: Feed | None = None

    # --- events of the feed -----------------------------------------------------------------------

    def state(self, state: feed.JobSnapshot) -> None:
        """Queue a state; drop the oldest one if the client is too far behind."""
        if not self._with_states:
            self._final = self._final or state.final
            return
        if len(self._states) == _STATES:
            self._states.popleft()
            self._dropped += 1
        self._states.append(state)

    def notify(self) -> None:
        """Continue sending: the job has changed, or is gone."""
        self._news.set()

    def records(self) -> None:
        """Send new records: at once if nothing else is to be sent before, else in the task.

        With thousands of followers, to resume their tasks for each line would cost as much as to
        write it to their connections.
        """
        in_task = self._with_output or self._where.trial is not None
        source = None if in_task else self._idle_at
        if source is None or not (self._seq >= source.tail or self._send_at_once(source)):
            self._news.set()

    def _send_at_once(self, source: Feed) -> bool:
        """Pass the new records on without the task. Return False if it has to do that."""
        if self._news.is_set() or self._states:
            return False
        if self._where.chooses or not self.is_drained or not source.has(self._seq):
            return False
        if self._next_gap(source) <= source.tail:
            return False
        chunk = source.chunk_after(self._seq, self._mode(self._seq + 1), ids=self._ids)
        if chunk is None or chunk.last < source.tail:
            return False
        self._seq = self._sent_seq = chunk.last
        self._count(Event.LOG, chunk.lines)
        self._put_at_once(chunk.data)
        return True

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
        """Send the present state and find the position at which the log begins for this client."""
        state = source.current()
        if state is None:
            state = await self._past(source)
        if state is not None:
            await self._put(self._state_frames([state]))
        await source.opened()
        self._before = source.tail
        if self._resume is None and self._where.tail is not None:
            await self._skip(source, self._where.tail)
        else:
            self._seq = min(self._seq, source.tail)
            self._gap = sum(1 for gap in source.gaps if gap.after_seq < self._seq)
        if self._with_output and self._printed is None:
            # A client with a plain number has that record, and not what follows it.
            last = self._seq if self._resume is None else self._seq - 1
            self._printed = await source.printed_until(last)
        self._sent_seq = self._seq

    async def _skip(self, source: Feed, tail: int) -> None:
        """Go to the last `tail` matching records; gaps among skipped records are not sent."""
        numbers = await source.tail_numbers(self._where, self._scan)
        self._seq = numbers[0] - 1 if numbers else self._before
        if len(numbers) == tail:
            self._gap = sum(1 for gap in source.gaps if gap.after_seq < self._seq)

    async def _round(self, source: Feed) -> bool:
        """Send what is available, or wait for more. Return True once everything is sent."""
        self._news.clear()
        is_over = _is_over(source)
        last = await source.last_seq() if is_over else 0
        if is_over:
            await source.read_gaps()
        await self._look_for_end(source)
        states = list(self._states)
        self._states.clear()
        if is_over and source.current() is None:
            past = await self._past(source)
            states += [past] if past is not None else []
        begin = self._seq, self._printed
        encoded = self._lagged_frames(source) + self._state_frames(states)
        encoded += await self._log_frames(source)
        await self._put(encoded)
        self._sent_seq = self._seq
        if self._is_at_end:
            return True
        if encoded or (self._seq, self._printed) != begin:
            return False
        if is_over and source.tail >= last:
            return True
        if is_over or self._end is not None:
            source.refresh()
        else:
            self._idle_at = source
        await self._news.wait()
        self._idle_at = None
        return False

    async def _look_for_end(self, source: Feed) -> None:
        """Find the end of the wanted trial's log, once that is stored; the job may go on."""
        if self._where.trial is None or self._end is not None:
            return
        self._end = await source.end_of_trial(self._where.trial)
        if self._end is not None:
            await source.read_gaps()

    @property
    def _is_at_end(self) -> bool:
        """True if the whole log of the wanted trial was sent."""
        end = self._end
        if end is None or self._seq < end.seq:
            return False
        return not self._with_output or (self._printed or 0) >= (end.printed or 0)

    async def _past(self, source: Feed) -> feed.JobSnapshot | None:
        """Return the stored state of a job whose resource is deleted; None if it isn't stored."""
        document = await source.document()
        if document is None:
            return None
        return feed.JobSnapshot(frames.encode(document), state_key(document), final=True)

    async def _log_frames(self, source: Feed) -> list[bytes]:
        """Return the frames of the next records and gaps."""
        if self._with_output:
            return await self._merged_frames(source)
        if not source.has(self._seq):
            lines, reached = await self._from_store(source)
            return self._line_frames(source, lines, reached)
        if not self._where.chooses:
            return self._shared_frames(source)
        lines = source.lines_after(self._seq)
        reached = lines[-1].seq if lines else self._seq
        return self._line_frames(source, await self._passing(lines), reached)

    async def _merged_frames(self, source: Feed) -> list[bytes]:
        """Return the frames of the next records with what was printed between them.

        A line that precedes a record was stored with it or before it, so all such lines are read.
        """
        if source.has(self._seq):
            lines = source.lines_after(self._seq)
            reached = lines[-1].seq if lines else self._seq
            lines = await self._passing(lines)
        else:
            lines, reached = await self._from_store(source)
        printed = await source.printed(self._printed or 0, reached, _BATCH)
        if len(printed) == _BATCH:
            reached = printed[-1].after_seq
            lines = [line for line in lines if line.seq <= reached]
        kept = {line.seq for line in await self._scan.keep(self._where.passes_output, printed)}
        waiting = deque(printed)
        encoded: list[bytes] = []
        for line in lines:
            encoded += self._printed_frames(waiting, kept, line.seq - 1)
            encoded += self._line_frames(source, [line], line.seq)
        encoded += self._printed_frames(waiting, kept, reached)
        self._seq = reached
        return encoded + self._gap_frames(source)

    def _printed_frames(self, waiting: deque[OutputLine], kept: set[int], last: int) -> list[bytes]:
        """Return the frames of the printed lines that follow record `last` or an earlier one."""
        encoded: list[bytes] = []
        while waiting and waiting[0].after_seq <= last:
            line = waiting.popleft()
            self._printed = line.seq
            if line.seq in kept:
                mode = self._mode(max(1, line.after_seq))
                frame_id = Position(line.after_seq, line.seq).id if self._ids else None
                encoded.append(frames.output_frame(line, mode, frame_id))
        self._count(Event.OUTPUT, len(encoded))
        return encoded

    def _shared_frames(self, source: Feed) -> list[bytes]:
        """Return the frames that are shared by all followers at the same position."""
        gaps = self._gap_frames(source)
        chunk = source.chunk_after(self._seq, self._mode(self._seq + 1), ids=self._ids)
        if chunk is None:
            return gaps
        within = self._seq < self._before < chunk.last
        if within or self._next_gap(source) < chunk.last:
            lines = source.lines_after(self._seq)
            return gaps + self._line_frames(source, lines, lines[-1].seq)
        self._seq = chunk.last
        self._count(Event.LOG, chunk.lines)
        return [*gaps, chunk.data, *self._gap_frames(source)]

    async def _from_store(self, source: Feed) -> tuple[list[EncodedRecord], int]:
        """Return records older than the feed's buffer, and the number up to which they were read.

        Never beyond the feed's tail, since gaps are known only up to there.
        """
        last = min(source.tail, self._seq + (SLICE if self._where.chooses else _BATCH))
        records = await source.scan(self._where, self._seq, last, _BATCH)
        reached = records[-1].seq if records else last
        return await self._passing([EncodedRecord.of(record) for record in records]), reached

    async def _passing(self, lines: list[EncodedRecord]) -> list[EncodedRecord]:
        if self._where.grep is None:
            return [line for line in lines if self._where.passes(line.record)]
        return await self._scan.keep(lambda line: self._where.passes(line.record), lines)

    def _line_frames(self, source: Feed, lines: list[EncodedRecord], reached: int) -> list[bytes]:
        """Return the frames of records and of the gaps between them, up to number `reached`."""
        encoded = []
        for line in lines:
            self._seq = line.seq - 1
            encoded += self._gap_frames(source)
            frame_id = self._id_at(line.seq)
            encoded.append(frames.log_frame(line.text, self._mode(line.seq), frame_id))
        self._seq = reached
        self._count(Event.LOG, len(lines))
        return encoded + self._gap_frames(source)

    def _next_gap(self, source: Feed) -> float:
        """Return the number of the record before the next gap; infinity if there is no gap."""
        return source.gaps[self._gap].after_seq if self._gap < len(source.gaps) else inf

    def _mode(self, seq: int) -> Mode:
        if seq <= self._before:
            return Mode.BEFORE
        return Mode.AFTER if self._final else Mode.LIVE

    def _gap_frames(self, source: Feed) -> list[bytes]:
        encoded = []
        while self._next_gap(source) <= self._seq:
            gap = source.gaps[self._gap]
            self._gap += 1
            if self._where.passes_gap(gap):
                encoded.append(frames.gap_frame(gap, self._id_at(gap.after_seq)))
        self._count(Event.GAP, len(encoded))
        return encoded

    def _lagged_frames(self, source: Feed) -> list[bytes]:
        """Return a `lagged` frame, once each time the follower falls behind the feed's buffer.

        It catches up from the store.
        """
        was_behind, self._behind = (
            self._behind,
            self._seq >= self._before and not source.has(self._seq),
        )
        if not self._dropped and (was_behind or not self._behind):
            return []
        behind = source.tail - self._seq
        data, self._dropped = frames.encode({"dropped": self._dropped, "behind": behind}), 0
        self._count(Event.LAGGED, 1)
        return [frames.frame(Event.LAGGED, data, self._frame_id())]

    def _state_frames(self, states: list[feed.JobSnapshot]) -> list[bytes]:
        encoded = []
        for state in states:
            self._final = self._final or state.final
            if self._with_states and state.key != self._shown:
                self._shown = state.key
                encoded.append(frames.frame(Event.STATE, state.document, self._frame_id()))
        self._count(Event.STATE, len(encoded))
        return encoded

    def _frame_id(self) -> FrameId | None:
        """Return the id of a frame; None without ids, and until the start of the tail is known."""
        unknown = self._sent_seq is None and self._resume is None and self._where.tail is not None
        return None if unknown else self._id_at(self._seq)

    def _id_at(self, seq: int) -> FrameId | None:
        """Return the id of a frame at a record; None without ids."""
        if not self._ids:
            return None
        return Position(seq, self._printed).id if self._with_output else seq

    def _position(self) -> int | None:
        if self._with_output:
            return None
        return self._sent_seq if self._ids and self._where.chooses else None

    def _close_frame(self) -> bytes:
        expected = [Event.STATE, Event.LOG] if self._with_states else [Event.LOG]
        counts = {str(event): self._counts[event] for event in (*expected, *self._counts)}
        return frames.frame(Event.CLOSE, frames.encode(counts), self._frame_id())

    def _count(self, event: Event, number: int) -> None:
        if number:
            self._counts[event] += number
            self._streams.count(event, number)


def _is_over(source: Feed) -> bool:
    """Return True if the job is finished and all of its log is in the store."""
    job = source.job()
    if job is None:
        return True
    removed = job.status.removed_time is not None and job.status.state is not State.RUNNING
    return (job.status.state in FINAL or removed) and job.log_finalised
