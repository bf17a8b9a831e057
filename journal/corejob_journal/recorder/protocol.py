"""What a line says, by docs/job-protocol.md: typed events, or a text as it is."""

import json
import math
import re
from typing import Any, Final

import msgspec

from corejob_journal.store.records import NewRecord

CONTINUED: Final = " [continued]"
_LEVELS: Final = {
    "DEBUG": 10,
    "INFO": 20,
    "WARN": 30,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
    "FATAL": 50,
}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEBUG: Final = 10
_INFO: Final = 20
_MOST_LEVEL: Final = 100


class _Event(msgspec.Struct, tag_field="type", kw_only=True):
    core4: int
    n: int
    time: float = 0.0


class Log(_Event, tag="log", kw_only=True):
    """A log record."""

    message: str
    level: str | int = "INFO"
    exception: dict[str, Any] | None = None


class Progress(_Event, tag="progress", kw_only=True):
    """The job's progress."""

    value: float
    message: str | None = None


class Output(_Event, tag="output", kw_only=True):
    """A line that a core4 job printed."""

    text: str
    stream: str = "stdout"


class Source(_Event, tag="source", kw_only=True):
    """A source that the job works on."""

    name: str


class Cookie(_Event, tag="cookie", kw_only=True):
    """A change in the key-value store."""

    key: str
    value: Any = None


class Done(_Event, tag="done", kw_only=True):
    """The last line."""

    state: str = ""


class Plain(msgspec.Struct):
    """A line that is no event. `n` is 0, or its number if it claims to be an event of ours."""

    message: str
    levelno: int = _INFO
    n: int = 0


Event = Log | Progress | Output | Source | Cookie | Done | Plain
_TYPED: Final = msgspec.json.Decoder(Log | Progress | Output | Source | Cookie | Done)
_MINE: Final = b'{"core4"'


def parse(body: bytes) -> Event:
    """What a whole line says. Nothing is refused: what can't be read is a text."""
    if body.startswith(_MINE):
        try:
            event = _TYPED.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _odd(body)
        return event if event.core4 == 1 and _is_number(event.n) else Plain(text_of(body))
    if body.startswith(b"{"):
        return _odd(body)
    return Plain(text_of(body))


def text_of(body: bytes) -> str:
    r"""The bytes as a text that any database and any JSON reader takes: `\xff`, `\x00`."""
    return clean(body.decode("utf-8", "backslashreplace"))


def clean(text: str) -> str:
    """The text with escapes for what UTF-8 (lone surrogates) or PostgreSQL (NUL) can't hold."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    if not text.isascii():
        text = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def record(event: Log, n: int | None, epoch: float) -> NewRecord:
    """A log event as a record."""
    level = event.level
    if isinstance(level, str):
        levelno = _LEVELS.get(level.upper(), _INFO)
    else:
        levelno = min(max(0, level), _MOST_LEVEL)
    return NewRecord(n, epoch, levelno, clean(event.message), event.exception)


def _odd(body: bytes) -> Event:
    """JSON that is no event as our runtime writes it: foreign, malformed, or of a later version."""
    try:
        # Python's own reader also takes NaN and lone surrogates.
        value = _tidy(json.loads(body.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return Plain(text_of(body))
    if not isinstance(value, dict):
        return Plain(text_of(body))
    if value.get("core4") == 1:
        return _strange_event(value, body)
    message = value.get("message", value.get("msg"))
    if not isinstance(message, str):
        return Plain(text_of(body))
    level = next((value[key] for key in ("level", "severity", "levelname") if key in value), "INFO")
    return Plain(message, _LEVELS.get(str(level).upper(), _INFO))


def _strange_event(value: dict[str, Any], body: bytes) -> Event:
    try:
        event = msgspec.convert(value, Log | Progress | Output | Source | Cookie | Done)
    except msgspec.ValidationError:
        # Its number counts, so that no gap is seen where none is; the text is kept.
        n = value.get("n")
        if not isinstance(n, int) or not _is_number(n):
            return Plain(text_of(body))
        return Plain(text_of(body), _DEBUG, n)
    return event if _is_number(event.n) else Plain(text_of(body))


def _is_number(n: int) -> bool:
    return 0 < n < 2**62


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
