"""Decide which lines of a pod's log are new and which are missing; turn them into appends.

No I/O.
"""

import bisect
import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from corejob import timestamps
from corejob.nesting import MAX_VALUE_DEPTH, is_deep
from corejob.texts import clean
from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.resume import WINDOW_NS, Mark, Resume, contains, mark
from corejob_journal.store.records import (
    Append,
    LogPosition,
    NewGap,
    NewOutput,
    NewRecord,
    StreamState,
)

ROTATED: Final = "the log was rotated while nobody was reading it"
ROTATED_UNREAD: Final = "the log was rotated faster than it could be read"
_END: Final = "done execution with ["
_LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999, the latest time that can be written as a date."""
_LONGEST_KEY: Final = 1_000
"""Maximum length of a cookie's key, in bytes; PostgreSQL's indexes accept at most 2,704."""
_LARGEST_VALUE: Final = 64 * 2**10
LONGEST_SOURCE: Final = 1_000
_LONGEST_PROGRESS: Final = 1_000
_WARNING: Final = 30
_FULL_LINES: Final = 5_000
_FULL_BYTES: Final = 2**20


class LogIngest:
    """Turns the lines of one stream into appends.

    Attributes:
        done: True if the runtime's `done` line was taken.
        ended: True if a closing record was taken.
        numbered: True if any line had a number of its own.
        last_n: Number of the last line taken; 0 without numbers.
        epoch: Time of the latest record, in seconds since the epoch.
        progress: The latest progress that was not passed on yet.
        stream: The stream's row in the store.
    """

    def __init__(self, state: StreamState) -> None:
        self.done = state.done
        self.ended = state.ended
        self.last_n = state.position.last_n
        self.numbered = self.last_n > 0
        self.epoch = 0.0
        self.progress: protocol.ProgressEvent | None = None
        self.stream = state
        self._token = state.fencing_token
        self._stamp = state.position.stamp
        self._pieces = state.position.pieces
        self._resume = Resume(state.position)
        self._whole = False
        # The lines in the window that ends with `_stamp`, sorted, and some older ones.
        self._recent: list[Mark] = []
        # The mark of the first piece of the line that is being taken in pieces.
        self._head: Mark = ()
        self._progress_cut = False
        self._may_jump = False
        self._may_go_back = False
        self._sealed: list[Append] = []
        self._clear()

    def _clear(self) -> None:
        self._records: list[NewRecord] = []
        self._outputs: list[NewOutput] = []
        self._cookies: list[tuple[str, object]] = []
        self._sources: list[str] = []
        self._gaps: list[NewGap] = []
        self._lines = 0
        self._bytes = 0
        self._dirty = False

    @property
    def position(self) -> LogPosition:
        """The position after all lines taken."""
        if self._resume.active:
            return LogPosition(self._stamp, self._resume.count, self.last_n, self._pieces)
        older = bisect.bisect_left(self._recent, (self._stamp - WINDOW_NS,))
        count = len(self._recent) - older
        return LogPosition(self._stamp, count, self.last_n, self._pieces)

    @property
    def full(self) -> bool:
        """True if the follower should wait for the store before it reads on."""
        return self._bytes >= _FULL_BYTES or self._lines >= _FULL_LINES

    @property
    def since(self) -> int | None:
        """Second since the epoch from which a new connection has to read; None is the start."""
        return max(0, self._stamp - WINDOW_NS) // 10**9 if self._stamp else None

    def resume(self, *, whole: bool = False) -> None:
        """Begin a new connection, which repeats lines from `since` on.

        Args:
            whole: True if the previous connection has read its file to the end. Then nothing is
                missing if this one reads the next file and repeats nothing.
        """
        self._resume = Resume(self.position)
        self._whole = whole

    def surely(self, line: LogLine) -> bool:
        """True if a line at the start of a connection surely has a timestamp.

        It was taken before, or is older than the window and will be skipped. Any other may be the
        rest of a long line that looks as if it had a timestamp.
        """
        return line.stamp < self._stamp - WINDOW_NS or self._is_recent(line)

    def take(self, lines: Sequence[LogLine], start: int = 0) -> int:
        """Take lines from index `start` on, up to one that is out of sequence.

        A line is out of sequence if numbers are missing before it, or if it `goes_back`.

        Returns:
            The index of that line, or the number of lines if all were taken.
        """
        for index in range(start, len(lines)):
            line = lines[index]
            if line.stamp < self._stamp:
                if self.goes_back(line):
                    return index
                if line.part == 0 and not self._resume.active and self._is_recent(line):
                    self.read_anew()
            if self._resume.active and self._repeated(line):
                continue
            if line.part or not line.last:
                self._piece(line)
                continue
            event = protocol.parse(line.body)
            n = event.n
            if n > self.last_n + 1 and not self._may_jump:
                return index
            self._may_jump = False
            if n > self.last_n:
                self.last_n = n
                self.numbered = True
            else:
                # Two processes write protocol lines: keep their content, ignore their numbers.
                n = 0
            self._store(event, n or None, line)
            self._advance(line)
        return len(lines)

    def goes_back(self, line: LogLine) -> bool:
        """True if a line is older than the previous ones by more than two output streams explain.

        Then the kubelet repeats the file, once for each rotation that happened while the connection
        was stalled; or the node's clock was set back.
        """
        early = line.stamp < self._stamp - WINDOW_NS
        return early and not (line.part or self._resume.active or self._may_go_back)

    def read_anew(self) -> None:
        """Expect repetitions, since the connection repeats lines that it has sent before."""
        self._resume = Resume(self.position, self._recent)
        self._whole = True

    def go_back(self) -> None:
        """Accept lines older than the previous ones until they catch up: the clock was set back."""
        self._may_go_back = True

    def _is_recent(self, line: LogLine) -> bool:
        return line.stamp >= self._stamp - WINDOW_NS and contains(self._recent, mark(line))

    def take_rest(self, lines: Sequence[LogLine]) -> None:
        """Take the last lines of the previous connection; the present one has brought nothing."""
        self._resume.active = False
        start = self.take(lines)
        if start < len(lines):
            self.jump(protocol.parse(lines[start].body).n)
            self.take(lines, start)

    def _repeated(self, line: LogLine) -> bool:
        """True if a line of a new connection is a repetition."""
        if line.part == 0:
            self._head = mark(line)
            known = self._resume.knows(line)
            if known and _is_numbered(line):
                # Numbers are more reliable than times.
                known = protocol.parse(line.body).n <= self.last_n
            if known:
                self._resume.skip(line)
                return True
            if line.last:
                self._pieces = 0
        elif self._resume.skipping:
            return True
        if line.part < self._pieces:
            return True
        if self._resume.nothing_repeated and not self._whole and not _is_numbered(line):
            self.lose_tail("Rotated", ROTATED)
        self._recent = self._resume.finish()
        return False

    def _piece(self, line: LogLine) -> None:
        if line.part == 0:
            self._head = mark(line)
        text = protocol.text_of(line.body)
        if not line.last:
            text += protocol.CONTINUED
        self._add(NewRecord(None, line.stamp / 1e9, 20, text), line)
        if line.last:
            self._advance(line)
        else:
            self._pieces = line.part + 1

    def _store(self, event: protocol.Event, n: int | None, line: LogLine) -> None:
        at = line.stamp / 1e9
        if isinstance(event, protocol.PlainLine):
            plain = NewRecord(n, at, event.levelno, event.message, event.exception)
            self._add(plain, line)
            return
        if 0.0 < event.time < _LATEST:
            at = event.time
        match event:
            case protocol.LogEvent():
                self._add(protocol.record(event, n, at), line)
                self.ended = self.ended or event.message.startswith(_END)
            case protocol.OutputEvent():
                text = clean(event.text)
                before = len(self._records)
                self._outputs.append(NewOutput(n, at, clean(event.stream), text, before))
                self._count(line)
            case protocol.ProgressEvent():
                self._progress(event, line)
            case protocol.SourceEvent():
                self._source(event, line)
            case protocol.CookieEvent():
                self._cookie(event, line)
            case protocol.DoneEvent():
                self.done = True
                if event.state == "complete":
                    self.progress = protocol.ProgressEvent(
                        core4=1, n=event.n, time=at, value=1.0, message=""
                    )

    def _cookie(self, event: protocol.CookieEvent, line: LogLine) -> None:
        key, why = clean(event.key), None
        if len(key.encode()) > _LONGEST_KEY:
            why = f"its key is longer than {_LONGEST_KEY} bytes"
        elif is_deep(event.value):
            why = f"it is nested deeper than {MAX_VALUE_DEPTH} levels"
        elif len(line.body) > _LARGEST_VALUE and protocol.size(event.value) > _LARGEST_VALUE:
            why = f"its value is larger than {_LARGEST_VALUE} bytes"
        if why is None:
            self._cookies.append((key, event.value))
            self._count(line)
        else:
            self._warn(f"cookie [{_short(key)}] is not kept: {why}", line)

    def _source(self, event: protocol.SourceEvent, line: LogLine) -> None:
        name = clean(event.name)
        if len(name) > LONGEST_SOURCE:
            name = f"{name[:LONGEST_SOURCE]}…"
            text = f"source [{_short(name)}] is cut to {LONGEST_SOURCE} characters"
            self._warn(text, line)
        self._sources.append(name)
        self._count(line)

    def _progress(self, event: protocol.ProgressEvent, line: LogLine) -> None:
        message = event.message
        if message is not None and len(message) > _LONGEST_PROGRESS:
            event.message = f"{message[:_LONGEST_PROGRESS]}…"
            if not self._progress_cut:
                self._progress_cut = True  # warn once, since progress may come each second
                text = f"the message of the progress is cut to {_LONGEST_PROGRESS} characters"
                self._warn(text, line)
        self.progress = event

    def _warn(self, text: str, line: LogLine) -> None:
        self._add(NewRecord(None, line.stamp / 1e9, _WARNING, text), line)

    def _add(self, record: NewRecord, line: LogLine) -> None:
        self._records.append(record)
        self.epoch = max(self.epoch, record.epoch)
        self._count(line)

    def _count(self, line: LogLine) -> None:
        self._lines += 1
        self._bytes += len(line.body)
        self._dirty = True

    def _advance(self, line: LogLine) -> None:
        """Move the position past a complete line."""
        stamp, recent = line.stamp, self._recent
        self._dirty = True
        self._pieces = 0
        if stamp > self._stamp:
            self._stamp = stamp
            self._may_go_back = False
            recent.append(self._mark_of(line))
            if recent[0][0] < stamp - 2 * WINDOW_NS:  # many at once, not one with each line
                del recent[: bisect.bisect_left(recent, (stamp - WINDOW_NS,))]
        elif stamp >= self._stamp - WINDOW_NS:
            bisect.insort(recent, self._mark_of(line))  # two output streams may be out of order

    def _mark_of(self, line: LogLine) -> Mark:
        return mark(line) if line.part == 0 else self._head

    # --- gaps -------------------------------------------------------------------------------

    def fill(self, lines: Sequence[LogLine], before: int) -> None:
        """Take the missing lines among `lines`: those numbered above `last_n`, below `before`."""
        for line in lines:
            event = protocol.parse(line.body) if line.last and not line.part else None
            if event is not None and self.last_n < event.n < before:
                self._may_jump = self._may_go_back = True
                self._name_hole(event.n)
                self.take([line])

    def jump(self, before: int) -> None:
        """Give up the missing lines below number `before`, and name them."""
        self._name_hole(before)
        self._may_jump = True

    def _name_hole(self, before: int) -> None:
        if before > self.last_n + 1:
            first, last = self.last_n + 1, before - 1
            what = f"line {first} is" if first == last else f"lines {first} to {last} are"
            self.lose(NewGap(first, last, f"{what} gone from the pod's log"))

    def lose(self, gap: NewGap) -> None:
        """Add a gap at the present place of the log."""
        if self._records or self._outputs or self._gaps:
            self._seal()
        self._gaps.append(gap)
        self._dirty = True

    @property
    def place_lost(self) -> bool:
        """True if the last connection brought nothing, not even the expected repetitions."""
        return self._resume.active and self._resume.nothing_repeated and not self._whole

    def lose_tail(self, cause: str, words: str) -> None:
        """Report that an unknown number of lines, or none, is missing after the last line taken.

        Args:
            cause: The reason in one word.
            words: The reason as a clause.
        """
        if self.numbered:
            place = f"line {self.last_n}"
        else:
            place = f"{timestamps.iso(timestamps.from_epoch(self._stamp / 1e9))} UTC"
        text = f"lines after {place} may be missing: {words}"
        self.lose(NewGap(self.last_n + 1 if self.numbered else None, None, text, cause))

    # --- appends ----------------------------------------------------------------------------

    def add(self, record: NewRecord) -> None:
        """Add a record of the recorder, such as the closing one."""
        self._records.append(record)
        self._lines += 1
        self._dirty = True

    def name_sources(self, names: Iterable[str]) -> None:
        """Add sources that were named by an earlier recorder."""
        self._sources += names
        self._dirty = self._dirty or bool(self._sources)

    def flush(self) -> list[Append]:
        """Return the appends of all that was taken since the last call, in the order to store."""
        if self._dirty:
            self._seal()
        sealed, self._sealed = self._sealed, []
        return sealed

    def _seal(self) -> None:
        token = secrets.randbits(62) + 1
        self._sealed.append(
            Append(
                stream=self.stream,
                expected_token=self._token,
                next_token=token,
                position=self.position,
                records=self._records,
                outputs=self._outputs,
                gaps=self._gaps,
                cookies=self._cookies,
                sources=self._sources,
                lines=self._lines,
                bytes=self._bytes,
                done=self.done,
                ended=self.ended,
            )
        )
        self._token = token
        self._clear()


def _is_numbered(line: LogLine) -> bool:
    return line.last and line.part == 0 and protocol.parse(line.body).n > 0


def _short(text: str) -> str:
    return text if len(text) <= 50 else f"{text[:50]}…"
