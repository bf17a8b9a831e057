"""Filters, sorts, searches and pages, against plain models of them."""

import asyncio
import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError
from corejob_api.http.paging import PageRequest, page_request
from corejob_api.query import ordering, patterns
from corejob_api.query.filters import compile_filter, paths_of
from corejob_api.query.ordering import in_order, keys_of
from corejob_api.query.scans import Scans
from corejob_api.query.selection import Selection
from corejob_api.query.values import leaves, leaves_at

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b", "1"])
)
ROW: dict[str, Any] = {
    "_id": "1",
    "args": {"sleep": 5, "tags": ["a", "b"], "parts": [{"n": 1}, {"n": 2}], "none": None},
    "name": "a.b.Dummy",
    "force": False,
}


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"args.sleep": 5}, True),
        ({"args.sleep": 5.0}, True),
        ({"args.sleep": "5"}, False),
        ({"force": 0}, False),
        ({"args.sleep": {"$lte": 5, "$gt": 4}}, True),
        ({"args.sleep": {"$lt": 5}}, False),
        ({"args.sleep": {"$gte": "4"}}, False),
        ({"args.sleep": {"$in": [1, 5]}}, True),
        ({"args.sleep": {"$nin": [1, 5]}}, False),
        ({"args.sleep": {"$ne": 4}}, True),
        ({"args.missing": None}, True),
        ({"args.none": None}, True),
        ({"args.missing": {"$exists": False}}, True),
        ({"args.none": {"$exists": True}}, True),
        ({"args.tags": "a"}, True),
        ({"args.tags": ["a", "b"]}, True),
        ({"args.tags": {"$all": ["b", "a"]}}, True),
        ({"args.tags": {"$size": 2}}, True),
        ({"args.tags.1": "b"}, True),
        ({"args.parts.n": 2}, True),
        ({"args.parts": {"$elemMatch": {"n": {"$gt": 1}}}}, True),
        ({"name": {"$regex": "dummy", "$options": "i"}}, True),
        ({"name": {"$not": {"$regex": "^a"}}}, False),
        ({"$or": [{"args.sleep": 1}, {"name": "a.b.Dummy"}]}, True),
        ({"$and": [{"args.sleep": 5}, {"name": "x"}]}, False),
        ({"$nor": [{"args.sleep": 1}, {"name": "x"}]}, True),
        ({"args.sleep": {"$mod": [2, 1]}}, True),
        ({"args.sleep": {"$type": "number"}}, True),
    ],
)
def test_operators(query: dict[str, Any], fits: bool) -> None:
    assert compile_filter(query)(ROW) is fits


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"a": {"$foo": 1}}, r"\[\$foo\]"),
        ({"$foo": 1}, r"\[\$foo\]"),
        ({"a": {"$in": 1}}, r"\[\$in\]"),
        ({"a": {"$regex": "("}}, "regex"),
        ({"a": {"$regex": 1}}, r"\[\$regex\]"),
        ({"a": {"$not": 1}}, r"\[\$not\]"),
        ({"$or": []}, r"\[\$or\]"),
        ({"a": {"$size": "2"}}, r"\[\$size\]"),
        ({"$and": [{"a": i} for i in range(300)]}, "more than"),
    ],
)
def test_invalid_filters_are_refused(query: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compile_filter(query)


@given(st.lists(st.fixed_dictionaries({"a": SCALARS}), max_size=20), SCALARS)
def test_comparisons_against_a_model(rows: list[dict[str, Any]], operand: Any) -> None:
    def same_kind(value: Any) -> bool:
        return type(value) is type(operand)

    def fitting(query: Any) -> list[Any]:
        return [row["a"] for row in rows if compile_filter({"a": query})(row)]

    values = [row["a"] for row in rows]
    assert fitting({"$eq": operand}) == [v for v in values if same_kind(v) and v == operand]
    assert fitting({"$ne": operand}) == [v for v in values if not (same_kind(v) and v == operand)]
    if operand is not None:
        assert fitting({"$gt": operand}) == [v for v in values if same_kind(v) and v > operand]
        assert fitting({"$lte": operand}) == [v for v in values if same_kind(v) and v <= operand]


def test_a_regex_searches_equal_short_texts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    search = patterns.Pattern.__call__

    def counted(self: patterns.Pattern, text: str) -> bool:
        searched.append(text)
        return search(self, text)

    monkeypatch.setattr(patterns.Pattern, "__call__", counted)
    matches = compile_filter({"a": {"$regex": "b$"}})
    long = "x" * 1000 + "b"
    texts = ["ab", "a", "ab", "ab", "a", long, long]
    assert [matches({"a": text}) for text in texts] == [text.endswith("b") for text in texts]
    assert searched == ["ab", "a", long, long]


def test_the_paths_that_a_filter_reads() -> None:
    query = {
        "args.a.b": 1,
        "$or": [{"state": "x"}, {"$nor": [{"priority": {"$not": {"$gt": 1}}}]}],
        "sources": {"$elemMatch": {"inner": 1}},
    }
    assert paths_of(query) == {("args", "a", "b"), ("state",), ("priority",), ("sources",)}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_sorting_is_stable_and_takes_several_fields(pairs: list[tuple[int, int]]) -> None:
    rows = [{"a": a, "b": b, "at": at} for at, (a, b) in enumerate(pairs)]
    sort = (("a", 1), ("b", -1))
    found = in_order([(row, keys_of(sort)(row)) for row in rows], sort)
    expected = sorted(rows, key=lambda row: (row["a"], -row["b"], row["at"]))
    assert found == expected


TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab01"), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(TREES, st.lists(st.sampled_from("ab01"), min_size=1, max_size=4))
def test_a_prepared_path_finds_what_the_general_walk_finds(tree: Any, path: list[str]) -> None:
    assert leaves_at(tuple(path))(tree) == leaves(tree, tuple(path))


@given(st.lists(TREES, max_size=30), st.sampled_from([1, -1]), st.integers(1, 40))
def test_any_values_are_sorted_by_their_keys(
    trees: list[Any], direction: int, at_once: int
) -> None:
    rows = [{"a": tree, "at": at} for at, tree in enumerate(trees)]
    sort = (("a", direction),)
    keys = keys_of(sort)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ordering, "_AT_ONCE", at_once)
        found = in_order([(row, keys(row)) for row in rows], sort)
    assert found == sorted(rows, key=keys, reverse=direction < 0)


FILTERS: list[dict[str, Any]] = [
    {},
    {"a": {"$exists": True}},
    {"a": 1},
    {"a": {"$type": "int"}},
    {"a.b": {"$ne": None}},
    {"a.0": {"$in": ["a", 1, None]}},
    {"$or": [{"a": {"$size": 1}}, {"b": False}]},
    {"$nor": [{}]},
]
VALUES = st.one_of(TREES, st.just(1.0))
ROWS = st.lists(st.dictionaries(st.sampled_from("ab"), VALUES), max_size=20)


@given(ROWS, st.sampled_from(FILTERS), st.sampled_from([(), (("a", 1),), (("b", -1), ("a.b", 1))]))
async def test_a_selection_is_that_of_each_row_by_itself(
    rows: list[dict[str, Any]], query: dict[str, Any], sort: Any
) -> None:
    matches, keys = compile_filter(query), keys_of(sort)
    selection = Selection(matches, sort, paths_of(query))
    numbered = [{**row, "at": at} for at, row in enumerate(rows)]
    expected = [row for row in numbered if matches(row)]
    for at in reversed(range(len(sort))):
        expected.sort(key=lambda row: keys(row)[at], reverse=sort[at][1] < 0)
    found = await selection.apply(numbered, Scans().of("anna"), lambda row: row)
    assert [row["at"] for row in found] == [row["at"] for row in expected]


@pytest.mark.parametrize("value", [1, 1.0, True])
async def test_values_that_python_takes_for_equal_are_tested_each(value: Any) -> None:
    kinds = {"int": int, "double": float, "bool": bool}
    name = next(name for name, kind in kinds.items() if kind is type(value))
    query = {"a": {"$type": name}}
    selection = Selection(compile_filter(query), (), paths_of(query))
    rows: list[dict[str, Any]] = [{"a": 1}, {"a": 1.0}, {"a": True}]
    found = await selection.apply(rows, Scans().of("anna"), lambda row: row)
    assert [type(row["a"]) for row in found] == [type(value)]


async def test_a_selection_of_many_paths_is_that_of_each_row_by_itself() -> None:
    query = {"$or": [{f"a{n}": 1} for n in range(20)]}
    selection = Selection(compile_filter(query), (("b", -1),), paths_of(query))
    rows = [{f"a{n % 40}": 1, "b": n} for n in range(80)]
    found = await selection.apply(rows, Scans().of("anna"), lambda row: row)
    assert [row["b"] for row in found] == [n for n in reversed(range(80)) if n % 40 < 20]


async def test_rows_with_equal_values_are_tested_once() -> None:
    tested: list[Any] = []

    def matches(row: Any) -> bool:
        tested.append(row["a"])
        return True

    selection = Selection(matches, (("b", 1),), frozenset({("a",)}))
    rows = [{"a": n % 3, "b": n % 2} for n in range(300)]
    found = await selection.apply(rows, Scans().of("anna"), lambda row: row)
    assert len(found) == 300
    assert sorted(tested) == [0, 0, 1, 1, 2, 2]


@given(st.text("ab.*?[", max_size=6), st.text("abAB.[", max_size=8))
def test_search_is_a_wildcard_anywhere(search: str, text: str) -> None:
    plain = search.replace("[", "[[]")
    expected = fnmatch.fnmatchcase(text.lower(), f"*{plain.lower()}*")
    assert patterns.wildcard(search)(text) is expected


def test_a_regex_that_would_take_for_ever_does_not() -> None:
    search = patterns.regex("(a+)+$")
    assert search("a" * 5000 + "b") is False
    with pytest.raises(ValueError, match="regex"):
        patterns.regex("(a{1000}){1000}")


@given(st.integers(-8, 8), st.integers(1, 7), st.integers(0, 30))
def test_pages_against_a_model(page: int, per_page: int, total: int) -> None:
    rows = list(range(total))
    pages = [rows[at : at + per_page] for at in range(0, total, per_page)]
    window = PageRequest(page, per_page).window(total)
    assert window.page_count == len(pages)
    real = page if page >= 0 else max(0, len(pages) + page)
    assert window.page == real
    assert window.cut(rows) == (pages[real] if real < len(pages) else [])


def test_pages_of_no_rows_are_refused() -> None:
    with pytest.raises(ApiError, match="per_page"):
        page_request(Arguments({"per_page": 0}))


async def test_a_long_selection_gives_way() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(count())
    rows = [{"_id": str(i), "text": "x" * 200} for i in range(20_000)]
    selection = Selection.of(Arguments({"filter": {"text": {"$regex": "y"}}}))
    found = await selection.apply(rows, Scans().of("test"), lambda row: row)
    task.cancel()
    assert found == []
    assert turns > 1
