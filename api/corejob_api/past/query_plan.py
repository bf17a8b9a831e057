"""Split a filter into conditions for the store and a predicate over the documents.

The filter is split into parts that must all match. A part that only tests the qual_name and the
state is evaluated here, once for each *kind* of job (qual_name and state) in the store; it may use
any operator, and it sees the masked name of a job that the user may not read. A part that compares
columns of the store becomes an equivalent condition. All other parts are tested on each document.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from corejob_api.query.filters import Predicate, compile_filter
from corejob_api.query.patterns import Search
from corejob_journal.store import conditions
from corejob_journal.store.conditions import Column, Condition, Relation
from corejob_journal.store.past import PastQuery
from corejob_journal.store.past_counts import Kind

Filter = Mapping[str, Any]
_KIND: Final = frozenset({"qual_name", "name", "state"})
_COLUMNS: Final[dict[str, Column]] = {
    "_id": "job_id",
    "enqueued.username": "username",
    "enqueued.at": "enqueued_at",
    "finished_at": "finished_at",
}
_RELATIONS: Final[dict[str, Relation]] = {
    "$eq": "=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
}
_LISTS: Final = frozenset({"$and", "$or", "$nor"})
_EQUAL_TO_NULL: Final = frozenset({"$eq", "$gte", "$lte"})
_NEVER: Final = conditions.Either(())
_MOST_TEXTS: Final = 500


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query for the store, and a predicate for the documents that it returns.

    Attributes:
        query: The query that the store evaluates.
        predicate: Test of each document that the store finds; None: no further test.
    """

    query: PastQuery
    predicate: Predicate | None


def plan_query(
    filter_: Filter,
    search: Search | None,
    counts: Mapping[Kind, int],
    shown_name: Callable[[str], str],
) -> QueryPlan:
    """Return the plan for a filter and a search.

    Args:
        filter_: The filter, which `compile_filter` has accepted.
        search: Must match the qual_name that the user sees; None: no search.
        counts: Number of jobs of each kind in the store.
        shown_name: Maps a qual_name to the name that the user sees.
    """
    names = {name: shown_name(name) for name in {kind.qual_name for kind in counts}}
    kinds = {kind for kind in counts if search is None or search(names[kind.qual_name])}
    store_conditions: list[Condition] = []
    predicates: list[Predicate] = []
    for part in _parts(filter_):
        if _paths(part) <= _KIND:
            kinds &= set(_matching_kinds(part, counts, names))
        elif (condition := _condition(part, counts, names)) is not None:
            store_conditions.append(condition)
        else:
            predicates.append(compile_filter(part))
    query = PastQuery(counts, frozenset(kinds), tuple(store_conditions))
    return QueryPlan(
        query, (lambda row: all(test(row) for test in predicates)) if predicates else None
    )


def _parts(filter_: Filter) -> Iterator[Filter]:
    for name, operand in filter_.items():
        if name == "$and":
            for part in operand:
                yield from _parts(part)
        else:
            yield {name: operand}


def _paths(filter_: Filter) -> set[str]:
    """Return the fields that a filter tests."""
    paths: set[str] = set()
    for name, operand in filter_.items():
        paths |= set().union(*map(_paths, operand)) if name in _LISTS else {name}
    return paths


def _matching_kinds(
    filter_: Filter, kinds: Iterable[Kind], names: Mapping[str, str]
) -> Iterator[Kind]:
    """Yield the kinds that match; all jobs of a kind match, or none."""
    fits = compile_filter(filter_)
    for kind in kinds:
        name = names[kind.qual_name]
        if fits({"qual_name": name, "name": name, "state": kind.state}):
            yield kind


def _condition(
    filter_: Filter, kinds: Iterable[Kind], names: Mapping[str, str]
) -> Condition | None:
    """Return the equivalent condition; None if the store can't evaluate the filter."""
    if _paths(filter_) <= _KIND:
        return conditions.OfKinds(frozenset(_matching_kinds(filter_, kinds, names)))
    parts: list[Condition] = []
    for name, operand in filter_.items():
        condition: Condition | None = None
        if name in _LISTS:
            condition = _of_list(name, [_condition(part, kinds, names) for part in operand])
        elif name in _COLUMNS:
            condition = _field(_COLUMNS[name], operand)
        if condition is None:
            return None
        parts.append(condition)
    return conditions.Every(tuple(parts))


def _of_list(name: str, parts: Iterable[Condition | None]) -> Condition | None:
    supported: list[Condition] = []
    for part in parts:
        if part is None:
            return None
        supported.append(part)
    if name == "$and":
        return conditions.Every(tuple(supported))
    either = conditions.Either(tuple(supported))
    return either if name == "$or" else conditions.Not(either)


def _field(column: Column, operand: Any) -> Condition | None:
    if not isinstance(operand, dict) or not any(name.startswith("$") for name in operand):
        return _compare(column, "$eq", operand)
    parts: list[Condition] = []
    for name, value in operand.items():
        condition = _operator(column, name, value)
        if condition is None:
            return None
        parts.append(condition)
    return conditions.Every(tuple(parts))


def _operator(column: Column, name: str, value: Any) -> Condition | None:
    if name in _RELATIONS:
        return _compare(column, name, value)
    if name == "$in":
        return _among(column, value)
    opposite = {"$ne": "$eq", "$nin": "$in"}.get(name)
    if opposite is not None:
        condition = _operator(column, opposite, value)
    elif name == "$not":
        condition = _field(column, value)
    else:
        return None
    return None if condition is None else conditions.Not(condition)


def _compare(column: Column, name: str, value: Any) -> Condition | None:
    """Compare a text column; a text only matches texts, null only matches absent values."""
    if value is None:
        return conditions.Absent(column) if name in _EQUAL_TO_NULL else _NEVER
    if not isinstance(value, str):
        return _NEVER
    return conditions.Compare(column, _RELATIONS[name], value) if _is_plain(value) else None


def _among(column: Column, values: list[Any]) -> Condition | None:
    texts = tuple({value for value in values if isinstance(value, str)})
    if len(texts) > _MOST_TEXTS or not all(map(_is_plain, texts)):
        return None
    among: Condition = conditions.Among(column, texts)
    return conditions.Either((among, conditions.Absent(column))) if None in values else among


def _is_plain(text: str) -> bool:
    """True if both databases accept the text."""
    return "\0" not in text and text.isprintable()
