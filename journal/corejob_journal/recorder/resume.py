"""Which lines of a new connection were taken by the one before.

The API server's `sinceTime` is exact to a second, so a new connection repeats lines. They come in
the same order as before, hence: of the lines whose time is in the window that ends with the latest
time taken, as many as were taken are repetitions; all that come after the first new one are new.
A container's two output streams are stamped by two threads, which is why counting the lines of the
very last timestamp would not do.
"""

import bisect
from collections.abc import Sequence
from typing import Final

from corejob_journal.recorder.lines import Line
from corejob_journal.store.records import Position

WINDOW_NS: Final = 10**9

Mark = tuple[int, ...]
"""A line's time and the hash of its text: what tells a repetition from another line."""


def mark(line: Line) -> Mark:
    """A line's mark."""
    return line.stamp, hash(line.body)


def contains(marks: Sequence[Mark], wanted: Mark) -> bool:
    """Whether a mark is among others, which are sorted."""
    index = bisect.bisect_left(marks, wanted)
    return index < len(marks) and marks[index] == wanted


class Resume:
    """The repetitions at the beginning of one connection, or of a file that is read anew.

    Attributes:
        active: Whether repetitions may still come.
        count: How many the position knows.
        skipping: Whether the line that is being read in pieces is one.
    """

    def __init__(self, position: Position, marks: Sequence[Mark] = ()) -> None:
        """Begin where a position is; the marks of its window, sorted, where they are known."""
        self.active = position.stamp > 0 or position.pieces > 0
        self.count = position.count
        self.skipping = False
        self._high = position.stamp
        self._low = position.stamp - WINDOW_NS
        self._left = position.count
        self._seen: list[Mark] = []
        self._marks = marks

    def knows(self, line: Line) -> bool:
        """Whether a line was taken before."""
        self.skipping = False
        if line.stamp < self._low:
            return True
        if self._marks:
            return contains(self._marks, mark(line))
        return line.stamp <= self._high and self._left > 0

    def skip(self, line: Line) -> None:
        """A line was taken before."""
        self.skipping = True
        if line.stamp >= self._low:
            self._left -= 1
            bisect.insort(self._seen, mark(line))

    @property
    def nothing_repeated(self) -> bool:
        """Whether the place where we stood is no longer in the log: it was rotated away."""
        return self.count > 0 and self._left == self.count

    def finish(self) -> list[Mark]:
        """The first new line is here; the marks of those in the window that were taken."""
        self.active = False
        return list(self._marks) or self._seen
