"""Names the result of a trial: state, exit code, last error, and the log's closing line."""

from __future__ import annotations

import time

from core4.error import CoreJobDeferred
from core4.runner.wire import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from core4.queue.context import JobContext

EXIT_COMPLETE = 0
EXIT_FAILED = 1
EXIT_DEFERRED = 75
EXIT_UNLOADABLE = 78
EXIT_KILLED = 143

MAX_TERMINATION_BYTES = 4_096
MAX_LAST_ERROR_BYTES = 524_288


class Outcome:
    """How a trial ended."""

    __slots__ = ("exit_code", "last_error", "level", "state", "tail")

    def __init__(
        self,
        state: str,
        exit_code: int,
        *,
        level: str,
        tail: str = "",
        last_error: dict[str, Any] | None = None,
    ) -> None:
        self.state = state
        self.exit_code = exit_code
        self.level = level
        self.tail = tail
        self.last_error = last_error

    def closing_line(self, seconds: float) -> str:
        """Return the log's last message."""
        return f"done execution with [{self.state}] after [{int(seconds)}] sec.{self.tail}"

    def done(self) -> dict[str, Any]:
        """Return the fields of the `done` event."""
        return {
            "state": self.state,
            "lastError": shorten(self.last_error, MAX_LAST_ERROR_BYTES),
        }

    def termination_message(self) -> bytes:
        """Return the termination message.

        It says `failed` of the last attempt as well: `error` there means a class that can't be
        loaded, and only the operator knows for sure which attempt is the last.
        """
        state = "failed" if self.exit_code == EXIT_FAILED else self.state
        message: dict[str, Any] = {"state": state}
        if self.last_error is not None:
            room = MAX_TERMINATION_BYTES - len(encode({**message, "lastError": 0}))
            message["lastError"] = shorten(self.last_error, room)
        return encode(message)


def complete() -> Outcome:
    """Return the outcome of a trial that did its work."""
    return Outcome("complete", EXIT_COMPLETE, level="INFO")


def failed(error: BaseException, *, attempts_left: int) -> Outcome:
    """Return the outcome of a trial that raised.

    Args:
        error: What it raised.
        attempts_left: The count before this trial.
    """
    last_error = describe(error)
    left = max(0, attempts_left - 1)
    lines = "".join(last_error["traceback"]).rstrip("\n")
    return Outcome(
        "failed" if left else "error",
        EXIT_FAILED,
        level="CRITICAL",
        tail=f" and [{left}] attempts to go: {last_error['exception']}\n{lines}",
        last_error=last_error,
    )


def deferred(error: CoreJobDeferred, *, seconds_left: float) -> Outcome:
    """Return the outcome of a trial that wants another one later."""
    reason = str(error)
    minutes, seconds = divmod(max(0, int(seconds_left)), 60)
    hours, minutes = divmod(minutes, 60)
    return Outcome(
        "deferred",
        EXIT_DEFERRED,
        level="INFO",
        tail=f" and [{hours}:{minutes:02}:{seconds:02}] to go: {reason}",
        last_error={"exception": reason, "timestamp": timestamp(), "traceback": None},
    )


def killed() -> Outcome:
    """Return the outcome of a trial that was told to stop."""
    last_error = {"exception": "JobKilledByWorker", "timestamp": timestamp(), "traceback": None}
    return Outcome("killed", EXIT_KILLED, level="ERROR", last_error=last_error)


def unloadable(error: BaseException) -> Outcome:
    """Return the outcome of a job that can't be started at all."""
    return Outcome("error", EXIT_UNLOADABLE, level="CRITICAL", last_error=describe(error))


def seconds_left(context: JobContext, elapsed: float) -> float:
    """Return how long a deferring job may still defer; the operator has the last word."""
    if context.defer_until is not None:
        from datetime import UTC, datetime  # noqa: PLC0415 - only when needed

        try:
            until = datetime.fromisoformat(context.defer_until)
        except ValueError:
            return context.defer_max
        return until.replace(tzinfo=until.tzinfo or UTC).timestamp() - time.time()
    return context.defer_max - elapsed


def timestamp() -> str:
    """Return the time as ISO 8601 in UTC without an offset."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06}"


def describe(error: BaseException) -> dict[str, Any]:
    """Return an exception as `lastError`, whatever it takes.

    Its own methods may raise, and after a MemoryError or with no free descriptor even the
    import that formats it may fail.
    """
    try:
        exception = repr(error)
    except Exception:
        exception = f"<{type(error).__name__} whose repr() failed>"
    try:
        import traceback  # noqa: PLC0415 - only when needed

        lines = traceback.format_exception(type(error), error, _job_frames(error))
    except Exception:
        lines = [exception]
    return {"exception": exception, "timestamp": timestamp(), "traceback": lines}


def _job_frames(error: BaseException) -> Any:
    """Return the traceback without the runner's own frames at its top, if others follow."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        if not frames.tb_frame.f_globals.get("__name__", "").startswith("core4.runner."):
            break
        frames = frames.tb_next
    return frames


def shorten(last_error: dict[str, Any] | None, limit: int) -> dict[str, Any] | None:
    """Return the error in so many bytes of JSON: first lines of the traceback go, then text."""
    if last_error is None or len(encode(last_error)) <= limit:
        return last_error
    short = dict(last_error)
    if short["traceback"]:
        # Entries can hold several lines; what is left begins at a line.
        lines = "".join(short["traceback"]).splitlines(keepends=True)
        room = limit - len(encode({**short, "traceback": []}))
        kept = len(lines)
        while kept and (room := room - len(encode({"": lines[kept - 1]}))) >= 0:
            kept -= 1
        short["traceback"] = lines[kept:]
    if len(encode(short)) > limit:
        short["exception"] = short["exception"][:limit] + "…"
    while len(encode(short)) > limit:
        text = short["exception"].removesuffix("…")
        excess = len(encode(short)) - limit
        # A character takes at most six bytes of JSON; cutting too little is tried again.
        short["exception"] = text[: max(0, len(text) - max(8, excess // 6))] + "…"
    return short
