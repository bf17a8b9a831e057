"""Frames of a stream, as bytes (docs/rest.md)."""

from enum import StrEnum
from typing import Any, Final

import msgspec

from corejob_api.query import log_rows
from corejob_journal.store import Gap, LogRecord, OutputLine

KEEP_ALIVE: Final = b": keep-alive\n\n"
_LINE_ENDS: Final = tuple(
    (char.encode(), f"\\u{ord(char):04x}".encode()) for char in ("\u0085", "\u2028", "\u2029")
)
"""Characters that many clients take for the end of a line, and their JSON escapes."""


FrameId = int | str
"""Number of a record, or the text of a `log_rows.Position`."""


class Event(StrEnum):
    """The types of frames."""

    STATE = "state"
    LOG = "log"
    OUTPUT = "output"
    GAP = "gap"
    LAGGED = "lagged"
    CLOSE = "close"
    SUMMARY = "summary"


class Mode(StrEnum):
    """Time of a record: before the follower connected, while the job ran, or after its end."""

    BEFORE = "prelog"
    LIVE = "watchlog"
    AFTER = "postlog"


def keep_alive(seq: int | None) -> bytes:
    """Return a keep-alive comment, with the number of the last record examined as id if given.

    An `id` without data dispatches no event, but clients store it (HTML standard, 9.2.6).
    """
    return KEEP_ALIVE if seq is None else f": keep-alive\nid: {log_rows.number(seq)}\n\n".encode()


def frame(event: Event, data: bytes, seq: FrameId | None = None) -> bytes:
    """Return a frame, with `event` first and `data` last, as clients of the original expect.

    Args:
        event: Type of the frame.
        data: Data, encoded by `encode`.
        seq: The last log record sent; None for a client that doesn't understand ids, and in a
            stream that can't be resumed.
    """
    text = seq if isinstance(seq, str) or seq is None else log_rows.number(seq)
    id_line = "" if text is None else f"id: {text}\n"
    return f"event: {event}\n{id_line}data: ".encode() + data + b"\n\n"


def encode(data: Any) -> bytes:
    """Return JSON in one line, also for clients that end lines at other Unicode characters."""
    text = msgspec.json.encode(data)
    # Most texts are ASCII; the search below takes half as long as the encoding.
    if text.isascii():
        return text
    for char, escaped in _LINE_ENDS:
        text = text.replace(char, escaped)
    return text


def encode_record(record: LogRecord) -> bytes:
    """Return a record as JSON without the closing brace.

    `log_frame` adds the mode, which differs by follower, and the brace.
    """
    return encode(log_rows.row(record))[:-1]


def log_frame(record: bytes, mode: Mode, seq: FrameId | None) -> bytes:
    """Return the frame of a record; `seq` as for `frame`."""
    return frame(Event.LOG, record + f',"mode":"{mode}"}}'.encode(), seq)


def output_frame(line: OutputLine, mode: Mode, frame_id: FrameId | None) -> bytes:
    """Return the frame of a printed line."""
    data = encode({**log_rows.output_row(line), "mode": str(mode)})
    return frame(Event.OUTPUT, data, frame_id)


def gap_frame(gap: Gap, frame_id: FrameId | None) -> bytes:
    """Return the frame of a gap: records are missing after `gap.after_seq`."""
    data = {
        "after": log_rows.number(gap.after_seq),
        "from": gap.first_n,
        "to": gap.last_n,
        "reason": gap.reason,
    }
    return frame(Event.GAP, encode(data), frame_id)
