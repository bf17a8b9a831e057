"""Arguments: their sources and their conversion (docs/rest.md, "Requests")."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_api.http.arguments import Arguments, from_json, from_query
from corejob_api.http.errors import ApiError


def refusal(call: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ApiError) as caught:
        call(*args, **more)
    assert caught.value.status == 400
    return caught.value.text


@pytest.mark.parametrize("word", ["yes", "Y", "on", "TRUE", "t", "1", True])
def test_words_for_true(word: Any) -> None:
    assert Arguments({"x": word}).flag("x", default=False) is True


@pytest.mark.parametrize("word", ["no", "N", "off", "False", "f", "0", False])
def test_words_for_false(word: Any) -> None:
    assert Arguments({"x": word}).flag("x", default=True) is False


@pytest.mark.parametrize("value", [1, 0, 1.0, "maybe", "", [], {}])
def test_other_values_are_not_booleans(value: Any) -> None:
    arguments = Arguments({"x": value})
    assert refusal(arguments.flag, "x", default=True) == "parameter [x] expected as_type [bool]"


@pytest.mark.parametrize(("value", "number"), [("12", 12), (" -3 ", -3), (1.5, 1), (-1.5, -1)])
def test_whole_numbers(value: Any, number: int) -> None:
    assert Arguments({"x": value}).integer("x", 0) == number


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "9" * 100, 1e300, 10**999])
def test_an_integer_has_at_most_64_bits(value: Any) -> None:
    assert refusal(Arguments({"x": value}).integer, "x", 0) == (
        "parameter [x] must be an integer of at most 64 bits "
        "(-9223372036854775808 to 9223372036854775807)"
    )
    for most in (2**63 - 1, -(2**63)):
        assert Arguments({"x": str(most)}).integer("x", 0) == most


@pytest.mark.parametrize("value", ["1.5", "", "x", "1e3", True, [], "9" * 101])
def test_other_values_are_not_integers(value: Any) -> None:
    arguments = Arguments({"x": value})
    assert refusal(arguments.integer, "x", 0) == "parameter [x] expected as_type [int]"


def test_structures_are_values_or_their_json() -> None:
    assert Arguments({"x": '{"a": 1}'}).mapping("x") == {"a": 1}
    assert Arguments({"x": [1]}).sequence("x") == [1]
    assert Arguments().mapping("x") == {}
    assert Arguments().sequence("x") is None
    wrong = "parameter [x] expected as_type [dict]"
    for value in ("[]", "{", 1, "1", [1]):
        assert refusal(Arguments({"x": value}).mapping, "x") == wrong
    assert refusal(Arguments({"x": "{}"}).sequence, "x") == "parameter [x] expected as_type [list]"


def test_null_is_not_given_and_the_later_wins() -> None:
    arguments = Arguments({"a": "1", "b": "1"}, {"a": 2, "b": None})
    assert (arguments.raw("a"), arguments.raw("b")) == (2, "1")
    assert refusal(arguments.text, "c") == "Missing argument c"


def test_queries_take_the_last_of_a_name() -> None:
    assert from_query("a=1&a=2&b=&c=%C3%A4+x") == {"a": "2", "b": "", "c": "ä x"}


@given(st.binary(max_size=64))
def test_no_body_is_an_error(body: bytes) -> None:
    assert from_json(body) is None or isinstance(from_json(body), dict)


def test_a_body_that_is_nested_without_end() -> None:
    assert from_json(b'{"a":' + b"[" * 100_000) is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"x": NaN}', "x.x"),
        ('{"x": [1, -Infinity]}', "x.x[1]"),
        ('{"a b": {"c": 1e400}}', 'x["a b"].c'),
        ('{"n": -' + "9" * 5000 + "}", "x.n"),
    ],
)
def test_numbers_that_json_has_not_are_named(text: str, path: str) -> None:
    body = from_json(b'{"x": ' + text.encode() + b"}")
    assert body is not None
    for source in (body, {"x": text}):
        assert refusal(Arguments(source).mapping, "x").startswith(
            f"parameter [x]: [{path}] is not a finite number"
        )
    in_a_list = from_json(b'{"x": [' + text.encode() + b"]}")
    assert in_a_list is not None
    assert "is not a finite number" in refusal(Arguments(in_a_list).sequence, "x")


HALF = "has half of a surrogate pair, which is not valid Unicode; leave it out"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (r'{"day": "x\ud83d"}', "x.day"),
        (r'{"day": ["ok", "\udc00y"]}', "x.day[1]"),
        (r'{"a": {"\ud800": 1}}', "x.a"),
        (r'{"n": 1e400, "day": "\ud83d"}', None),
    ],
)
def test_half_of_a_surrogate_pair_is_named(text: str, path: str | None) -> None:
    body = from_json(b'{"y": "kept", "x": ' + text.encode() + b"}")
    assert body is not None
    assert Arguments(body).text("y") == "kept"
    for source in (body, {"x": text}):
        said = refusal(Arguments(source).mapping, "x")
        if path is None:
            assert said.startswith("parameter [x]: [x.n] is not a finite number")
        else:
            assert said == f"parameter [x]: [{path}] {HALF}"


def test_a_text_with_half_of_a_surrogate_pair_is_refused() -> None:
    body = from_json(rb'{"x": "\ud83d", "list": ["\ud83d"], "y": "\ud83d\ude00", "\ud83d": 1}')
    assert body is not None
    arguments = Arguments(body)
    for get in (arguments.text, arguments.optional_text, arguments.raw):
        assert refusal(get, "x") == f"parameter [x]: [x] {HALF}"
    assert f"[list[0]] {HALF}" in refusal(arguments.sequence, "list")
    assert arguments.text("y") == "\U0001f600"


@pytest.mark.parametrize("levels", [1000, 5000, 100_000])
def test_an_object_that_is_nested_too_deep_is_refused(levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    for body in (b'{"x": ' + deep + b"}", b' {"n": NaN, "x": ' + deep + b"}"):
        assert refusal(from_json, body) == (
            "the body is nested too deep: args and filters have at most 64 levels"
        )
    arguments = Arguments({"x": b'{"x": %s}'.replace(b"%s", deep).decode()})
    assert refusal(arguments.mapping, "x") in {
        "parameter [x] is nested deeper than 64 levels",
        "parameter [x] expected as_type [dict]",  # a text of more than 64 KiB
    }


@pytest.mark.parametrize("digits", [19, 20, 21, 300, 999])
def test_long_integers_are_read_as_they_are(digits: int) -> None:
    assert from_json(b'{"x": ' + b"9" * digits + b"}") == {"x": int("9" * digits)}


@pytest.mark.parametrize("text", ["NaN", "1e400", "-Infinity", "9" * 5000])
def test_a_non_finite_number_is_neither_an_integer_nor_a_boolean(text: str) -> None:
    body = from_json(b'{"x": ' + text.encode() + b"}")
    assert body is not None
    assert refusal(Arguments(body).integer, "x", 0) == "parameter [x] expected as_type [int]"
    assert (
        refusal(Arguments(body).flag, "x", default=False) == "parameter [x] expected as_type [bool]"
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": NaN',
        b'{"x": NaN, }',
        b'{"x": nan}',
        b'{"x": NaN, "y": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"x": NaN, "y": ' + b"[" * 100_000,
        b'{"x": "\\ud800", }',
        b'["\\ud800"]',
        b"[" * 5000 + b"]" * 5000,
        '{"x": NaN}'.encode("utf-16"),
        b"NaN",
        b"[NaN]",
    ],
)
def test_a_body_that_is_not_a_json_object_has_no_arguments(body: bytes) -> None:
    assert from_json(body) is None
