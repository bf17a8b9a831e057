"""The arguments `filter`, `sort`, `order` and `search` of a listing, and their use on its rows."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corejob_api.arguments import Arguments, decode_json, mismatch
from corejob_api.errors import ApiError, bad_request
from corejob_api.query import patterns
from corejob_api.query.filters import Predicate, compile_filter
from corejob_api.query.values import sort_key

Row = dict[str, Any]
Sort = tuple[tuple[str, int], ...]
BY_ID: Final[Sort] = (("_id", 1),)
_MAX_SORT: Final = 32
_SLICE_SECONDS: Final = 0.005
"""How long rows are worked on before all other requests get a turn."""


def sort_argument(arguments: Arguments) -> Sort:
    """`sort` as pairs of field and direction: a list of pairs, or a field's name with `order`."""
    raw = arguments.raw("sort")
    if isinstance(raw, str) and not _is_json(raw):
        return ((raw, _direction(arguments.integer("order", 1))),)
    pairs = arguments.sequence("sort")
    if not pairs:
        return BY_ID
    if len(pairs) > _MAX_SORT:
        raise bad_request(f"parameter [sort] has more than {_MAX_SORT} fields")
    return tuple(_pair(pair) for pair in pairs)


def _is_json(text: str) -> bool:
    """Whether a text is JSON, or meant to be; a field's name is not."""
    if text.strip()[:1] in {"", "[", "{", '"'}:
        return True
    try:
        decode_json(text)
    except ValueError:
        return False
    return True


def _pair(pair: Any) -> tuple[str, int]:
    match pair:
        case [str() as name, int() as direction] if not isinstance(direction, bool):
            return name, _direction(direction)
    raise mismatch("sort", "list")


def _direction(number: int) -> int:
    if number not in {1, -1}:
        raise bad_request(f"the order of a sort is 1 or -1, got [{number}]")
    return number


def filter_argument(arguments: Arguments) -> Predicate | None:
    """`filter`, compiled; None if there is none."""
    query = arguments.mapping("filter")
    if not query:
        return None
    try:
        return compile_filter(query)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"parameter [filter]: {error}") from None


def search_argument(arguments: Arguments) -> patterns.Search | None:
    """`search`, compiled; None if there is none."""
    search = arguments.optional_text("search")
    if not search:
        return None
    try:
        return patterns.wildcard(search)
    except ValueError as error:
        raise bad_request(f"parameter [search]: {error}") from None


class Turns:
    """Gives way to other requests now and then during long work."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SLICE_SECONDS

    async def give_way(self) -> None:
        """Pause, if it is time to."""
        if time.monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + _SLICE_SECONDS


def fits(predicate: Predicate, document: Any) -> bool:
    """Whether a document fits; one that is nested too deep to say is the client's own doing."""
    try:
        return predicate(document)
    except RecursionError:
        raise ApiError(400, "parameter [filter]: a document is nested too deep for it") from None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows, and in which order."""

    predicate: Predicate | None
    sort: Sort

    @classmethod
    def of(cls, arguments: Arguments) -> "Selection":
        """As the arguments `filter`, `sort` and `order` say."""
        return cls(filter_argument(arguments), sort_argument(arguments))

    async def apply(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that fit, in order; equal ones keep the order that they came in."""
        turns = Turns()
        found: list[Row] = []
        for row in rows:
            if self.predicate is None or fits(self.predicate, row):
                found.append(row)
            await turns.give_way()
        return sorted_rows(found, self.sort)


def sorted_rows(rows: Sequence[Row], sort: Sort) -> list[Row]:
    """The rows in order: the least significant field first, since Python's sort is stable."""
    found = list(rows)
    for name, direction in reversed(sort):
        path, down = tuple(name.split(".")), direction < 0
        found.sort(key=lambda row: sort_key(row, path, descending=down), reverse=down)
    return found
