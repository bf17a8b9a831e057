"""Parse JSON lines of other loggers: message, level, stack trace, and all other fields.

Supports pino, bunyan, winston (Node.js), slog, zap, logrus, zerolog (Go), structlog,
python-json-logger, ECS loggers (Python, Java), Serilog (.NET), GELF and Google Cloud Logging.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_MESSAGE_KEYS: Final = (
    "message",
    "msg",
    "event",
    "@m",
    "@mt",
    "renderedmessage",
    "messagetemplate",
    "textpayload",
    "short_message",
)
_LEVEL_KEYS: Final = (
    "levelname",
    "level",
    "severity",
    "lvl",
    "loglevel",
    "log.level",
    "log_level",
    "severitytext",
    "@l",
)
_STACK_KEYS: Final = (
    "stack",
    "stack_trace",
    "stacktrace",
    "traceback",
    "exc_info",
    "exc_text",
    "exception",
    "throwable",
    "thrown",
    "@x",
    "error.stack_trace",
    "error.stack",
    "exception.stacktrace",
)
_ERROR_KEYS: Final = ("err", "error", "exception", "exc", "cause", "thrown")
"""Keys of objects that may have a stack trace of their own."""
_INNER_STACK_KEYS: Final = ("stack", "stack_trace", "stacktrace", "traceback", "trace")

_SAME: Final = {
    "debug": 10,
    "info": 20,
    "information": 20,
    "warn": 30,
    "warning": 30,
    "err": 40,
    "error": 40,
    "crit": 50,
    "critical": 50,
    "fatal": 50,
}
"""Levels with an exact equivalent."""
_NEAR: Final = {
    "notset": 10,
    "all": 10,
    "trace": 10,
    "verbose": 10,
    "silly": 10,
    "fine": 10,
    "finer": 10,
    "finest": 10,
    "config": 20,
    "http": 20,
    "default": 20,
    "notice": 20,
    "severe": 40,
    "panic": 50,
    "dpanic": 50,
    "alert": 50,
    "emerg": 50,
    "emergency": 50,
}
"""Levels without an exact equivalent; their word is kept as a field."""
_WORD: Final = re.compile(r"([a-z]+)([+-][0-9]{1,3})?")
_NUMBER: Final = re.compile(r"[0-9]{1,3}")
_SYSLOG: Final = (50, 50, 50, 40, 30, 20, 20, 10)
_BARE: Final = re.compile(r"[^\s\"=\\\x00-\x1f]+")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A line of another logger.

    Attributes:
        message: The text, followed by all fields that are neither level nor stack trace; None if
            the line has no text.
        levelno: Python's number of the level; INFO if the line has none.
        exception: `{"info": str, "text": [str]}` if the line has a stack trace.
    """

    message: str | None
    levelno: int
    exception: dict[str, Any] | None = None


def loads(text: str) -> Any:
    """Parse JSON, including Python's extra constants such as NaN; keep duplicate keys.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: The text is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_with_all_keys)


def read(line: Mapping[str, Any]) -> Foreign:
    """Parse a logger's line."""
    rest = dict(line)
    names = {key.lower(): key for key in reversed(rest)}
    levelno = _take_level(rest, names)
    name = next((n for n in _MESSAGE_KEYS if isinstance(rest.get(names.get(n, "")), str)), None)
    if name is None:
        return Foreign(None, levelno)
    message = str(rest.pop(names[name]))
    exception = _take_stack(rest, names)
    if not rest:
        return Foreign(message, levelno, exception)
    return Foreign(with_fields(message, rest), levelno, exception)


def with_fields(message: str, fields: Mapping[str, Any]) -> str:
    """Return a message followed by fields."""
    text = " ".join(f"{_shown(key)}={_shown(value)}" for key, value in fields.items())
    joint = "\n" if "\n" in message else " "
    return f"{message}{joint}{text}" if message else text


def level_of(value: Any, *, syslog: bool = False) -> tuple[int, bool] | None:
    """Return Python's number of a level and True if it is an exact equivalent; None if no level.

    Args:
        value: A word, or a number as in pino and bunyan: 10 is trace, 60 is fatal.
        syslog: True if numbers are syslog severities: 0 is emergency, 7 is debug.
    """
    if isinstance(value, Mapping):
        level = level_of(value.get("name"), syslog=syslog)
        return (level[0], False) if level is not None else None  # it may have other fields
    if isinstance(value, str):
        value = value.strip().lower()
        if _NUMBER.fullmatch(value) is None:
            return _word_level(value)
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if syslog:
        return (_SYSLOG[int(value)], False) if 0 <= value < len(_SYSLOG) else None
    if not 10 <= value < 100:
        return None
    return min(50, max(10, int(value) // 10 * 10 - 10)), value in {20, 30, 40, 50, 60}


def _word_level(word: str) -> tuple[int, bool] | None:
    match = _WORD.fullmatch(word)
    if match is None:
        return None
    name, offset = match.groups()
    if name in _SAME:
        return _SAME[name], offset is None
    return (_NEAR[name], False) if name in _NEAR else None


def _take_level(rest: dict[str, Any], names: Mapping[str, str]) -> int:
    syslog = "short_message" in names
    for name in _LEVEL_KEYS:
        key = names.get(name)
        level = level_of(rest[key], syslog=syslog) if key is not None else None
        if key is not None and level is not None:
            if level[1]:
                del rest[key]
            return level[0]
    nested = rest.get("log")  # ECS
    level = level_of(nested.get("level")) if isinstance(nested, dict) else None
    return level[0] if level is not None else 20


def _take_stack(rest: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any] | None:
    for name in _STACK_KEYS:
        key = names.get(name)
        if key is not None and isinstance(rest.get(key), str) and rest[key]:
            return _exception(rest.pop(key), None)
    for name in _ERROR_KEYS:
        inner = rest.get(names.get(name, ""))
        if not isinstance(inner, dict):
            continue
        for stack in _INNER_STACK_KEYS:
            if isinstance(inner.get(stack), str) and inner[stack]:
                others = {key: value for key, value in inner.items() if key != stack}
                rest[names[name]] = others
                return _exception(inner[stack], others)
    return None


def _exception(stack: str, error: Mapping[str, Any] | None) -> dict[str, Any]:
    lines = [line for line in stack.splitlines() if line.strip()] or [""]
    info = lines[-1 if lines[0].startswith("Traceback") else 0].strip()
    kind = (error or {}).get("type") or (error or {}).get("name")
    if error is not None and isinstance(kind, str):
        info = f"{kind}: {error.get('message')}"
    return {"info": info, "text": stack.splitlines(keepends=True)}


def _shown(value: Any) -> str:
    """Return a key or value as text, quoted unless its end is unambiguous."""
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _with_all_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict that keeps duplicate keys as `key#2` …, since Go's loggers write them."""
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    fields = {}
    # A key's last number: counting from 1 for each of thousands of equal keys takes minutes.
    numbers: dict[str, int] = {}
    for key, value in pairs:
        name, number = key, numbers.get(key, 1)
        while name in fields:
            number += 1
            name = f"{key}#{number}"
        numbers[key] = number
        fields[name] = value
    return fields
