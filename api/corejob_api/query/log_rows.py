"""JSON form of log records (docs/rest.md)."""

from typing import Any, Final, NamedTuple

from corejob import timestamps
from corejob_journal.store import LogRecord, OutputLine

LEVELS: Final = {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "INFO": 20, "DEBUG": 10}
OUTPUT_LEVEL: Final = 20
"""Level of printed lines for the filters."""
DIGITS: Final = 12
END: Final = 2**62
"""More than the number of any record."""


def number(seq: int) -> str:
    """Return the `_id` of a record or the id of a frame; fixed width, so that they sort as text."""
    return f"{seq:0{DIGITS}d}"


class Position(NamedTuple):
    """A position in a log with printed output.

    Attributes:
        seq: Number of the last record; 0: before the first one.
        printed: Number of the last printed line; None: unknown.
    """

    seq: int
    printed: int | None = None

    @property
    def id(self) -> str:
        """The id of a frame at this position, and the `_id` of a printed line."""
        return number(self.seq) if self.printed is None else f"{number(self.seq)}.{self.printed}"


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


def output_row(line: OutputLine) -> dict[str, Any]:
    """Return a printed line as a JSON object: a record of level INFO with the field `output`."""
    return {
        "_id": Position(line.after_seq, line.seq).id,
        "created": timestamps.iso(timestamps.from_epoch(line.epoch)),
        "epoch": line.epoch,
        "level": "INFO",
        "levelno": OUTPUT_LEVEL,
        "message": line.text,
        "output": line.channel,
        "identifier": line.job_id,
        "qual_name": line.qual_name,
        "hostname": line.hostname,
        "username": line.username,
    }
