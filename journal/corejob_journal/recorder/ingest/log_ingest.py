"""Decide which lines of a pod's log are new and which are missing; turn them into appends.

No I/O.
"""

import bisect
import secrets
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from corejob import timestamps
from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.contents import LogContents
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.resume import WINDOW_NS, Mark, Resume, contains, mark
from corejob_journal.store.records import (
    Append,
    LogPosition,
    NewGap,
    NewRecord,
    StreamState,
)

ROTATED: Final = "the log was rotated while nobody was reading it"
ROTATED_UNREAD: Final = "the log was rotated faster than it could be read"
SET_BACK: Final = "the node's clock was set back, and what was written meanwhile is unclear"


class _Verdict(Enum):
    """Results for a line that is not later than the last one taken."""

    TAKEN = auto()
    UNCLEAR = auto()
    OPEN = auto()


class LogIngest:
    """Turns the lines of one stream into appends.

    Args:
        state: The stream's row in the store.
        restarts: True if the kubelet may restart the container within its pod.

    Attributes:
        contents: What was taken since the last append.
        numbered: True if any line had a number of its own.
        last_n: Number of the last line taken; 0 without numbers.
        stream: The stream's row in the store.
    """

    def __init__(self, state: StreamState, *, restarts: bool = False) -> None:
        self.contents = LogContents(done=state.done, ended=state.ended, restarts=restarts)
        self.last_n = state.position.last_n
        self.numbered = self.last_n > 0
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
        self._may_jump = False
        self._may_go_back = False
        self._accepted: LogLine | None = None
        self._ahead = state.position.ahead
        self._sealed: list[Append] = []

    @property
    def position(self) -> LogPosition:
        """The position after all lines taken."""
        active = self._resume.active
        count = self._resume.count if active else len(self._recent) - self._older
        return LogPosition(self._stamp, count, self.last_n, self._pieces, self._ahead)

    @property
    def _older(self) -> int:
        """Number of the recent marks that are older than the window."""
        return bisect.bisect_left(self._recent, (self._stamp - WINDOW_NS,))

    @property
    def done(self) -> bool:
        """True if the runtime's `done` line was taken, after which no line can come."""
        return self.contents.done

    @property
    def token(self) -> int:
        """The stream's fencing token after all appends flushed."""
        return self._token

    @property
    def full(self) -> bool:
        """True if the follower should wait for the store before it reads on."""
        return self.contents.full

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
        position, marks = self.position, self._recent[self._older :]
        # A process that has just started only knows the number of the window's lines.
        known = marks if len(marks) == position.count else ()
        self._resume = Resume(position, known)
        self._whole = whole

    def surely(self, line: LogLine) -> bool:
        """True if a line at the start of a connection surely has a timestamp.

        It was taken before, or is older than the window and will be skipped. Any other may be the
        rest of a long line that looks as if it had a timestamp.
        """
        return line.stamp < self._stamp - WINDOW_NS or self._is_recent(line)

    def take(self, lines: Sequence[LogLine], start: int = 0) -> int:
        """Take lines from index `start` on, up to one that is out of sequence.

        A line is out of sequence if numbers are missing before it, if it `goes_back`, or if it
        `may_begin_file` and no line after it tells.

        Returns:
            The index of that line, or the number of lines if all were taken.
        """
        for index in range(start, len(lines)):
            line = lines[index]
            if line.stamp <= self._stamp:
                verdict = self._judge(line, lines[index + 1] if index + 1 < len(lines) else None)
                if verdict is _Verdict.UNCLEAR:
                    return index
                if verdict is _Verdict.TAKEN:
                    continue
            if self._resume.active and self._repeated(line):
                continue
            if line.part or not line.last:
                self._piece(line)
            elif not self._line(line):
                return index
        return len(lines)

    def _line(self, line: LogLine) -> bool:
        """Take a new, complete line; return False if numbers are missing before it."""
        event = protocol.parse(line.body)
        n = event.n
        if n > self.last_n + 1 and not self._may_jump:
            return False
        self._may_jump = False
        if n > self.last_n:
            self.last_n = n
            self.numbered = True
        else:
            # Two processes write protocol lines: keep their content, ignore their numbers.
            n = 0
        self.contents.take(event, n or None, line)
        self._advance(line)
        return True

    def _judge(self, line: LogLine, following: LogLine | None) -> _Verdict:
        """Judge a line that is not later than the last one taken.

        Args:
            line: The line.
            following: The line after it, if there is one yet.
        """
        if self.goes_back(line):
            return _Verdict.UNCLEAR
        if self.may_begin_file(line):
            if following is None or line.stamp == self._stamp:
                return _Verdict.UNCLEAR
            # In a file, no new line precedes one that was taken.
            return _Verdict.TAKEN if self._is_recent(following) else _Verdict.OPEN
        is_early = line.stamp < self._stamp and line.part == 0
        if is_early and not self._resume.active and self._is_recent(line):
            self.read_anew()
        return _Verdict.OPEN

    def goes_back(self, line: LogLine) -> bool:
        """True if a line is older than the previous ones by more than two output streams explain.

        Then the kubelet repeats the file, once for each rotation that happened while the connection
        was stalled; or the node's clock was set back.
        """
        early = line.stamp < self._stamp - WINDOW_NS
        return early and not (line.part or self._resume.active or self._may_go_back)

    def may_begin_file(self, line: LogLine) -> bool:
        """True if it is unclear whether a line is new, or the first one of a repeated file.

        A file may begin in the middle of a line. The kubelet joins the file's first entry to the
        end of the file that it has read before, but when it repeats the file, that entry comes as
        a line of its own. It was taken if the line after it was taken. Or the file has one line,
        and that was the last one taken.
        """
        if line.part or not line.last or self._may_go_back or line is self._accepted:
            return False
        if line.stamp == self._stamp:
            return not self._resume.active and self._is_recent(line)
        early = self._stamp - WINDOW_NS <= line.stamp < self._stamp
        return early and bool(self._recent) and not self._is_recent(line)

    def accept(self, line: LogLine) -> None:
        """Handle that a line is new although it `may_begin_file`."""
        self._accepted = line

    def read_anew(self) -> None:
        """Expect repetitions, since the connection repeats lines that it has sent before."""
        self._resume = Resume(self.position, self._recent, file_again=True)
        self._whole = True

    def go_back(self, line: LogLine) -> None:
        """Accept a line older than the previous ones: the node's clock was set back.

        The position goes back with it. With the time of the lines before, `sinceTime` would leave
        out everything until the clock has caught up.
        """
        self._ahead = self._stamp
        self._stamp = max(1, line.stamp - 1)
        self._recent = []

    @property
    def ahead(self) -> int:
        """Time of the last line before the node's clock was set back; 0 if it was not."""
        return self._ahead

    def set_back_rotated(self) -> None:
        """Handle a rotation since the clock was set back: the newest file's times only ascend."""
        if not self.position.count:
            self.lose_tail("Rotated", ROTATED)
        self._ahead = 0
        self.resume(whole=self._whole)

    def _is_recent(self, line: LogLine) -> bool:
        return line.stamp >= self._stamp - WINDOW_NS and contains(self._recent, mark(line))

    def take_rest(self, lines: Sequence[LogLine]) -> None:
        """Take the last lines of the previous connection; the present one has brought nothing."""
        self._resume.active = False
        self._may_go_back = True
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
        rotated = self._resume.nothing_repeated or self._resume.unsure
        if self._resume.unclear:
            self._ahead = 0
            self.lose_tail("ClockSetBack", SET_BACK)
        elif rotated and not self._whole and not _is_numbered(line):
            self.lose_tail("Rotated", ROTATED)
        self._recent = self._resume.finish()
        return False

    def _piece(self, line: LogLine) -> None:
        if line.part == 0:
            self._head = mark(line)
        text = protocol.text_of(line.body)
        if not line.last:
            text += protocol.CONTINUED
        self.contents.add_line(NewRecord(None, line.stamp / 1e9, 20, text), line)
        if line.last:
            self._advance(line)
        else:
            self._pieces = line.part + 1

    def _advance(self, line: LogLine) -> None:
        """Move the position past a complete line."""
        stamp, recent = line.stamp, self._recent
        self.contents.dirty = True
        self._pieces = 0
        if stamp > self._stamp:
            self._stamp = stamp
            self._may_go_back = False
            if self._ahead and (self.since or 0) * 10**9 > self._ahead:
                self._ahead = 0  # a new connection repeats nothing of before
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

    def end_at(self, number: int) -> None:
        """Name the missing lines of a log whose container says that its last line is `number`."""
        words = f"missing at the log's end: the container reported {number} lines"
        self._name_hole(number + 1, words, "Truncated")

    def _name_hole(
        self, before: int, words: str = "gone from the pod's log", cause: str = "LinesMissing"
    ) -> None:
        if before > self.last_n + 1:
            first, last = self.last_n + 1, before - 1
            what = f"line {first} is" if first == last else f"lines {first} to {last} are"
            self.lose(NewGap(first, last, f"{what} {words}", cause))

    def lose(self, gap: NewGap) -> None:
        """Add a gap at the present place of the log."""
        contents = self.contents
        if contents.records or contents.outputs or contents.gaps:
            self._seal()
        contents.gaps.append(gap)
        contents.dirty = True

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

    def flush(self) -> list[Append]:
        """Return the appends of all that was taken since the last call, in the order to store."""
        if self.contents.dirty:
            self._seal()
        sealed, self._sealed = self._sealed, []
        return sealed

    def _seal(self) -> None:
        token, contents = secrets.randbits(62) + 1, self.contents
        self._sealed.append(
            Append(
                stream=self.stream,
                expected_token=self._token,
                next_token=token,
                position=self.position,
                records=contents.records,
                outputs=contents.outputs,
                gaps=contents.gaps,
                cookies=contents.cookies,
                sources=contents.sources,
                lines=contents.lines,
                bytes=contents.bytes,
                done=contents.done,
                ended=contents.ended,
            )
        )
        self._token = token
        contents.clear()


def _is_numbered(line: LogLine) -> bool:
    return line.last and line.part == 0 and protocol.parse(line.body).n > 0
