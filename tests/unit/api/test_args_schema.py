"""Schemas of args: valid args, broken schemas, and schemas that must not hang the server."""

from typing import Any

import pytest
from tests.support.signals import DEADLINE

from corejob_api.queue import args_schema
from corejob_api.queue.args_schema import ArgsSchema, BadSchemaError


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than the real limit for any schema."""
    monkeypatch.setattr(args_schema, "_LIMIT_S", DEADLINE)


async def problem(schema: Any, args: dict[str, Any]) -> str | None:
    return await ArgsSchema(schema).problem(args)


@pytest.mark.parametrize(
    ("schema", "args", "words"),
    [
        ({"type": "object"}, {"a": 1}, None),
        ({"required": ["a"]}, {}, "'a' is a required property"),
        ({"properties": {"a": {"items": {"type": "integer"}}}}, {"a": [1, "x"]}, "[a/1] 'x' is"),
        ({"additionalProperties": False, "properties": {"a": {}}}, {"a": 1}, None),
        ({"additionalProperties": False}, {"b": 1}, "not allowed here: 'b'"),
        ({"additionalProperties": {"type": "string"}}, {"b": 1}, "[b] 1 is not of type"),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x": 1}, None),
        ({"patternProperties": {"^x": {"const": 1}}}, {"x": 2}, "[x] 1 was expected"),
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": "bb"}, None),
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": "c"}, "does not match"),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, True, "1"]}, None),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"x": 1}, {"x": 1}]}, "equal items"),
        ({"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "number"}}},
         {"a": "x"}, "is not of type 'number'"),
        (True, {"a": 1}, None),
    ],
)  # fmt: skip
async def test_args(schema: Any, args: dict[str, Any], words: str | None) -> None:
    found = await problem(schema, args)
    if words is None:
        assert found is None
    else:
        assert words in (found or "")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"properties": {"a": {"pattern": "("}}}, "regex"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "pattern"),
        ({"$ref": "#/$defs/missing"}, "a reference"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "a reference"),
        ({"$ref": "#"}, "endlessly"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "not supported"),
        ("text", "text"),
    ],
)
async def test_broken_schemas(schema: Any, words: str) -> None:
    with pytest.raises(BadSchemaError, match=words.replace("(", r"\(")):
        await problem(schema, {"a": "x"})


async def test_schemas_that_would_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    defs: dict[str, Any] = {"d30": {}}
    for depth in range(30):
        following = {"$ref": f"#/$defs/d{depth + 1}"}
        defs[f"d{depth}"] = {"allOf": [following, following]}
    # 2^30 steps: without a limit the test itself would time out first.
    with monkeypatch.context() as hurried:
        hurried.setattr(args_schema, "_LIMIT_S", 1.0)
        with pytest.raises(BadSchemaError, match="longer than"):
            await problem({"$ref": "#/$defs/d0", "$defs": defs}, {})
    evil = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    assert "does not match" in (await problem(evil, {"a": "a" * 5000 + "b"}) or "")
    mixed = [value for i in range(20_000) for value in (i, str(i))]
    unique = {"properties": {"a": {"uniqueItems": True}}}
    assert await problem(unique, {"a": mixed}) is None
