"""The settable properties: valid values, and that they don't shadow a job's arguments."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob.properties import (
    BY_REST,
    DEFAULTS,
    TRIAL,
    Rule,
    effective,
    problem,
    split_args,
)

LARGEST = 2**31 - 1
GOOD: dict[Rule, list[Any]] = {
    Rule.POSITIVE: [1, LARGEST],
    Rule.POSITIVE_OR_NULL: [1, LARGEST, None],
    Rule.COUNT: [0, 1, 10**9],
    Rule.INTEGER: [-LARGEST, 0, LARGEST],
    Rule.BOOLEAN: [True, False],
    Rule.NODE_OR_NULL: ["node-1", "ip-10.0.0.1", "N_1", "n" * 63, None],
}
BAD: dict[Rule, list[Any]] = {
    Rule.POSITIVE: [0, -1, 1.0, "1", True, LARGEST + 1, [], {}],
    Rule.POSITIVE_OR_NULL: [0, -1, 1.5, "1", False, LARGEST + 1],
    Rule.COUNT: [-1, 1.0, "1", True, False, 10**9 + 1],
    Rule.INTEGER: [1.0, "0", True, LARGEST + 1, -LARGEST - 1],
    Rule.BOOLEAN: [0, 1, "true", "yes"],
    Rule.NODE_OR_NULL: [
        "", "n" * 64, 1, True, ["node-1"], "a b", "ä", "a\0b", "-a", "a.", "a/b", "a\n", "\uff11",
    ],
}  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*BY_REST]) | st.text(max_size=20)


def test_the_documented_properties_and_defaults() -> None:
    assert {name: prop.default for name, prop in BY_REST.items()} == {
        "attempts": 1,
        "error_time": 600,
        "defer_time": 300,
        "defer_max": 3600,
        "wall_time": None,
        "zombie_time": 1800,
        "priority": 0,
        "force": False,
        "max_parallel": None,
        "progress_interval": 5,
        "worker": None,
        "trial": 0,
    }


@pytest.mark.parametrize("prop", BY_REST.values(), ids=lambda prop: prop.rest)
def test_good_values(prop: Any) -> None:
    for value in GOOD[prop.rule]:
        assert problem(prop, value) is None
    assert problem(prop, prop.default) is None


@pytest.mark.parametrize("prop", BY_REST.values(), ids=lambda prop: prop.rest)
def test_bad_values_are_refused_by_name(prop: Any) -> None:
    for value in BAD[prop.rule]:
        reason = problem(prop, value)
        assert reason is not None
        assert f"[{prop.rest}]" in reason
        with pytest.raises(ValueError, match=prop.rest):
            split_args({"other": 1, prop.rest: value})


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_no_argument_is_lost_and_no_bad_value_gets_through(args: dict[str, Any]) -> None:
    bad = [
        name
        for name, value in args.items()
        if name in BY_REST and value is not None and problem(BY_REST[name], value)
    ]
    if bad:
        with pytest.raises(ValueError, match=f"property .({'|'.join(bad)})."):
            split_args(args)
        return
    fields, rest = split_args(args)
    back = {name: fields[prop.field] for name, prop in BY_REST.items() if prop.field in fields}
    given_args = {name: v for name, v in args.items() if name not in BY_REST or v is not None}
    assert {**rest, **back} == given_args
    assert not set(rest) & set(BY_REST)


def test_null_means_not_given() -> None:
    assert split_args({"attempts": None, "worker": None, "x": None}) == ({}, {"x": None})


def test_the_job_beats_its_template_beats_the_default() -> None:
    found = effective({"attempts": 2, "priority": None}, {"attempts": 3, "priority": 4})

    assert found == {**DEFAULTS, "attempts": 2, "priority": 4}


def test_zero_and_false_are_values() -> None:
    found = effective({"priority": 0, "force": False}, {"priority": 5, "force": True})

    assert (found["priority"], found["force"]) == (0, False)


def test_a_trial_is_carried_and_no_property_of_a_template() -> None:
    assert split_args({"trial": 5, "x": 1}) == ({"carriedTrials": 5}, {"x": 1})
    assert TRIAL.field not in DEFAULTS
    assert TRIAL.field not in effective({}, {TRIAL.field: 5})
