"""Long lists of values for `IN`, cut into slices."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_LENGTH: Final = 500
"""Maximum number of values in one IN list.

SQLite accepts at most 32,766 parameters, and short lists are cached better.
"""


def in_slices(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield slices of the values that are short enough for one IN list."""
    for start in range(0, len(values), _LENGTH):
        yield values[start : start + _LENGTH]
