"""Each argument that a client sends is accepted, or refused with a reason."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corejob_api.counts.history import is_descending
from corejob_api.http import arguments
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError
from corejob_api.http.paging import page_request
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.ordering import in_order, keys_of
from corejob_api.query.selection import filter_argument, fits, search_argument, sort_argument
from corejob_api.queue.args_schema import ArgsSchema, BadSchemaError

TEXTS = st.text(max_size=12) | st.text("abc.$*?[]{}()|\\\0^+-0129", max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
NAMES = st.sampled_from(["a", "b", "a.b", "a.0", "0.0", ".", "", "a..b"]) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)
OPERATORS = st.sampled_from([
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$size", "$mod", "$type",
    "$not", "$all", "$elemMatch", "$regex", "$options", "$and", "$or", "$nor", "$where", "$",
])  # fmt: skip
FILTERS = st.dictionaries(
    OPERATORS | NAMES,
    st.recursive(
        VALUES,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(OPERATORS | NAMES, inner, max_size=3)
        ),
    ),
    max_size=4,
)
KEYWORDS = st.sampled_from([
    "type", "properties", "patternProperties", "additionalProperties", "items", "prefixItems",
    "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref", "$id", "$defs", "$anchor",
    "$dynamicRef", "$dynamicAnchor", "$schema", "$vocabulary", "enum", "const", "pattern", "format",
    "multipleOf", "minimum", "maxLength", "uniqueItems", "required", "contains", "minContains",
    "dependentSchemas", "dependentRequired", "propertyNames", "unevaluatedProperties",
    "unevaluatedItems", "maxProperties",
])  # fmt: skip
WORDS = SCALARS | st.sampled_from([
    "#", "#/$defs/a", "#a", "http://[", "urn:x", "//", "object", "string", "array", "number",
    "https://json-schema.org/draft/2020-12/schema", "(", "(?=x)", "a{1000}",
])  # fmt: skip
SCHEMAS = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS | NAMES, inner, max_size=4)
    ),
    max_leaves=15,
)
PARSERS: list[Callable[[Arguments], Any]] = [
    lambda given: given.text("a"),
    lambda given: given.flag("a", default=False),
    lambda given: given.integer("a", 0),
    lambda given: given.mapping("a"),
    lambda given: given.sequence("a"),
    filter_argument,
    search_argument,
    sort_argument,
    page_request,
    is_descending,
    LogFilter.of,
]
TRIED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tried(parse: Callable[[Arguments], Any], given: Arguments) -> Any:
    """Return the parsed arguments, or None if they are refused with a 400 and a message."""
    try:
        return parse(given)
    except ApiError as error:
        refusal = error
    assert refusal.status == 400
    assert refusal.text
    return None


@TRIED
@given(st.data(), VALUES)
def test_arguments_of_any_value(data: st.DataObject, value: Any) -> None:
    names = ["a", "filter", "sort", "order", "search", "page", "per_page", "level", "grep", "since",
             "tail"]  # fmt: skip
    given = {name: value for name in names if data.draw(st.booleans())}
    for parse in PARSERS:
        tried(parse, Arguments(given))


@TRIED
@given(st.text(max_size=200) | st.text('a=&;%+12[]{}"', max_size=200))
def test_query_strings(text: str) -> None:
    found = arguments.from_query(text)
    for parse in PARSERS:
        tried(parse, Arguments(found))


@TRIED
@given(st.binary(max_size=200) | VALUES.map(repr).map(str.encode) | st.text('[]{}":,01eE+-.NaIfity').map(str.encode))  # fmt: skip  # noqa: E501
def test_bodies(body: bytes) -> None:
    found = arguments.from_json(body)
    if found is not None:
        for parse in PARSERS:
            tried(parse, Arguments(found))


@pytest.mark.parametrize("kind", [b"a=1&", b"a&", b"&a=%41"])
def test_many_fields_are_refused(kind: bytes) -> None:
    assert arguments.from_query((kind * 900).decode())
    with pytest.raises(ApiError, match="at most 1000 arguments") as caught:
        arguments.from_query((kind * 1001).decode())
    assert caught.value.status == 400


@TRIED
@given(FILTERS, VALUES, st.dictionaries(NAMES, VALUES, max_size=4))
def test_filters_over_any_document(query: Any, value: Any, document: Any) -> None:
    predicate = tried(filter_argument, Arguments({"filter": query}))
    if predicate is not None:
        for row in (document, {"a": value}, {}):
            assert fits(predicate, row) in {True, False}


@TRIED
@given(
    st.lists(st.tuples(NAMES, st.sampled_from([1, -1])), max_size=4), st.lists(VALUES, max_size=8)
)
def test_sorts_of_any_documents(pairs: list[tuple[str, int]], values: list[Any]) -> None:
    sort = tried(sort_argument, Arguments({"sort": [list(pair) for pair in pairs]}))
    if sort is not None:
        rows = [{"a": value} for value in values]
        keys = keys_of(sort)
        assert len(in_order([(row, keys(row)) for row in rows], sort)) == len(rows)


@TRIED
@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_schemas_of_any_form(schema: Any, args: dict[str, Any]) -> None:
    # As the API server delivers it: JSON.
    schema = msgspec.json.decode(msgspec.json.encode(schema))
    try:
        found = ArgsSchema(schema)._problem(args)
    except BadSchemaError as error:
        found = str(error)
    assert found is None or found
