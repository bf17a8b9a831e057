"""Validation against the JSON schema of a template's args (draft 2020-12), limited in time.

The schema is untrusted: it is written by any author of a CoreJobTemplate. So RE2 runs its regular
expressions, no reference is fetched, and each check has a time limit and runs in a thread.
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

from corejob_api.http.errors import cut
from corejob_api.query import patterns
from corejob_api.query.values import key

_LIMIT_S: Final = 1.0
_MAX_TEXT: Final = 300
_MOST_STEPS: Final = 2**26
"""Limit of a regex search, characters times program size: about a second at worst."""
_PATTERNED: Final = "patternProperties"
_compiled = lru_cache(512)(patterns.regex)
_deadline: ContextVar[float] = ContextVar("deadline")


class BadSchemaError(Exception):
    """The schema itself is invalid or can't be checked; the message has the reason."""


class ArgsSchema:
    """A schema, compiled at the first check."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._validator: Any = None

    def is_of(self, schema: Any) -> bool:
        """Return True if the compiled schema equals `schema` and can be reused for it."""
        return bool(self._schema == schema)

    async def problem(self, args: Mapping[str, Any]) -> str | None:
        """Return the first problem of the args, with its path, or None if they are valid.

        Raises:
            BadSchemaError: The schema is invalid, or the check takes too long.
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
            raise BadSchemaError(cut(problem.message, _MAX_TEXT)) from None
        except Unresolvable as problem:
            raise BadSchemaError(
                f"a reference can't be resolved within it: {cut(str(problem), _MAX_TEXT)}"
            ) from None
        except RecursionError:
            raise BadSchemaError("it refers to itself endlessly") from None
        except Exception as problem:  # an untrusted schema may make the library raise any error
            reason = cut(f"{type(problem).__name__}: {problem}", _MAX_TEXT)
            raise BadSchemaError(f"it can't be checked: {reason}") from None
        return None if error is None else _sentence(error)


class _TooLongError(Exception):
    """The check has exceeded its time limit."""


def _compile(schema: Any) -> Any:
    _VALIDATOR.check_schema(schema)
    _inspect(schema)
    return _VALIDATOR(schema, registry=EMPTY_REGISTRY)


def _inspect(part: Any) -> None:
    """Compile every regular expression, so that a bad one is reported even if no args use it.

    Raises:
        BadSchemaError: A regular expression is invalid or not supported.
    """
    if isinstance(part, list):
        for item in part:
            _inspect(item)
    if not isinstance(part, dict):
        return
    expressions = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
    if isinstance(part.get(_PATTERNED), dict):
        expressions += part[_PATTERNED]
        if "unevaluatedProperties" in part:
            # jsonschema would match the patterns by `re`, which may take exponential time.
            raise BadSchemaError(f"unevaluatedProperties beside {_PATTERNED} is not supported")
    for pattern in expressions:
        try:
            patterns.regex(pattern)
        except ValueError as error:
            raise BadSchemaError(f"pattern [{cut(pattern, _MAX_TEXT)}]: {error}") from None
    for item in part.values():
        _inspect(item)


def _sentence(error: ValidationError) -> str:
    where = "/".join(str(part) for part in error.absolute_path)
    message = cut(error.message, _MAX_TEXT)
    return f"[{where}] {message}" if where else message


def _timed(keyword: Any) -> Any:
    """Wrap a keyword's check so that it checks the deadline before each step."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        for error in keyword(validator, value, instance, schema) or ():
            _check_deadline()
            yield error

    def start(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _check_deadline()
        return check(validator, value, instance, schema)

    return start


def _check_deadline() -> None:
    if time.monotonic() > _deadline.get():
        raise _TooLongError


def _has_match(pattern: str, text: str) -> bool:
    """Return True if a text has a match; raise `_TooLongError` if the search would take long."""
    _check_deadline()
    search = _compiled(pattern)
    if search.program * len(text) > _MOST_STEPS:
        raise _TooLongError
    return search(text)


def _pattern(
    validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _has_match(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, rules: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, rule in rules.items():
        for name, value in instance.items():
            if _has_match(pattern, name):
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
        if name not in named and not any(_has_match(pattern, name) for pattern in rules)
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
        different = {key(item) for item in instance}
        if len(different) != len(instance):
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
