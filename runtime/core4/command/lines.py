"""The lines of a followed job: records for stdout, the story for stderr."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core4.client.results import Close, Event, Gap, JobDocument, Lagged, Log, State
from core4.command import terminal, times

_LEVELS: Final = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
"""Colours of the levels (SGR); INFO has none."""
_PRINTED: Final = "36"
"""Colour of the channel in front of printed lines."""
_BAR: Final = 20


@dataclass(frozen=True, slots=True)
class Look:
    """The look of the records.

    Attributes:
        timestamps: `utc`, `local`, `since` (since the first record), or None for no times.
        prefix: True to begin each record with its level.
        colour: True for colours.
    """

    timestamps: str | None = None
    prefix: bool = True
    colour: bool = False


class Records:
    """Renders records of one job."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._first: datetime | None = None

    def text(self, record: Log) -> str:
        """Return a record as one or more lines, the traceback included."""
        message = terminal.clean(record.message, colour=self._look.colour)
        lines = [self._start(record) + message]
        if record.exception is not None:
            lines += [terminal.clean(line.rstrip("\n")) for line in record.exception.text]
        return "\n".join(lines)

    def _start(self, record: Log) -> str:
        parts: list[str] = []
        if self._look.timestamps is not None:
            parts.append(self._time(record.created))
        if self._look.prefix:
            level = f"{record.output or record.level:<8}"
            style = _PRINTED if record.output else _LEVELS.get(record.level)
            parts.append(f"\x1b[{style}m{level}\x1b[0m" if self._look.colour and style else level)
        return "".join(f"{part} " for part in parts)

    def _time(self, moment: datetime | None) -> str:
        if moment is None:
            return "-"
        self._first = self._first or moment
        match self._look.timestamps:
            case "local":
                return f"{moment.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
            case "since":
                return f"{(moment - self._first).total_seconds():9.3f}"
        return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def gap_line(gap: Gap) -> str:
    """Return the line of a gap."""
    lines = "lines are"
    if gap.first is not None:
        lines = f"lines {gap.first} to {'…' if gap.last is None else gap.last} are"
    return f"-- {lines} missing here: {terminal.one_line(gap.reason or 'unknown')} --"


def lagged_line(lagged: Lagged) -> str:
    """Return the line of a client that reads too slowly."""
    return f"-- you are {lagged.behind} lines behind; no line is left out --"


def state_line(job: JobDocument) -> str:
    """Return the sentence about a state of a job."""
    parts = [job.state]
    if job.state == "running":
        parts = [f"running, trial {job.trial or 1}"]
        if job.locked is not None and job.locked.hostname:
            parts.append(f"on {job.locked.hostname}")
    elif job.state in {"failed", "deferred"} and job.query_at is not None:
        left = job.attempts_left
        attempts = f" ({left} attempts left)" if job.state == "failed" and left is not None else ""
        parts = [f"{job.state}, next trial at {times.local(job.query_at)}{attempts}"]
    elif job.is_final and job.runtime is not None:
        parts = [f"{job.state} after {times.span(job.runtime)}"]
    if job.flag.removed:
        parts.append("(removed)")
    text = " ".join(parts)
    cause = _cause(job)
    return f"{text}: {cause}" if cause else text


def _cause(job: JobDocument) -> str:
    """Return why a job waits, or why it ended."""
    if job.state in {"running", "complete"}:
        return ""
    error = job.last_error.exception if job.last_error and job.state != "pending" else None
    text = job.message or error or ""
    word = f"{job.reason}: " if job.reason and job.reason not in text else ""
    return terminal.one_line(f"{word}{text}".removesuffix(": "))


def status(job: JobDocument) -> str:
    """Return the changing line: progress of a running job, else why it waits."""
    if job.state != "running":
        return state_line(job)
    value = min(1.0, max(0.0, job.prog.value))
    full = round(value * _BAR)
    bar = "█" * full + "░" * (_BAR - full)
    message = terminal.one_line(job.prog.message or "")
    return f"{bar} {value:4.0%} {message}".rstrip()


def as_object(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object: the server's data, with the type in `event`."""
    match event:
        case State(document=document):
            return {"event": "state", **document.raw}
        case Log():
            return {"event": "output" if event.output else "log", **event.raw}
        case Gap():
            return {"event": "gap", **event.raw}
        case Lagged():
            return {"event": "lagged", **event.raw}
        case Close():
            return {"event": "close", **event.counts}


def as_json(event: Event) -> str:
    """Return an event as one line of JSON."""
    return json.dumps(as_object(event), ensure_ascii=False)
