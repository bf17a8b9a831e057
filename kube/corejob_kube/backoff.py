"""How long to pause before another try: ever longer, up to a limit, and not all at one moment."""

import random
from collections.abc import Callable
from typing import Final

_MOST_DOUBLINGS: Final = 60
"""More than any limit needs; `2.0**1024` is no number any more."""

Draw = Callable[[], float]
"""Draws a number from 0 up to 1."""


def pause(failures: int, first: float, most: float, draw: Draw = random.random) -> float:
    """Seconds to wait after so many failures in a row.

    The pause doubles with each failure. It is drawn from the upper half of that time, so that those
    who failed together don't come back together.

    Args:
        failures: Failures in a row, the present one included: 1 or more.
        first: Longest pause after the first failure, in seconds.
        most: Longest pause of all, in seconds.
        draw: Where the chance comes from.
    """
    doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
    return min(first * 2.0**doublings, most) * (1.0 + draw()) / 2.0


class Backoff:
    """The pauses of one loop that tries again until it succeeds.

    Args:
        first: Longest pause after the first failure, in seconds.
        most: Longest pause of all, in seconds.
        draw: Where the chance comes from.
    """

    def __init__(self, first: float, most: float, *, draw: Draw = random.random) -> None:
        self._first = first
        self._most = most
        self._draw = draw
        self._failures = 0

    def next(self) -> float:
        """Note a failure; the seconds to wait before the next try."""
        self._failures += 1
        return pause(self._failures, self._first, self._most, self._draw)

    def reset(self) -> None:
        """Note a success: the next failure counts as the first."""
        self._failures = 0
