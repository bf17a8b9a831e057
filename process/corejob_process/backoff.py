"""Exponential back-off with a limit and jitter."""

import random
from collections.abc import Callable
from typing import Final

_MOST_DOUBLINGS: Final = 60
"""More than any limit needs; `2.0**1024` would overflow."""

Draw = Callable[[], float]
"""Returns a random number from 0 up to, but without, 1."""


def pause(failures: int, first: float, most: float, draw: Draw = random.random) -> float:
    """Return the back-off in seconds after a number of failures in a row.

    The longest pause doubles with each failure, up to `most`. The pause is random, from the upper
    half of that range, so that clients that failed together don't retry together.

    Args:
        failures: Failures in a row, including the present one: 1 or more.
        first: Longest pause after the first failure, in seconds.
        most: Longest pause of all, in seconds.
        draw: Source of randomness.
    """
    doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
    return min(first * 2.0**doublings, most) * (1.0 + draw()) / 2.0


class Backoff:
    """The back-off of one retry loop.

    Args:
        first: Longest pause after the first failure, in seconds.
        most: Longest pause of all, in seconds.
        draw: Source of randomness.
    """

    def __init__(self, first: float, most: float, *, draw: Draw = random.random) -> None:
        self._first = first
        self._most = most
        self._draw = draw
        self._failures = 0

    def next(self) -> float:
        """Count a failure; return the seconds to wait before the next try."""
        self._failures += 1
        return pause(self._failures, self._first, self._most, self._draw)

    def reset(self) -> None:
        """Reset the count after a success: the next failure is the first again."""
        self._failures = 0
