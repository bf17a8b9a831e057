"""Equality of jobs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob.identity import identity

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def shuffled(value: Any) -> Any:
    """Return an equal value with all keys in the opposite order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), VALUES, max_size=6))
def test_the_order_of_keys_and_a_journey_as_json_change_nothing(args: dict[str, Any]) -> None:
    expected = identity("a.Job", args)

    assert identity("a.Job", shuffled(args)) == expected
    assert identity("a.Job", json.loads(json.dumps(args))) == expected


@pytest.mark.parametrize("other", ["1", True, [1], None, 1.5, {"x": 1}])
def test_values_that_differ(other: Any) -> None:
    assert identity("a.Job", {"x": 1}) != identity("a.Job", {"x": other})


def test_a_whole_number_is_one_however_it_is_written() -> None:
    assert identity("a.Job", {"x": [1]}) == identity("a.Job", {"x": [1.0]})


def test_names_differ_and_no_args_are_a_value() -> None:
    assert identity("a.Job", {}) == identity("a.Job", {})
    assert identity("a.Job", {}) != identity("b.Job", {})
    assert identity("a.Job", {}) != identity("a.Job", {"x": None})


def test_the_order_of_a_list_counts() -> None:
    assert identity("a.Job", {"x": [1, 2]}) != identity("a.Job", {"x": [2, 1]})
