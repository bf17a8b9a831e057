"""The depth of JSON, as text and as values, and cutting JSON that is too deep."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob.nesting import MAX_VALUE_DEPTH, cut_text, is_deep, is_text_deeper

TEXT = st.text(alphabet='{}[]"\\,:aé\n', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=25,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def shortened(value: Any, limit: int) -> Any:
    if isinstance(value, dict | list) and limit == 0:
        return None
    if isinstance(value, dict):
        return {key: shortened(inner, limit - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner, limit - 1) for inner in value]
    return value


@given(VALUES, st.integers(0, 8), st.booleans())
def test_the_depth_ignores_braces_within_strings(value: Any, limit: int, ascii_: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_).encode()
    assert is_text_deeper(text, limit) == (depth(value) > limit)


@given(VALUES, st.integers(0, 8), st.booleans())
def test_only_values_that_are_too_deep_are_cut_off(value: Any, limit: int, ascii_: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_).encode()
    assert json.loads(cut_text(text, limit, b"null")) == shortened(value, limit)


@pytest.mark.parametrize(("begin", "end"), [(b'{"a":', b"}"), (b"[", b"]")])
def test_ten_thousand_levels_are_no_trouble(begin: bytes, end: bytes) -> None:
    text = begin * 10_000 + b"1" + end * 10_000
    assert is_text_deeper(text, 100)
    assert not is_text_deeper(text, 10_000)
    assert not is_text_deeper(cut_text(text, 100, b"null"), 100)


@pytest.mark.parametrize(
    ("levels", "deep"),
    [
        (MAX_VALUE_DEPTH - 1, False),
        (MAX_VALUE_DEPTH, False),
        (MAX_VALUE_DEPTH + 1, True),
        (900, True),
    ],
)
def test_depth_of_a_value(levels: int, deep: bool) -> None:
    value: object = 1
    for _ in range(levels):
        value = {"a": 0, "b": value}
    assert is_deep(value) is deep
