"""Parse log lines by docs/job-protocol.md into typed events, or into plain text."""

import logging
import math
import re
from typing import Any, Final, TypeGuard

import msgspec

from corejob.exits import reported
from corejob.nesting import MAX_VALUE_DEPTH, is_deep
from corejob.texts import clean
from corejob_journal.recorder.ingest import jsonlines
from corejob_journal.store.records import NewRecord

log = logging.getLogger(__name__)

CONTINUED: Final = " [continued]"
_DEBUG: Final = 10
_INFO: Final = 20
_WARNING: Final = 30
_NUMBERED: Final = re.compile(rb'\{"core4":\s*1,\s*"n":\s*([0-9]{1,18})\s*[,}]')
_MOST_LEVEL: Final = 100
_LEVELS: Final[dict[str | int, int]] = {
    "DEBUG": 10,
    "INFO": 20,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
}
"""The levels that our runtime writes; any other takes several times as long to recognise."""


class _ProtocolEvent(msgspec.Struct, tag_field="type", kw_only=True):
    core4: int
    n: int
    time: float = 0.0


class LogEvent(_ProtocolEvent, tag="log", kw_only=True, forbid_unknown_fields=True):
    """A log record; a line with other fields is read by `_strange_event`, which keeps them."""

    message: str
    level: str | int = "INFO"
    exception: dict[str, Any] | None = None


class ProgressEvent(_ProtocolEvent, tag="progress", kw_only=True):
    """The job's progress."""

    value: float
    message: str | None = None


class OutputEvent(_ProtocolEvent, tag="output", kw_only=True):
    """A line that a core4 job printed."""

    text: str
    stream: str = "stdout"


class SourceEvent(_ProtocolEvent, tag="source", kw_only=True):
    """A source that the job works on."""

    name: str


class CookieEvent(_ProtocolEvent, tag="cookie", kw_only=True):
    """A change in the key-value store."""

    key: str
    value: Any = None


class DoneEvent(_ProtocolEvent, tag="done", kw_only=True):
    """The runtime's last line."""

    state: str = ""


class PlainLine(msgspec.Struct):
    """A line that is not a valid event.

    `n` is the line's number if it claims to be an event of the protocol, else 0.
    """

    message: str
    levelno: int = _INFO
    n: int = 0
    exception: dict[str, Any] | None = None


_Typed = LogEvent | ProgressEvent | OutputEvent | SourceEvent | CookieEvent | DoneEvent
Event = _Typed | PlainLine
_TYPED: Final = msgspec.json.Decoder(_Typed)
_MINE: Final = b'{"core4"'
_LOG: Final = ("core4", "n", "type", "time", "level", "message", "exception")
"""The fields of a `LogEvent`."""


def parse(body: bytes) -> Event:
    """Parse a complete line. Never raises: a line that can't be parsed is plain text."""
    if not body.startswith(b"{"):
        return PlainLine(text_of(body))
    try:
        return _event(body) if body.startswith(_MINE) else _odd(body)
    except Exception as error:
        # One line must not end the log. Keep its number, so that no false gap is reported.
        deep = isinstance(error, RecursionError)
        log.debug("a line can't be read: %s", error, exc_info=not deep)
        number = _NUMBERED.match(body)
        return PlainLine(text_of(body), _WARNING, int(number[1]) if number is not None else 0)


def _event(body: bytes) -> Event:
    try:
        event = _TYPED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _odd(body)
    return event if event.core4 == 1 and _is_number(event.n) else PlainLine(text_of(body))


def last_number(message: str | None) -> int | None:
    """Return the number of the log's last line that a termination message tells, or None."""
    lines = reported(message).get("lines")
    return lines if _is_number(lines) else None


def text_of(body: bytes) -> str:
    r"""Decode bytes to text that any database and JSON parser accepts; escape as `\xff`, `\x00`."""
    return clean(body.decode("utf-8", "backslashreplace"))


def record(event: LogEvent, n: int | None, epoch: float) -> NewRecord:
    """Convert a log event to a record."""
    levelno, message = _LEVELS.get(event.level), event.message
    if levelno is None:
        levelno, exact = _level(event.level)
        if not exact:
            message = jsonlines.with_fields(message, {"level": event.level})
    return NewRecord(n, epoch, levelno, clean(message), _exception(event.exception))


def _level(level: str | int) -> tuple[int, bool]:
    """Return a level's number and True if it says all that the level does."""
    if isinstance(level, str):
        # `int` refuses some digits of `isdigit`, such as ², and more than 4,300 of any.
        if not (level.isascii() and level.isdecimal()):
            return jsonlines.level_of(level) or (_INFO, False)
        digits = level.lstrip("0")[: len(str(_MOST_LEVEL)) + 1]
        level = int(digits or "0")
    return min(max(0, level), _MOST_LEVEL), 0 <= level <= _MOST_LEVEL


def size(value: Any) -> int:
    """Return the size of a value as JSON, in bytes."""
    return len(msgspec.json.encode(value))


def _exception(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None or not is_deep(value):
        return value
    info = f"an exception that is nested deeper than {MAX_VALUE_DEPTH} levels is not kept"
    return {"info": info, "text": []}


def _odd(body: bytes) -> Event:
    """Parse JSON that is not an event of our runtime: foreign, malformed, or of a later version."""
    try:
        # Python's own parser also accepts NaN and lone surrogates.
        value = jsonlines.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        if _NUMBERED.match(body) and body.endswith(b"}"):
            raise  # the line is complete, so its number counts
        return PlainLine(text_of(body))
    if not isinstance(value, dict):
        return PlainLine(text_of(body))
    if value.get("core4") == 1:
        return _strange_event(_tidy(value), body)
    parsed = jsonlines.read(value)
    message = clean(parsed.message) if parsed.message is not None else text_of(body)
    return PlainLine(message, parsed.levelno, 0, _tidy(parsed.exception))


def _strange_event(value: dict[str, Any], body: bytes) -> Event:
    # A job's own logger may have fields that our runtime's does not have.
    known = value if value.get("type") != "log" else {k: value[k] for k in _LOG if k in value}
    try:
        event = msgspec.convert(known, _Typed)
    except msgspec.ValidationError:
        # Keep the number, so that no false gap is reported, and the text.
        n = value.get("n")
        if not _is_number(n):
            return PlainLine(text_of(body))
        return PlainLine(text_of(body), _DEBUG, n)
    if isinstance(event, LogEvent) and len(known) < len(value):
        more = {key: field for key, field in value.items() if key not in known}
        event.message = jsonlines.with_fields(event.message, more)
    return event if _is_number(event.n) else PlainLine(text_of(body))


def _is_number(n: Any) -> TypeGuard[int]:
    """True for a line's number; a bool is an `int` of Python, but not of PostgreSQL."""
    return isinstance(n, int) and not isinstance(n, bool) and 0 < n < 2**62


def _tidy(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _tidy(item) for key, item in value.items()}
    return value
