"""Compare JSON values in MongoDB's order, and resolve dotted paths in documents.

MongoDB manual: "Comparison/Sort Order", "Query on Embedded Documents", "Query an Array".
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, Final, Literal

Key = tuple[Any, ...]
"""Comparable and hashable. Values are equal if their keys are equal; the first item is the type."""


class _Missing(Enum):
    MISSING = auto()


MISSING: Final = _Missing.MISSING
"""The value of a path that does not exist in the document."""
Missing = Literal[_Missing.MISSING]

_NULL: Final = (0,)
_NUMBER, _TEXT, _OBJECT, _ARRAY, _BOOLEAN = 1, 2, 3, 4, 5
_NUMBERS: Final = (int, float)
"""Not `int | float`, which would be built anew for each value."""
_EMPTY_ARRAY: Final = (-1,)
_MAX_INDEX_DIGITS: Final = 6
MAX_PATH: Final = 20


def key(value: Any) -> Key:
    """Return a value's sort key. Order: nulls, numbers, texts, objects, arrays, booleans.

    Values of different types are never equal: `1`, `"1"` and true differ. A missing value counts as
    null.
    """
    if isinstance(value, str):
        return (_TEXT, value)
    if isinstance(value, bool):
        return (_BOOLEAN, value)
    if isinstance(value, _NUMBERS):
        return (_NUMBER, value)
    if isinstance(value, dict):
        return (_OBJECT, *((name, key(value[name])) for name in sorted(value)))
    if isinstance(value, list):
        return (_ARRAY, *(key(item) for item in value))
    return _NULL


def path_of(name: str) -> tuple[str, ...]:
    """Return the parts of a dotted path.

    Raises:
        ValueError: The path has more than `MAX_PATH` parts.
    """
    if name.count(".") >= MAX_PATH:
        raise ValueError(f"the path [{name[:100]}…] has more than {MAX_PATH} parts")
    return tuple(name.split("."))


def column(rows: Iterable[dict[str, Any]], path: tuple[str, ...]) -> list[Any]:
    """Return the value of each row at a path, or the first array on the path."""
    top, *inner = path
    values = [row.get(top, MISSING) for row in rows]
    for part in inner:
        values = [
            value.get(part, MISSING)
            if isinstance(value, dict)
            else (value if isinstance(value, list) else MISSING)
            for value in values
        ]
    return values


_Visited = set[tuple[int, int]]
"""Visited pairs of an array's `id()` and a position in the path."""


def leaves(document: Any, path: tuple[str, ...]) -> list[Any]:
    """Return the values at a path; an array on the path stands for each of its objects.

    A value that several routes reach may appear only once.
    """
    values: list[Any] = []
    _descend(document, path, 0, values, set())
    return values


def leaves_at(path: tuple[str, ...]) -> Callable[[Any], list[Any]]:
    """Return `leaves` for one path, faster for documents without an array on it."""

    def find(document: Any) -> list[Any]:
        value = document
        for part in path:
            if isinstance(value, dict):
                value = value.get(part, MISSING)
            elif isinstance(value, list):
                return leaves(document, path)
            else:
                return [MISSING]
        return [value]

    return find


def _descend(
    value: Any, path: tuple[str, ...], at: int, values: list[Any], visited: _Visited
) -> None:
    if at == len(path):
        values.append(value)
    elif isinstance(value, dict):
        if path[at] in value:
            _descend(value[path[at]], path, at + 1, values, visited)
        else:
            values.append(MISSING)
    elif isinstance(value, list):
        _descend_array(value, path, at, values, visited)
    else:
        values.append(MISSING)


def _descend_array(
    array: list[Any], path: tuple[str, ...], at: int, values: list[Any], visited: _Visited
) -> None:
    # A number may be an index or a field, so each array doubles the routes: visit each array once
    # per position in the path.
    if (id(array), at) in visited:
        return
    visited.add((id(array), at))
    index = array_index(path[at])
    if index is not None and index < len(array):
        _descend(array[index], path, at + 1, values, visited)
    for item in array:
        # An item without this field yields MISSING only if the part can't be an array index.
        if isinstance(item, dict) and (index is None or path[at] in item):
            _descend(item, path, at, values, visited)


def array_index(name: str) -> int | None:
    """Return the array index that a part of a path names; None if the part is not an index."""
    if name.isascii() and name.isdecimal() and len(name) <= _MAX_INDEX_DIGITS:
        return int(name)
    return None


def sort_key(values: list[Any], *, descending: bool) -> Key:
    """Return the sort key of the values at a path.

    An array counts as its least item (descending: greatest).
    """
    if len(values) == 1 and not isinstance(values[0], list):
        return key(values[0])
    keys: list[Key] = []
    for leaf in values:
        if isinstance(leaf, list):
            keys += [key(item) for item in leaf] or [_EMPTY_ARRAY]
        else:
            keys.append(key(leaf))
    if not keys:
        return _NULL
    return max(keys) if descending else min(keys)
