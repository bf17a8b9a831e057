"""Which lines of a new connection were taken by the one before.

The API server's `sinceTime` is exact to a second, so a new connection repeats lines. They come in
the same order as before, hence: of the lines whose time is in the window that ends with the latest
time taken, as many as were taken are repetitions; all that come after the first new one are new.
A container's two output streams are stamped by two threads, which is why counting the lines of the
very last timestamp would not do.
"""

import bisect
from typing import Final

from corejob_journal.store.records import Position

WINDOW_NS: Final = 10**9


class Resume:
    """The repetitions at the beginning of one connection.

    Attributes:
        active: Whether repetitions may still come.
        count: How many the position knows.
        skipping: Whether the line that is being read in pieces is one.
    """

    def __init__(self, position: Position) -> None:
        self.active = position.stamp > 0 or position.pieces > 0
        self.count = position.count
        self.skipping = False
        self._high = position.stamp
        self._low = position.stamp - WINDOW_NS
        self._left = position.count
        self._seen: list[int] = []

    def knows(self, stamp: int) -> bool:
        """Whether a line of that time was taken before."""
        self.skipping = False
        return stamp < self._low or (stamp <= self._high and self._left > 0)

    def skip(self, stamp: int) -> None:
        """A line was taken before."""
        self.skipping = True
        if stamp >= self._low:
            self._left -= 1
            bisect.insort(self._seen, stamp)

    @property
    def nothing_repeated(self) -> bool:
        """Whether the place where we stood is no longer in the log: it was rotated away."""
        return self.count > 0 and self._left == self.count

    def finish(self) -> list[int]:
        """The first new line is here; the times of the repetitions in the window."""
        self.active = False
        return self._seen
