"""Detect files of an unnumbered log that were rotated away unread. No I/O.

When the log is rotated, the kubelet finishes the file that it has open and then opens the newest
one. A reader that lags by more than a file therefore loses the files between, and the connection
does not show it. Numbers of lines do. For logs without numbers the recorder, while it lags, checks
the first line of the newest file regularly: that line must follow the file being read.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from corejob_journal.recorder.ingest.lines import LogLine

LAG_S: Final = 2.0
"""Seconds of lag up to which a reader can't have missed a file."""
_LOOK_EVERY_S: Final = 1.0
SHORTEST_LIFE_S: Final = 3.0
"""Minimum time in seconds for which a file is the newest.

The kubelet checks the files' sizes at most every 3 s (`containerLogMonitorInterval`).
"""
_DISORDER_NS: Final = 10**9
"""Nanoseconds by which lines may be out of order in a file.

Two threads stamp a container's two output streams.
"""
_PART_BYTES: Final = 8_000
"""Size in bytes up to which no container runtime splits a line that is written at once."""
_SURE_BYTES: Final = 64
_LEFT_OVER_BYTES: Final = 65_536
"""Size in bytes up to which lines newer than a file's first entry may be in the file before it.

A container runtime that rotates a log stores up to 4 KiB that it has read before in the old file.
"""
_WAIT_S: Final = 0.05
"""Seconds without data after which a reader has all that was written."""
_LEAST_WAITS: Final = 5
_MOST_WAITS: Final = 50


def _has_part(line: bytes, start: bytes) -> bool:
    """True if a part of the line may begin with `start`; a short `start` is the whole last part."""
    long = len(line) > _PART_BYTES
    return long and (start in line if len(start) >= _SURE_BYTES else line.endswith(start))


class NodeClock:
    """Estimates by how much a node's clock differs from this one.

    A line for which the reader has waited was written just now. A wait may also be a stall of the
    connection, so the least difference among several lines counts.
    """

    def __init__(self) -> None:
        self._differences: deque[float] = deque(maxlen=_MOST_WAITS)

    def waited(self, line: LogLine, seconds: float, now: float) -> None:
        """Handle the arrival of a line for which the reader has waited for `seconds`."""
        if seconds >= _WAIT_S:
            self._differences.append(now - line.stamp / 1e9)

    @property
    def is_known(self) -> bool:
        """True if there is an estimate."""
        return len(self._differences) >= _LEAST_WAITS

    def time_of(self, line: LogLine) -> float:
        """Return when a line was written, by this clock; by the node's if that is not known."""
        return line.stamp / 1e9 + self._difference

    def stamp_of(self, now: float) -> int:
        """Return a time of this clock, in seconds, as the node's, in nanoseconds."""
        return round((now - self._difference) * 1e9)

    @property
    def _difference(self) -> float:
        return min(self._differences) if self.is_known else 0.0


class Rotation:
    """One connection's view of the log's files.

    Times are in seconds since the epoch, the times of lines in nanoseconds.

    Args:
        now: The time.
        clock: The node's clock.
    """

    def __init__(self, now: float, clock: NodeClock | None = None) -> None:
        self._clock = clock or NodeClock()
        # A new connection reads the newest file.
        self._known = now
        self._looked = now
        self._late: float | None = None
        self._next: int | None = None
        self._next_text = b""
        self._before = b""
        self._after_bytes = 0
        self._unsure = False
        self._blind = False

    def arrived(self, lines: Sequence[LogLine], now: float) -> bool:
        """True if the newest file must be checked before these lines are taken."""
        written = self._clock.time_of(lines[0])
        # A line from the future shows that the node's clock is ahead, so that it may be late too.
        if -LAG_S < now - written < LAG_S:
            self._late = None
            return False
        if self._late is None:
            self._late = min(written, now)
        return self.due(now)

    def due(self, now: float) -> bool:
        """True if the next check is due."""
        return now - self._looked >= _LOOK_EVERY_S

    def looked(self, first: tuple[int, bytes] | None, taken: int, now: float) -> None:
        """Handle the result of a check.

        Args:
            first: Time of the newest file's first entry, which is a line or a part of one, and the
                start of its text; None if the file has no entry yet.
            taken: Time of the latest line taken.
            now: Time when the check began.
        """
        self._looked = now
        if first is None:
            if self._next is None and not self.sure(now):
                # All that is written from now on may be in a file after unknown ones.
                self._next, self._unsure = self._clock.stamp_of(now), True
                self._blind = True
            return
        stamp, text = first
        if self._blind:
            self._next, self._blind = None, False
        if self._next is None and stamp > taken:
            self._next, self._next_text, self._after_bytes = stamp, text, 0
            self._unsure = not self.sure(now)
        self._known = now

    def failed(self, now: float) -> None:
        """Handle a check that failed: it tells nothing."""
        self._looked = now

    def missed(self, lines: Sequence[LogLine]) -> int | None:
        """Return the index of the line before which lines may be missing, or None."""
        missed = None
        for index, line in enumerate(lines):
            if self._next is None or missed is not None:
                break
            if line.stamp >= self._next and not line.part:
                missed = self._at(index, line)
            # A file may begin in the middle of a line, whose time is that of its first part.
            self._before = self._before + line.body if line.part else line.body
        return missed

    def _at(self, index: int, line: LogLine) -> int | None:
        """Return `index` if lines may be missing before this line, or None.

        The line is not older than the next file.
        """
        following, self._next = self._next or 0, None
        self._blind = False
        if self._unsure:
            return index
        if line.stamp == following or _has_part(self._before, self._next_text):
            return None
        if line.stamp > following + _DISORDER_NS:
            return index
        self._after_bytes += len(line.body)
        if self._after_bytes <= _LEFT_OVER_BYTES:
            self._next = following
        # Otherwise the next file is being read, and its first entry was the rest of a line.
        return None

    def sure(self, now: float) -> bool:
        """True if at most one unknown file can have begun.

        Writing lines starts new files. Lines that arrived in time were written to the newest file,
        so the doubtful period starts with the first late line, or with the last check.
        """
        return self._late is None or now - max(self._late, self._known) < SHORTEST_LIFE_S

    @property
    def open_end(self) -> bool:
        """True if the first line of the next file has not arrived yet."""
        return self._next is not None

    def again(self, now: float) -> "Rotation":
        """Return the view of a new connection that continues after this one's end of file."""
        new = Rotation(now, self._clock)
        new._next, new._unsure, new._blind = self._next, self._unsure, self._blind
        new._next_text, new._before = self._next_text, self._before
        new._after_bytes = self._after_bytes
        return new
