"""The JSON schema of a template's args (draft 2020-12), checked so that none hangs the server.

Whoever may write a CoreJobTemplate writes the schema. So regular expressions are RE2's, nothing is
fetched from anywhere, and each check has a time limit and a thread of its own.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from corejob_api.errors import cut
from corejob_api.query import patterns
from corejob_api.query.values import key

_LIMIT_S: Final = 1.0
_MAX_WORDS: Final = 300
_MOST_STEPS: Final = 2**26
"""Of a search, characters times program: about a second at worst."""
_PATTERNED: Final = "patternProperties"
_compiled = lru_cache(512)(patterns.regex)
_deadline: ContextVar[float] = ContextVar("deadline")


class BadSchemaError(Exception):
    """The schema itself is no good; the message says why."""


class ArgsSchema:
    """A schema, compiled when it is first needed."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._validator: Any = None

    def is_of(self, schema: Any) -> bool:
        """True if it is made of an equal schema, so that it need not be compiled again."""
        return bool(self._schema == schema)

    async def problem(self, args: Mapping[str, Any]) -> str | None:
        """Why the args do not fit, as a sentence that names the place; None if they do.

        Raises:
            BadSchemaError: Nobody can say, since the schema is broken or takes too long.
        """
        return await asyncio.to_thread(self._problem, args)

    def _problem(self, args: Mapping[str, Any]) -> str | None:
        _deadline.set(time.monotonic() + _LIMIT_S)
        try:
            if self._validator is None:
                self._validator = _compile(self._schema)
            error = best_match(self._validator.iter_errors(dict(args)))
        except _TooLongError:
            raise BadSchemaError(f"a check against it takes longer than {_LIMIT_S:.0f} s") from None
        except SchemaError as problem:
            raise BadSchemaError(cut(problem.message, _MAX_WORDS)) from None
        except Unresolvable as problem:
            raise BadSchemaError(
                f"it refers to what is not in it: {cut(str(problem), _MAX_WORDS)}"
            ) from None
        except RecursionError:
            raise BadSchemaError("it refers to itself without end") from None
        except Exception as problem:  # whatever a library makes of somebody's schema
            words = cut(f"{type(problem).__name__}: {problem}", _MAX_WORDS)
            raise BadSchemaError(f"it can't be checked: {words}") from None
        return None if error is None else _sentence(error)


class _TooLongError(Exception):
    """The time is up."""


def _compile(schema: Any) -> Any:
    _VALIDATOR.check_schema(schema)
    _inspect(schema)
    return _VALIDATOR(schema, registry=EMPTY_REGISTRY)


def _inspect(part: Any) -> None:
    """Compile every regular expression, so that a bad one is the schema's fault, not the args'."""
    if isinstance(part, list):
        for item in part:
            _inspect(item)
    if not isinstance(part, dict):
        return
    found = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
    if isinstance(part.get(_PATTERNED), dict):
        found += part[_PATTERNED]
        if "unevaluatedProperties" in part:
            # jsonschema would match those by the standard library's `re`, which may never end.
            raise BadSchemaError(f"unevaluatedProperties beside {_PATTERNED} is not supported")
    for pattern in found:
        try:
            patterns.regex(pattern)
        except ValueError as error:
            raise BadSchemaError(f"pattern [{cut(pattern, _MAX_WORDS)}]: {error}") from None
    for item in part.values():
        _inspect(item)


def _sentence(error: ValidationError) -> str:
    where = "/".join(str(part) for part in error.absolute_path)
    words = cut(error.message, _MAX_WORDS)
    return f"[{where}] {words}" if where else words


def _timed(keyword: Any) -> Any:
    """A keyword's check that looks at the clock first: many small steps make up every long one."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        for error in keyword(validator, value, instance, schema) or ():
            _look_at_clock()
            yield error

    def start(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _look_at_clock()
        return check(validator, value, instance, schema)

    return start


def _look_at_clock() -> None:
    if time.monotonic() > _deadline.get():
        raise _TooLongError


def _found(pattern: str, text: str) -> bool:
    """Whether a text has a match."""
    _look_at_clock()
    search = _compiled(pattern)
    if search.program * len(text) > _MOST_STEPS:
        raise _TooLongError
    return search(text)


def _pattern(
    validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, rules: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, rule in rules.items():
        for name, value in instance.items():
            if _found(pattern, name):
                yield from validator.descend(value, rule, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, rule: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    rules = schema.get(_PATTERNED, {})
    named = schema.get("properties", {})
    extras = [
        name
        for name in instance
        if name not in named and not any(_found(pattern, name) for pattern in rules)
    ]
    if isinstance(rule, dict):
        for name in extras:
            yield from validator.descend(instance[name], rule, path=name)
    elif not rule and extras:
        names = ", ".join(repr(name) for name in extras)
        yield ValidationError(f"not allowed here: {names}")


def _unique_items(
    validator: Any, unique: bool, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if unique and validator.is_type(instance, "array"):
        seen = {key(item) for item in instance}
        if len(seen) != len(instance):
            yield ValidationError(f"{json.dumps(instance)} has equal items")


_OURS: Final = {
    "pattern": _pattern,
    _PATTERNED: _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_VALIDATOR: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {name: _timed(check) for name, check in {**Draft202012Validator.VALIDATORS, **_OURS}.items()},
)
