"""Typed arguments from words of the command line: `k=v`, `k:=json`, `k=@file`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Json = Mapping[str, Any]

_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})
_UNIONS: Final = ("anyOf", "oneOf", "allOf")


class BadArgumentError(ValueError):
    """A word of the command line is no argument, or its value does not fit the schema."""


def parse(words: Iterable[str], schema: Json | None) -> dict[str, Any]:
    """Return the arguments of a job.

    Args:
        words: `name=text`, typed by the schema; `name:=json`; `name=@file` and `name:=@file`, with
            the text or the JSON of a file.
        schema: JSON schema of the args; None: JSON if it parses, else text.

    Raises:
        BadArgumentError: A word is malformed, or a value does not fit; the message names it.
    """
    args: dict[str, Any] = {}
    for word in words:
        name, separator, text = word.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not separator or not name:
            raise BadArgumentError(f"expected name=value or name:=json, got {word!r}")
        if name in args:
            raise BadArgumentError(f"argument {name} is given twice")
        if text.startswith("@"):
            text = _read(name, text[1:])
        if is_json:
            args[name] = _json(name, text)
        else:
            args[name] = value(name, text, _property(schema, name))
    return args


def _property(schema: Json | None, name: str) -> Json | None:
    """Return the schema of a property; None if the schema has none."""
    properties = (schema or {}).get("properties")
    found = properties.get(name) if isinstance(properties, Mapping) else None
    return found if isinstance(found, Mapping) else None


def value(name: str, text: str, schema: Json | None) -> Any:
    """Return the value of a text, typed by the schema of its property.

    Raises:
        BadArgumentError: The text has no value of the schema's types.
    """
    choices = [] if schema is None else list(_choices(schema))
    for choice in choices:
        if text == (choice if isinstance(choice, str) else json.dumps(choice)):
            return choice
    kinds = [] if schema is None else list(dict.fromkeys(_kinds(schema)))
    if not kinds and not choices:
        return _guess(text)
    # A text fits "string" always, so the other types are tried first.
    for kind in sorted(kinds, key=lambda each: each == "string"):
        found = _typed(kind, text)
        if found is not _NOTHING:
            return found
    expected = " or ".join(kinds) or "one of " + ", ".join(map(json.dumps, choices))
    raise BadArgumentError(f"argument {name} expects {expected}, got {text!r}")


def json_object(source: str, text: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        BadArgumentError: The text is no JSON object; the message names its source.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadArgumentError(f"{source} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadArgumentError(f"{source} is not a JSON object")
    return found


_NOTHING: Final = object()


def _typed(kind: str, text: str) -> Any:
    word = text.strip()
    match kind:
        case "string":
            return text
        case "boolean":
            lower = word.lower()
            return True if lower in _TRUE else False if lower in _FALSE else _NOTHING
        case "null":
            return None if word in {"null", ""} else _NOTHING
    found = _parsed(word)
    fits = {
        "integer": isinstance(found, int) and not isinstance(found, bool),
        "number": isinstance(found, int | float) and not isinstance(found, bool),
        "array": isinstance(found, list),
        "object": isinstance(found, dict),
    }
    return found if fits.get(kind, False) else _NOTHING


def _guess(text: str) -> Any:
    found = _parsed(text)
    return text if found is _NOTHING else found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return _NOTHING


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _json(name: str, text: str) -> Any:
    found = _parsed(text)
    if found is _NOTHING:
        raise BadArgumentError(f"argument {name} is not JSON: {text[:100]!r}")
    return found


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgumentError(f"argument {name}: can't read the file {path}: {error}") from None


def _kinds(schema: Json) -> Iterator[str]:
    """Yield the types that a schema names, those of its alternatives included."""
    kind = schema.get("type")
    yield from [kind] if isinstance(kind, str) else kind or []
    for part in _parts(schema):
        yield from _kinds(part)


def _choices(schema: Json) -> Iterator[Any]:
    """Yield the values that a schema lists, those of its alternatives included."""
    yield from schema.get("enum") or []
    if "const" in schema:
        yield schema["const"]
    for part in _parts(schema):
        yield from _choices(part)


def _parts(schema: Json) -> Iterator[Json]:
    for word in _UNIONS:
        for part in schema.get(word) or []:
            if isinstance(part, Mapping):
                yield part
