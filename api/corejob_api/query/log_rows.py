"""JSON form of log records (docs/rest.md)."""

from typing import Any, Final

from corejob import timestamps
from corejob_journal.store import LogRecord

LEVELS: Final = {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "INFO": 20, "DEBUG": 10}
DIGITS: Final = 12


def number(seq: int) -> str:
    """Return the `_id` of a record or the id of a frame; fixed width, so that they sort as text."""
    return f"{seq:0{DIGITS}d}"


def level(levelno: int) -> str:
    """Return the name of a level; a number between two levels has the lower one's name."""
    return next((name for name, least in LEVELS.items() if levelno >= least), "DEBUG")


def row(record: LogRecord) -> dict[str, Any]:
    """Return a record as a JSON object."""
    fields: dict[str, Any] = {
        "_id": number(record.seq),
        "created": timestamps.iso(timestamps.from_epoch(record.epoch)),
        "epoch": record.epoch,
        "level": level(record.levelno),
        "levelno": record.levelno,
        "message": record.message,
        "identifier": record.job_id,
        "qual_name": record.qual_name,
        "hostname": record.hostname,
        "username": record.username,
    }
    if record.exception is not None:
        fields["exception"] = record.exception
    return fields
