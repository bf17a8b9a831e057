"""Sort rows by several fields, without blocking other threads for long."""

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from corejob_api.query.values import Key, sort_key

T = TypeVar("T")
Row = dict[str, Any]
Sort = tuple[tuple[str, int], ...]
"""Pairs of a field's path and 1 or -1."""
Keys = tuple[Key, ...]
"""A row's sort keys, one for each field."""

_AT_ONCE: Final = 5000
"""Rows per call of `sorted`, which holds the GIL throughout: a few ms for this many rows."""


def keys_of(sort: Sort) -> Callable[[Row], Keys]:
    """Return a function from a row to its sort keys."""
    fields = [(tuple(name.split(".")), direction < 0) for name, direction in sort]
    return lambda row: tuple(sort_key(row, path, descending=down) for path, down in fields)


def in_order(items: Sequence[tuple[T, Keys]], sort: Sort) -> list[T]:
    """Return the items sorted by their keys; the sort is stable."""
    rows = list(items)
    # The least significant field first, since the sort is stable.
    for at in reversed(range(len(sort))):
        rows = _sorted(rows, at, down=sort[at][1] < 0)
    return [row for row, _ in rows]


def _sorted(rows: list[tuple[T, Keys]], at: int, *, down: bool) -> list[tuple[T, Keys]]:
    def key(row: tuple[T, Keys]) -> Key:
        return row[1][at]

    parts = [
        sorted(rows[begin : begin + _AT_ONCE], key=key, reverse=down)
        for begin in range(0, len(rows), _AT_ONCE)
    ]
    return list(heapq.merge(*parts, key=key, reverse=down))
