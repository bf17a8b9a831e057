"""Write a job's log records as lines of the protocol."""

from __future__ import annotations

import logging
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from core4.runner.wire import Wire

# A longer exception loses the first lines of its text.
MAX_EXCEPTION = 262_144


class JobLogger(logging.Logger):
    """The logger of a job, outside the logger hierarchy.

    Logging configurations of the job or of a library (`disable_existing_loggers`) can't disable it,
    and the root's handlers do not write its records again.
    """

    def __init__(self, name: str, handler: logging.Handler) -> None:
        super().__init__(name, logging.DEBUG)
        self.propagate = False
        self.addHandler(handler)

    def getChild(self, suffix: str) -> JobLogger:  # noqa: N802 - the base class's name
        """Return a logger for a part of the job, with the job's handler."""
        child = JobLogger(f"{self.name}.{suffix}", self.handlers[0])
        child.setLevel(self.level)
        return child


class WireHandler(logging.Handler):
    """Writes log records as lines of the protocol, including records that can't be formatted."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        message = message_of(record)
        if record.stack_info:
            message += "\n" + record.stack_info
        extra = {}
        if record.exc_info and record.exc_info[1] is not None:
            extra["exception"] = _exception(record.exc_info[1])
        fields = {"level": level_name(record.levelno)}
        self._wire.send_texts("log", "message", [message], fields, extra)


def message_of(record: logging.LogRecord) -> str:
    """Return the record's message; one that does not fit its arguments raises no error."""
    try:
        return record.getMessage()
    except Exception as error:
        return f"{_safe_repr(record.msg)} % {_safe_repr(record.args)} ({type(error).__name__})"


def level_name(levelno: int) -> str:
    """Return the protocol's level for any level number."""
    for level, name in ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO")):
        if levelno >= level:
            return name
    return "DEBUG"


def _exception(error: BaseException) -> dict[str, Any]:
    try:
        text = traceback.format_exception(error)
    except Exception:
        text = [_safe_repr(error)]
    info = _safe_repr(error)
    if len(info) > MAX_EXCEPTION // 8:
        info = info[: MAX_EXCEPTION // 8] + "…"
    size = 0
    for position in range(len(text) - 1, -1, -1):
        size += len(text[position]) * 3
        if size > MAX_EXCEPTION:
            rest = "".join(text[: position + 1])
            text = ["…" + rest[-MAX_EXCEPTION // 8 :], *text[position + 1 :]]
            break
    return {"info": info, "text": text}


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} whose repr() failed>"
