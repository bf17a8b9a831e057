"""The result of a trial: state, exit code, last error, and the log's closing line."""

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
MOST_LINES = 2**62
MAX_LAST_ERROR_BYTES = 524_288


class Outcome:
    """The result of a trial."""

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
        """Return the log's last message.

        Args:
            seconds: Duration of the trial.
        """
        return f"done execution with [{self.state}] after [{int(seconds)}] sec.{self.tail}"

    def done(self) -> dict[str, Any]:
        """Return the fields of the `done` event."""
        return {
            "state": self.state,
            "lastError": shorten(self.last_error, MAX_LAST_ERROR_BYTES),
        }

    def termination_message(self, lines: int = 0) -> bytes:
        """Return the termination message.

        Args:
            lines: Number of the last line in the log, `done`; 0: not written yet.

        The state is `failed` for the last attempt too: `error` means that the class can't be
        loaded, and only the operator knows for sure which attempt is the last.
        """
        state = "failed" if self.exit_code == EXIT_FAILED else self.state
        message: dict[str, Any] = {"state": state}
        if self.last_error is not None:
            longest = {**message, "lastError": 0, "lines": MOST_LINES}
            room = MAX_TERMINATION_BYTES - len(encode(longest))
            message["lastError"] = shorten(self.last_error, room)
        if lines:
            message["lines"] = lines
        return encode(message)


def complete() -> Outcome:
    """Return the outcome of a trial that completed."""
    return Outcome("complete", EXIT_COMPLETE, level="INFO")


def failed(error: BaseException, *, attempts_left: int) -> Outcome:
    """Return the outcome of a trial that raised an exception.

    Args:
        error: The exception.
        attempts_left: Attempts left before this trial.
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
    """Return the outcome of a trial that deferred.

    Args:
        error: The deferral with its reason.
        seconds_left: Seconds for which the job may still defer.
    """
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
    """Return the outcome of a trial that was stopped by SIGTERM."""
    last_error = {"exception": "JobKilledByWorker", "timestamp": timestamp(), "traceback": None}
    return Outcome("killed", EXIT_KILLED, level="ERROR", last_error=last_error)


def unloadable(error: BaseException) -> Outcome:
    """Return the outcome of a job that can't be started."""
    return Outcome("error", EXIT_UNLOADABLE, level="CRITICAL", last_error=describe(error))


def seconds_left(context: JobContext, elapsed: float) -> float:
    """Return the seconds for which a job may still defer; the operator decides in the end.

    Args:
        context: The job's context.
        elapsed: Seconds since the trial began.
    """
    if context.defer_until is not None:
        from datetime import UTC, datetime  # noqa: PLC0415 - only when needed

        try:
            until = datetime.fromisoformat(context.defer_until)
        except ValueError:
            return context.defer_max
        return until.replace(tzinfo=until.tzinfo or UTC).timestamp() - time.time()
    return context.defer_max - elapsed


def timestamp() -> str:
    """Return the present time as ISO 8601 in UTC without an offset."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06}"


def describe(error: BaseException) -> dict[str, Any]:
    """Return an exception as `lastError`. Never raises.

    The exception's own methods may raise; after a MemoryError, or with no free descriptor, even the
    import of the formatter may fail.
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
    """Return the traceback without the runner's own frames at its top, unless only they exist."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        if not frames.tb_frame.f_globals.get("__name__", "").startswith("core4.runner."):
            break
        frames = frames.tb_next
    return frames


def shorten(last_error: dict[str, Any] | None, limit: int) -> dict[str, Any] | None:
    """Return the error shortened to `limit` bytes of JSON.

    The first lines of the traceback are dropped first, then the end of the exception's text.
    """
    if last_error is None or len(encode(last_error)) <= limit:
        return last_error
    short = dict(last_error)
    if short["traceback"]:
        # Traceback entries may have several lines; the rest must begin at a line.
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
        # A character takes at most six bytes of JSON; if the cut is too small, the loop repeats.
        short["exception"] = text[: max(0, len(text) - max(8, excess // 6))] + "…"
    return short
