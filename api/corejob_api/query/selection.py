"""Parse a listing's arguments `filter`, `sort`, `order` and `search`, and apply them to rows."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from corejob_api.http.arguments import Arguments, decode_json, mismatch
from corejob_api.http.errors import ApiError, bad_request
from corejob_api.query import patterns
from corejob_api.query.filters import Predicate, compile_filter, paths_of
from corejob_api.query.ordering import Keys, Row, Sort, keys_of, ordered
from corejob_api.query.scans import Scan
from corejob_api.query.values import column, path_of

BY_ID: Final[Sort] = (("_id", 1),)
MAX_SORT: Final = 32
_MOST_PATHS: Final = 8
_UNHASHABLE: Final = frozenset({list, dict})
_ORDERS: Final = frozenset({1, -1})
T = TypeVar("T")


def sort_argument(arguments: Arguments) -> Sort:
    """Return `sort` as pairs of field and direction.

    The argument is a list of pairs, or a field's name whose direction is `order`. Without a sort
    `order` is the direction of `_id`.

    Raises:
        ApiError: 400, `sort` or `order` is invalid.
    """
    raw, order = arguments.raw("sort"), arguments.integer("order", 1)
    if order not in _ORDERS:
        raise bad_request(f"parameter [order] must be 1 or -1, got [{order}]")
    if isinstance(raw, str) and not _is_json(raw):
        return (_field(raw, order),)
    pairs = arguments.sequence("sort")
    if not pairs:
        return (("_id", order),)
    if arguments.raw("order") is not None:
        raise bad_request(
            "parameter [order] goes with a field's name in [sort]: "
            "write the order into the pairs, and leave [order] out"
        )
    if len(pairs) > MAX_SORT:
        raise bad_request(f"parameter [sort] has more than {MAX_SORT} fields")
    return tuple(_pair(pair) for pair in pairs)


def _is_json(text: str) -> bool:
    """True if a text is JSON, or is malformed JSON rather than a field's name."""
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
            return _field(name, direction)
    raise mismatch("sort", "list")


def _field(name: str, direction: int) -> tuple[str, int]:
    if direction not in _ORDERS:
        raise bad_request(f"the order of a sort is 1 or -1, got [{direction}]")
    try:
        path_of(name)
    except ValueError as error:
        raise bad_request(f"parameter [sort]: {error}") from None
    return name, direction


def filter_argument(arguments: Arguments) -> Predicate | None:
    """Return `filter` compiled; None if the argument is absent or empty.

    Raises:
        ApiError: 400, the filter is invalid.
    """
    return _compiled(arguments.mapping("filter"))


def _compiled(query: dict[str, Any]) -> Predicate | None:
    if not query:
        return None
    try:
        return compile_filter(query)
    except ValueError as error:
        raise bad_request(f"parameter [filter]: {error}") from None


def search_argument(arguments: Arguments) -> patterns.Search | None:
    """Return `search` compiled; None if the argument is absent or empty.

    Raises:
        ApiError: 400, the search is too long or too costly.
    """
    search = arguments.optional_text("search")
    if not search:
        return None
    try:
        return patterns.wildcard(search)
    except ValueError as error:
        raise bad_request(f"parameter [search]: {error}") from None


def fits(predicate: Predicate, document: Any) -> bool:
    """True if a document matches.

    Raises:
        ApiError: 400, the document, which comes from a client, is nested too deep.
    """
    try:
        return predicate(document)
    except RecursionError:
        raise ApiError(
            400, "parameter [filter]: a document is nested too deep to be filtered"
        ) from None


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter and a sort order of rows; no predicate selects all rows.

    Attributes:
        predicate: The filter, compiled.
        sort: The order.
        filtered: The paths in a row that the filter reads.
    """

    predicate: Predicate | None
    sort: Sort
    filtered: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, arguments: Arguments) -> "Selection":
        """Return the selection that `filter`, `sort` and `order` describe."""
        query = arguments.mapping("filter")
        return cls(_compiled(query), sort_argument(arguments), paths_of(query))

    @property
    def fields(self) -> frozenset[str]:
        """The top-level fields of a row that the selection reads."""
        return frozenset(path[0] for path in self._paths)

    @property
    def _paths(self) -> frozenset[tuple[str, ...]]:
        return self.filtered.union(path_of(name) for name, _ in self.sort)

    async def apply(self, items: Sequence[T], scan: Scan, row_of: Callable[[T], Row]) -> list[T]:
        """Return the items whose rows match, sorted; the sort is stable.

        Args:
            items: The items.
            scan: Runs the selection in threads.
            row_of: Returns an item's row, with at least `fields`; called in a thread.
        """
        rows = await scan.map(row_of, items)
        groups = await scan.call(lambda: _equal_rows(rows, self._paths))
        judged = await scan.map(self.selected(), [rows[group[0]] for group in groups])
        return await scan.call(lambda: [items[at] for at in self._ordered(groups, judged)])

    def _ordered(self, groups: Iterable[list[int]], judged: Iterable[Keys | None]) -> Iterator[int]:
        """Yield the positions of the groups that match, by their sort keys."""
        positions: dict[Keys, list[int]] = {}
        for group, keys in zip(groups, judged, strict=True):
            if keys is not None:
                positions.setdefault(keys, []).extend(group)
        for keys in ordered(positions, self.sort):
            # Groups with equal keys are merged by position, since the sort is stable.
            yield from sorted(positions[keys])

    def selected(self) -> Callable[[Row], Keys | None]:
        """Return a function from a row to its sort keys, or to None if the row does not match."""
        predicate, keys = self.predicate, keys_of(self.sort)
        if predicate is None:
            return keys

        def select(row: Row) -> Keys | None:
            return keys(row) if fits(predicate, row) else None

        return select


def _equal_rows(rows: Sequence[Row], paths: Collection[tuple[str, ...]]) -> Collection[list[int]]:
    """Return the positions of rows with the same values at some paths, group by group.

    Thousands of rows have few different values, so a selection looks at one row of each group only.
    With many paths each row is a group of its own, since that would take more memory than it saves.
    """
    if len(paths) > _MOST_PATHS:
        return [[position] for position in range(len(rows))]
    columns: list[Iterable[Hashable]] = [[None] * len(rows)]
    for path in paths:
        values = column(rows, path)
        kinds = [*map(type, values)]
        if not _UNHASHABLE.isdisjoint(kinds):
            # An id is that of one value as long as the rows keep the values.
            values = [id(value) if type(value) in _UNHASHABLE else value for value in values]
        # With the types, since True, 1 and 1.0 are equal.
        columns += [values, kinds]
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, combination in enumerate(zip(*columns, strict=True)):
        groups[combination].append(position)
    return groups.values()
