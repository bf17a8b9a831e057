"""Recognise the repeated lines of a new connection.

The API server's `sinceTime` is exact to a second, so a new connection repeats lines, in the same
order as before. The window is the second that ends with the latest time taken: as many of its lines
as were taken are repetitions, and all lines after the first new one are new. Counting only the
lines of the latest timestamp is not enough, since two threads stamp a container's two output
streams.
"""

import bisect
from collections import Counter
from collections.abc import Sequence
from typing import Final

from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.store.records import LogPosition

WINDOW_NS: Final = 10**9

Mark = tuple[int, ...]
"""A line's time and the hash of its text, which identify a repetition."""


def mark(line: LogLine) -> Mark:
    """Return a line's mark."""
    return line.stamp, hash(line.body)


def contains(marks: Sequence[Mark], wanted: Mark) -> bool:
    """True if a mark is in a sorted sequence."""
    index = bisect.bisect_left(marks, wanted)
    return index < len(marks) and marks[index] == wanted


class Resume:
    """Skips the repetitions at the beginning of one connection, or of a file that is repeated.

    Attributes:
        active: True while repetitions may still come.
        count: Number of repetitions by the position.
        skipping: True if the line that is being read in pieces is a repetition.
        unclear: True if the clock was set back, and the last line before that did not come again.
    """

    def __init__(
        self, position: LogPosition, marks: Sequence[Mark] = (), *, file_again: bool = False
    ) -> None:
        """Begin at a position.

        Args:
            position: The position in the stream.
            marks: The sorted marks of its window, if they are known.
            file_again: True if the connection repeats a file. The kubelet does so once for each
                rotation, so the same lines may come several times before the first new one.
        """
        self.active = position.stamp > 0 or position.pieces > 0
        self.count = position.count
        self.skipping = False
        self._high = position.stamp
        self._low = position.stamp - WINDOW_NS
        self._left = position.count
        self.unclear = False
        self._seen: list[Mark] = []
        self._marks = marks
        self._file_again = file_again
        self._known = Counter(marks)
        # The lines up to the last one before the clock was set back, whose time this is, precede
        # the window although their times are later.
        self._ahead = position.ahead
        self._reached_ahead = False

    def knows(self, line: LogLine) -> bool:
        """True if a line was taken before."""
        self.skipping = False
        if self._ahead and self._precedes_set_back(line):
            return True
        if line.stamp < self._low:
            return True
        if self._marks and self._file_again:
            return contains(self._marks, mark(line))
        if self._marks:
            return self._known[mark(line)] > 0
        return line.stamp <= self._high and self._left > 0

    def _precedes_set_back(self, line: LogLine) -> bool:
        if line.stamp == self._ahead:
            self._reached_ahead = True
        if not self._reached_ahead:
            self.unclear = line.stamp > self._ahead
            precedes = not self.unclear
        else:
            precedes = line.stamp >= self._ahead - WINDOW_NS
        if not precedes:
            self._ahead = 0
        return precedes

    def skip(self, line: LogLine) -> None:
        """Count a line that was taken before."""
        self.skipping = True
        if line.stamp >= self._low and not self._ahead:
            self._left -= 1
            self._known[mark(line)] -= 1
            bisect.insort(self._seen, mark(line))

    @property
    def nothing_repeated(self) -> bool:
        """True if lines of the window were taken but none came again: they were rotated away."""
        return self.count > 0 and self._left == self.count

    @property
    def unsure(self) -> bool:
        """True if a new line may have been taken for a repetition.

        A part of the window was rotated away, so that the number of its lines is no proof: a new
        line that another one has overtaken has a time within the window too.
        """
        return not self._marks and 0 < self._left < self.count

    def finish(self) -> list[Mark]:
        """End at the first new line. Return the marks of the window's lines that were taken."""
        self.active = False
        return list(self._marks) or self._seen
