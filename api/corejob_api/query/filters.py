"""Compile MongoDB-style filters to predicates (docs/rest.md, "Filters, sorting, searching")."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from corejob.nesting import MAX_VALUE_DEPTH, is_deep
from corejob_api.query import patterns
from corejob_api.query.values import MISSING, Key, array_index, key, leaves_at, path_of

Predicate = Callable[[Any], bool]
"""Returns True if a document matches."""
FieldTest = Callable[[list[Any]], bool]
"""Returns True if the values at a path match; takes the list that `leaves` returns."""
T = TypeVar("T")

_MAX_DEPTH: Final = 20
_MAX_NODES: Final = 200
_MAX_VALUES: Final = 10_000
_MAX_SIZE: Final = 20_000
_MAX_PROGRAMS: Final = 1000
"""RE2 program size of all regular expressions of a filter together."""
_MOST_KNOWN: Final = 1024
"""Texts whose search result a filter keeps; only those of up to `_MAX_KNOWN` characters."""
_MAX_KNOWN: Final = 200
_LOGICAL: Final = ("$and", "$or", "$nor")

_TYPES: Final[dict[Any, Callable[[Any], bool]]] = {
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "double": lambda v: isinstance(v, float),
    "int": lambda v: type(v) is int and -(2**31) <= v < 2**31,
    "long": lambda v: type(v) is int and not -(2**31) <= v < 2**31,
    "string": lambda v: isinstance(v, str),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "bool": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}
_TYPE_NUMBERS: Final = {
    1: "double", 2: "string", 3: "object", 4: "array", 8: "bool", 10: "null", 16: "int", 18: "long",
}  # fmt: skip


def compile_filter(query: Mapping[str, Any]) -> Predicate:
    """Return the predicate of a filter.

    Raises:
        ValueError: The filter is invalid or too large; the message names the limit, or the operator
            that is unknown or misused.
    """
    _check_size(query)
    return _Compiler().document(query, 0)


def paths_of(query: Mapping[str, Any]) -> frozenset[tuple[str, ...]]:
    """Return the paths in a document that a valid filter reads."""
    paths: set[tuple[str, ...]] = set()
    for name, operand in query.items():
        if name in _LOGICAL:
            paths = paths.union(*map(paths_of, operand))
        else:
            paths.add(path_of(name))
    return frozenset(paths)


def _check_size(query: Any) -> None:
    """Refuse a filter so large that even compiling it takes long, or too deep for recursion."""
    left, todo = _MAX_SIZE, [query]
    while todo:
        value = todo.pop()
        if isinstance(value, dict | list):
            left -= len(value)
            if left < 0:
                raise ValueError(f"it has more than {_MAX_SIZE} values")
            todo += value.values() if isinstance(value, dict) else value
    if is_deep(query):
        raise ValueError(f"it is nested deeper than {MAX_VALUE_DEPTH} levels")


class _Compiler:
    """Compiles one filter and limits its conditions, since a filter runs on every document."""

    def __init__(self) -> None:
        self._nodes = 0
        self._programs = 0
        self._operators: dict[str, Callable[[Any, int], FieldTest]] = {
            "$eq": lambda operand, _: _equals(operand),
            "$ne": lambda operand, _: _negated(_equals(operand)),
            "$gt": lambda operand, _: _compares(operand, lambda a, b: a > b),
            "$gte": lambda operand, _: _compares(operand, lambda a, b: a >= b),
            "$lt": lambda operand, _: _compares(operand, lambda a, b: a < b),
            "$lte": lambda operand, _: _compares(operand, lambda a, b: a <= b),
            "$in": lambda operand, _: _among("$in", operand),
            "$nin": lambda operand, _: _negated(_among("$nin", operand)),
            "$exists": lambda operand, _: _exists(operand),
            "$size": lambda operand, _: _size(operand),
            "$mod": lambda operand, _: _mod(operand),
            "$type": lambda operand, _: _type(operand),
            "$not": self._not,
            "$all": self._all,
            "$elemMatch": self._elem_match,
        }

    def document(self, query: Any, depth: int) -> Predicate:
        """Compile a query over a whole document."""
        if not isinstance(query, dict):
            raise ValueError(f"expected an object, got [{query!r}]")  # noqa: TRY004  # client input, so ValueError
        self._count(depth)
        return _all_of([self._clause(name, operand, depth) for name, operand in query.items()])

    def _clause(self, name: str, operand: Any, depth: int) -> Predicate:
        if name in _LOGICAL:
            return self._logical(name, operand, depth)
        if name.startswith("$"):
            raise ValueError(f"unknown operator [{name}]")
        find = leaves_at(path_of(name))
        test = self.field(operand, depth + 1)
        return lambda doc: test(find(doc))

    def _logical(self, name: str, operand: Any, depth: int) -> Predicate:
        if not isinstance(operand, list) or not operand:
            raise ValueError(f"operator [{name}] expects a list of objects that is not empty")
        tests = [self.document(query, depth + 1) for query in operand]
        if name == "$and":
            return _all_of(tests)
        if name == "$or":
            return lambda doc: any(test(doc) for test in tests)
        return lambda doc: not any(test(doc) for test in tests)

    def field(self, operand: Any, depth: int) -> FieldTest:
        """Compile the test of a field: an object of operators, or a value for equality."""
        if not isinstance(operand, dict) or not any(name.startswith("$") for name in operand):
            self._count(depth)
            return _equals(operand)
        tests = []
        for name, value in operand.items():
            self._count(depth)
            if name == "$regex":
                tests.append(self._regex(value, operand.get("$options", "")))
            elif name == "$options" and "$regex" in operand:
                continue
            elif name in self._operators:
                tests.append(self._operators[name](value, depth))
            else:
                raise ValueError(f"unknown operator [{name}]")
        return _all_of(tests)

    def _regex(self, pattern: Any, options: Any) -> FieldTest:
        if not isinstance(pattern, str) or not isinstance(options, str):
            raise ValueError("operators [$regex] and [$options] expect text")  # noqa: TRY004  # client input, so ValueError
        search = patterns.regex(pattern, options)
        self._programs += search.program
        if self._programs > _MAX_PROGRAMS:
            raise ValueError(
                f"its regexes are too costly together: more than {_MAX_PROGRAMS} steps"
            )
        # Names and states of thousands of jobs are few texts, and a search takes microseconds.
        known = lru_cache(_MOST_KNOWN)(search)
        return _any_of(
            lambda value: (
                isinstance(value, str)
                and (known(value) if len(value) <= _MAX_KNOWN else search(value))
            )
        )

    def _not(self, operand: Any, depth: int) -> FieldTest:
        if not isinstance(operand, dict) or not operand or not _is_operators(operand):
            raise ValueError("operator [$not] expects an object of operators")
        return _negated(self.field(operand, depth + 1))

    def _all(self, operand: Any, depth: int) -> FieldTest:
        if not isinstance(operand, list) or len(operand) > _MAX_NODES:
            raise ValueError("operator [$all] expects a list")
        tests = []
        for item in operand:
            self._count(depth)
            nested = isinstance(item, dict) and list(item) == ["$elemMatch"]
            tests.append(self._elem_match(item["$elemMatch"], depth) if nested else _equals(item))
        return lambda values: bool(tests) and all(test(values) for test in tests)

    def _elem_match(self, operand: Any, depth: int) -> FieldTest:
        if not isinstance(operand, dict):
            raise ValueError("operator [$elemMatch] expects an object")  # noqa: TRY004  # client input, so ValueError
        if operand and _is_operators(operand) and not any(name in _LOGICAL for name in operand):
            value_test = self.field(operand, depth + 1)
            return lambda values: any(value_test([item]) for item in _items(values))
        test = self.document(operand, depth + 1)
        return lambda values: any(
            test(item) for item in _items(values) if isinstance(item, dict | list)
        )

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {_MAX_DEPTH} levels")
        if self._nodes > _MAX_NODES:
            raise ValueError(f"it has more than {_MAX_NODES} conditions")


def _is_operators(operand: Mapping[str, Any]) -> bool:
    return all(name.startswith("$") for name in operand)


def _items(values: list[Any]) -> list[Any]:
    """Return the items of all arrays at a path."""
    return [item for leaf in values if isinstance(leaf, list) for item in leaf]


def _all_of(tests: list[Callable[[T], bool]]) -> Callable[[T], bool]:
    """Return a test that is passed by what passes all of these."""
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _any_of(test: Callable[[Any], bool]) -> FieldTest:
    """Return a test for any value at a path; an array matches as a whole or by one item."""

    def check(values: list[Any]) -> bool:
        for leaf in values:
            if test(leaf) or (isinstance(leaf, list) and any(test(item) for item in leaf)):
                return True
        return False

    return check


def _negated(test: FieldTest) -> FieldTest:
    return lambda values: not test(values)


def _equals(operand: Any) -> FieldTest:
    wanted = key(operand)
    if operand is None:
        return _any_of(lambda value: key(value) == wanted)
    # Values with equal keys are equal, which is faster to find out. Equal ones may differ in type.
    return _any_of(lambda value: value == operand and key(value) == wanted)


def _compares(operand: Any, relation: Callable[[Key, Key], bool]) -> FieldTest:
    bound = key(operand)

    def test(value: Any) -> bool:
        own = key(value)
        return own[0] == bound[0] and relation(own, bound)

    return _any_of(test)


def _among(name: str, operand: Any) -> FieldTest:
    if not isinstance(operand, list) or len(operand) > _MAX_VALUES:
        raise ValueError(f"operator [{name}] expects a list of at most {_MAX_VALUES} values")
    wanted = {key(value) for value in operand}
    return _any_of(lambda value: key(value) in wanted)


def _exists(operand: Any) -> FieldTest:
    wanted = bool(operand)
    return lambda values: any(leaf is not MISSING for leaf in values) is wanted


def _size(operand: Any) -> FieldTest:
    if isinstance(operand, bool) or not isinstance(operand, int):
        raise ValueError("operator [$size] expects a whole number")  # noqa: TRY004  # client input, so ValueError
    return lambda values: any(isinstance(leaf, list) and len(leaf) == operand for leaf in values)


def _mod(operand: Any) -> FieldTest:
    numbers = isinstance(operand, list) and all(type(n) in {int, float} for n in operand)
    if not numbers or len(operand) != 2 or int(operand[0]) == 0:
        raise ValueError("operator [$mod] expects a divisor that is not 0 and a remainder")
    divisor, remainder = int(operand[0]), int(operand[1])

    def test(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        # The remainder has the dividend's sign, as in C.
        rest = abs(int(value)) % abs(divisor)
        return (rest if value >= 0 else -rest) == remainder

    return _any_of(test)


def _type(operand: Any) -> FieldTest:
    tests = []
    for item in operand if isinstance(operand, list) else [operand]:
        named = item if isinstance(item, str) else _TYPE_NUMBERS.get(array_index(str(item)) or 0)
        if named not in _TYPES:
            raise ValueError(f"operator [$type] does not know the type [{item!r}]")
        tests.append(_TYPES[named])
    return _any_of(lambda value: any(test(value) for test in tests))
