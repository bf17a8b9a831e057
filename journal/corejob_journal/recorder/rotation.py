"""Whether a file of an unnumbered log was rotated away unread. No I/O.

The kubelet goes on with the file that it has open when the log is rotated, and after its end opens
the newest one. A reader that lags behind by a whole file therefore loses those between, without a
sign in the connection. Numbered lines show it. For others the recorder, as long as it lags, looks
now and then at the first line of the newest file: the line that has to follow the file being read.
"""

from collections.abc import Sequence
from typing import Final

from corejob_journal.recorder.lines import Line

LAG_S: Final = 2.0
"""A reader no further behind can't have missed a file."""
_LOOK_EVERY_S: Final = 1.0
SHORTEST_LIFE_S: Final = 3.0
"""The kubelet looks at the files' sizes every 3 s at most (`containerLogMonitorInterval`), so each
is the newest for that long at least."""
_DISORDER_NS: Final = 10**9
"""A container's two output streams are stamped by two threads: lines may stand in a file slightly
out of order."""
_PART_BYTES: Final = 8_000
"""No container runtime cuts shorter lines into parts, if they come at once."""
_SURE_BYTES: Final = 64


def _has_part(line: bytes, start: bytes) -> bool:
    """True if a part of the line begins like that; a short one is its last."""
    long = len(line) > _PART_BYTES
    return long and (start in line if len(start) >= _SURE_BYTES else line.endswith(start))


class Rotation:
    """One connection's view of the log's files. Times are Unix times; lines' own, nanoseconds."""

    def __init__(self, now: float) -> None:
        # A new connection reads the newest file.
        self._known = now
        self._looked = now
        self._late: float | None = None
        self._next: int | None = None
        self._next_text = b""
        self._before = b""
        self._unsure = False

    def arrived(self, lines: Sequence[Line], now: float) -> bool:
        """Whether to look at the newest file before these lines are taken."""
        written = lines[0].stamp / 1e9
        if now - written < LAG_S:
            self._late = None
            return False
        if self._late is None:
            self._late = written
        return self.due(now)

    def due(self, now: float) -> bool:
        """Whether the last look is long enough ago."""
        return now - self._looked >= _LOOK_EVERY_S

    def looked(self, first: tuple[int, bytes] | None, taken: int, now: float) -> None:
        """What a look has shown.

        Args:
            first: Time of the newest file's first entry, which is a line or a part of one, and how
                its text begins; None: it has none yet, or couldn't be read.
            taken: Time of the latest line that was taken.
            now: When the look began.
        """
        self._looked = now
        if first is None:
            return
        stamp, text = first
        if stamp <= taken:
            self._next = None
        elif self._next is None:
            self._next, self._next_text = stamp, text
            self._unsure = not self.sure(now)
        self._known = now

    def missed(self, lines: Sequence[Line]) -> int | None:
        """The index of the line before which others may be missing; None if none may."""
        missed = None
        for index, line in enumerate(lines):
            if self._next is None or missed is not None:
                break
            if line.stamp >= self._next and not line.part:
                missed = self._at(index, line.stamp)
            # The file may begin in the middle of a line, which has the time of its first part.
            self._before = self._before + line.body if line.part else line.body
        return missed

    def _at(self, index: int, stamp: int) -> int | None:
        """The index if lines may be missing before a line that isn't older than the next file."""
        if stamp == self._next:
            self._next = None
            return index if self._unsure else None
        if _has_part(self._before, self._next_text):
            self._next = None
        elif stamp > (self._next or 0) + _DISORDER_NS:
            self._next = None
            return index
        return None

    def sure(self, now: float) -> bool:
        """Whether no more than one file can have begun that we don't know of.

        Files begin by what is written. What arrived in time was written to the newest, so the time
        in doubt begins with the first line that came late, or the last look.
        """
        return self._late is None or now - max(self._late, self._known) < SHORTEST_LIFE_S

    @property
    def open_end(self) -> bool:
        """Whether the line that had to come has not come yet."""
        return self._next is not None

    def again(self, now: float) -> "Rotation":
        """The view of a connection that goes on where this one has read a file to its end."""
        new = Rotation(now)
        new._next, new._unsure = self._next, self._unsure
        new._next_text, new._before = self._next_text, self._before
        return new
