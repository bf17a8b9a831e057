"""Args survive the API server, and what can't be kept is refused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corejob import args, lineage, model
from corejob.args import LEAST_INTEGER, MOST_INTEGER
from corejob.identity import identity

RECORDED: list[tuple[str, str]] = json.loads(
    (Path(__file__).parent / "apiserver_args.json").read_text(encoding="utf-8")
)
"""Args as they were sent to the API server of Kubernetes 1.37 in a CoreJob, and as they came back:
edge cases of numbers, and what hypothesis made."""

NUMBERS = st.integers(LEAST_INTEGER, MOST_INTEGER) | st.floats(
    allow_nan=False, allow_infinity=False
)
WHOLE = st.integers(-(2**70), 2**70).map(float) | st.floats(1e15, 1e25).map(math.floor).map(float)
LEAVES = st.none() | st.booleans() | NUMBERS | WHOLE | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARGS = st.dictionaries(st.text(), VALUES, max_size=5)


def apiserver(value: Any) -> Any:
    """What becomes of a JSON value in the API server: a whole float is an integer, if Go's
    shortest form of it has no exponent."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return _all_digits(value)
    if isinstance(value, dict):
        return {name: apiserver(item) for name, item in value.items()}
    if isinstance(value, list):
        return [apiserver(item) for item in value]
    return value


def _all_digits(value: float) -> int:
    mantissa, _, exponent = repr(value).removesuffix(".0").partition("e")
    whole, _, fraction = mantissa.partition(".")
    return int(whole + fraction + "0" * (int(exponent or 0) - len(fraction)))


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, and of equal types."""
    return sorted_repr(one) == sorted_repr(other)


def sorted_repr(value: Any) -> str:
    if isinstance(value, dict):
        return repr({name: sorted_repr(value[name]) for name in sorted(value)})
    if isinstance(value, list):
        return repr([sorted_repr(item) for item in value])
    return repr(value)


def carried(sent: dict[str, Any]) -> dict[str, Any]:
    """The spec of a CoreJob with these args, after its way through the API server."""
    manifest = lineage.manifest("0" * 24, "jobs", {"qualName": "a.Job", "args": sent})
    spec: dict[str, Any] = json.loads(json.dumps(manifest["spec"]))
    return {**spec, "args": apiserver(spec["args"])}


@pytest.mark.parametrize(("sent", "received"), RECORDED)
def test_this_is_what_the_api_server_does(sent: str, received: str) -> None:
    assert same(apiserver(json.loads(sent)), json.loads(received))


@pytest.mark.parametrize(("sent", "received"), RECORDED)
def test_a_fingerprint_survives_the_api_server(sent: str, received: str) -> None:
    assert identity("a.Job", json.loads(sent)) == identity("a.Job", json.loads(received))


@given(ARGS)
@example({"x": [1.0, {"y": -0.0}], "z": 1e20})
def test_args_survive_the_api_server(sent: dict[str, Any]) -> None:
    spec = carried(sent)
    assert same(args.read(spec), sent)
    # Also when nobody reads the text: by kubectl there is none.
    assert identity("a.Job", sent) == identity("a.Job", args.read(spec))
    assert identity("a.Job", sent) == identity("a.Job", spec["args"])
    assert args.problem(spec, container=False) is None


@given(ARGS)
def test_args_survive_a_restart(sent: dict[str, Any]) -> None:
    body = {"metadata": {"name": "0" * 24}, "spec": carried(sent)}
    again = lineage.restart(model.parse(body), "1" * 24)["spec"]
    assert same(args.read({**again, "args": apiserver(again["args"])}), sent)


@pytest.mark.parametrize("value", [1, 1.5, -1e-9, "1.0", None, True, [], {}])
def test_a_text_goes_along_only_where_it_is_needed(value: Any) -> None:
    assert args.fields({"x": value}) == {"args": {"x": value}}
    assert args.fields({"x": [value, 1.0]})["argsJson"] == json.dumps(
        {"x": [value, 1.0]}, separators=(",", ":")
    )


def test_the_text_is_what_counts() -> None:
    spec = {"qualName": "a.Job", "args": {"x": 1}, "argsJson": '{"x": 1.0, "y": 2}'}
    assert same(args.read(spec), {"x": 1.0, "y": 2})
    assert same(args.read({"argsJson": '{"x": 1.0}'}), {"x": 1.0})
    body = {"metadata": {"name": "a"}, "spec": spec}
    assert same(model.parse(body).args, {"x": 1.0, "y": 2})


@pytest.mark.parametrize("text", ["", "[1]", "{", "1", '{"x": ' + "[" * 100_000, "{'x': 1}"])
def test_args_json_that_is_not_an_object_is_reported_and_ignored(text: str) -> None:
    spec = {"args": {"x": 1}, "argsJson": text}
    assert args.read(spec) == {"x": 1}
    found = args.problem(spec, container=False)
    assert found is not None
    assert found.startswith("argsJson is not a JSON object")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"n": 2**63}, "[args.n] is 9223372036854775808: an integer has at most 64 bits"),
        ({"n": -(2**63) - 1}, "[args.n] is -9223372036854775809"),
        ({"a": {"b c": [1, {"d": 2**64}]}}, '[args.a["b c"][1].d] is 18446744073709551616'),
        ({"n": 10**5000}, "[args.n] is an integer of more than 40 digits"),
        ({"n": [0.5, math.inf]}, "[args.n[1]] is not a finite number"),
        ({"n": math.nan}, "[args.n] is not a finite number"),
        # The first of several.
        ({"a": 2**63, "b": {"c": 2**64}}, "[args.a]"),
    ],
)
def test_numbers_that_cannot_be_stored(value: Any, words: str) -> None:
    for container in (False, True):
        found = args.problem({"args": value}, container=container)
        assert found is not None
        assert found.startswith(words)
        # What the API server may have rounded is not known, but how to keep it from that.
        assert found == f"{args.number_problem(value)}, in argsJson"


@pytest.mark.parametrize("value", [MOST_INTEGER, LEAST_INTEGER, 1.8e307, True, "1e400", None])
def test_numbers_that_can(value: Any) -> None:
    assert args.problem({"args": {"x": [value]}}, container=True) is None


def test_a_nul_is_refused_for_containers_only() -> None:
    for value in ({"t": "a\0"}, {"a\0": 1}, {"a": [{"b": "\0"}]}):
        assert args.problem({"args": value}, container=False) is None
        found = args.problem({"args": value}, container=True)
        assert found is not None
        assert "NUL" in found
    assert args.nul_problem({"a": [{"b": "\0"}]}).startswith("[args.a[0].b] has a NUL")  # type: ignore[union-attr]


def test_a_path_is_not_longer_than_people_read() -> None:
    found = args.number_problem({"x" * 5000: 2**64})
    assert found is not None
    assert len(found) < 300
