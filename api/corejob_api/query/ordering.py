"""Sort rows by several fields, without blocking other threads for long."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

from corejob_api.query.values import Key, leaves_at, sort_key

T = TypeVar("T")
Row = dict[str, Any]
Sort = tuple[tuple[str, int], ...]
"""Pairs of a field's path and 1 or -1."""
Keys = tuple[Key, ...]
"""A row's sort keys, one for each field."""

_AT_ONCE: Final = 5000
"""Keys per call of `sorted`, which holds the GIL throughout: a few ms for this many keys."""
_PARTS_AT_ONCE: Final = 4
"""Sorted parts that one call of `sorted` merges, in a few ms too; `heapq` takes much longer."""


def keys_of(sort: Sort) -> Callable[[Row], Keys]:
    """Return a function from a row to its sort keys."""
    fields = [(leaves_at(tuple(name.split("."))), direction < 0) for name, direction in sort]
    if len(fields) == 1:
        [(find_only, is_down)] = fields
        return lambda row: (sort_key(find_only(row), descending=is_down),)
    return lambda row: tuple([sort_key(find(row), descending=down) for find, down in fields])


def in_order(items: Sequence[tuple[T, Keys]], sort: Sort) -> list[T]:
    """Return the items sorted by their keys; the sort is stable."""
    # Items with equal keys are sorted together: most fields have few values.
    groups: dict[Keys, list[T]] = {}
    for item, keys in items:
        groups.setdefault(keys, []).append(item)
    return [item for keys in ordered(groups, sort) for item in groups[keys]]


def ordered(different: Iterable[Keys], sort: Sort) -> list[Keys]:
    """Return sort keys in order."""
    rows = list(different)
    # The least significant field first, since the sort is stable.
    for at in reversed(range(len(sort))):
        rows = _sorted(rows, at, down=sort[at][1] < 0)
    return rows


def _sorted(rows: list[Keys], at: int, *, down: bool) -> list[Keys]:
    groups: dict[Key, list[Keys]] = {}
    for keys in rows:
        groups.setdefault(keys[at], []).append(keys)
    return [keys for key in _sorted_keys(list(groups), down=down) for keys in groups[key]]


def _sorted_keys(keys: list[Key], *, down: bool) -> Iterable[Key]:
    parts = [
        sorted(keys[begin : begin + _AT_ONCE], reverse=down)
        for begin in range(0, len(keys), _AT_ONCE)
    ]
    if len(parts) <= _PARTS_AT_ONCE:
        # `sorted` finds the sorted parts, and only merges them.
        return sorted(chain.from_iterable(parts), reverse=down)
    return heapq.merge(*parts, reverse=down)
