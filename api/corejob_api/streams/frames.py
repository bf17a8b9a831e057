"""The frames of a stream, as bytes (contract section 3)."""

from enum import StrEnum
from typing import Any, Final

import msgspec

from corejob_api import records
from corejob_journal.store import Gap, LogRecord

KEEP_ALIVE: Final = b": keep-alive\n\n"
_LINE_ENDS: Final = tuple(
    (char.encode(), f"\\u{ord(char):04x}".encode()) for char in ("\u0085", "\u2028", "\u2029")
)
"""Characters at which many clients end a line, and how JSON spells them out."""


class Event(StrEnum):
    """The types of frames."""

    STATE = "state"
    LOG = "log"
    GAP = "gap"
    LAGGED = "lagged"
    CLOSE = "close"
    SUMMARY = "summary"


class Mode(StrEnum):
    """When a record was written, as its follower sees it."""

    BEFORE = "prelog"
    LIVE = "watchlog"
    AFTER = "postlog"


def alive(seq: int | None) -> bytes:
    """What a silent stream says: a comment, and how far it has come, if that is news.

    An `id` without data is no event, but clients remember it (HTML standard, 9.2.6).
    """
    return KEEP_ALIVE if seq is None else f": keep-alive\nid: {records.number(seq)}\n\n".encode()


def frame(event: Event, data: bytes, seq: int | None = None) -> bytes:
    """A frame, with `event` first and `data` last, as clients of the original read it.

    Args:
        event: Its type.
        data: Its data, of `encode`.
        seq: Number of the last log record sent; None for a client that knows no ids, and in a
            stream that can't be resumed.
    """
    place = "" if seq is None else f"id: {records.number(seq)}\n"
    return f"event: {event}\n{place}data: ".encode() + data + b"\n\n"


def encode(data: Any) -> bytes:
    """JSON in one line, whatever a client takes for the end of a line."""
    text = msgspec.json.encode(data)
    # Most is; the search takes as long as half of the encoding.
    if text.isascii():
        return text
    for char, escaped in _LINE_ENDS:
        text = text.replace(char, escaped)
    return text


def encode_record(record: LogRecord) -> bytes:
    """A record as JSON without its end: `log_frame` adds the mode, which differs by follower."""
    return encode(records.row(record))[:-1]


def log_frame(record: bytes, mode: Mode, seq: int | None) -> bytes:
    """The frame of a record; `seq` as of `frame`."""
    return frame(Event.LOG, record + f',"mode":"{mode}"}}'.encode(), seq)


def gap_frame(gap: Gap, *, ids: bool) -> bytes:
    """The frame that says that records are missing after `gap.after_seq`."""
    data = {
        "after": records.number(gap.after_seq),
        "from": gap.first_n,
        "to": gap.last_n,
        "reason": gap.reason,
    }
    return frame(Event.GAP, encode(data), gap.after_seq if ids else None)
