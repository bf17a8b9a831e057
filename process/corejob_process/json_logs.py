"""Logging of the service's processes: one JSON object a line, on standard error."""

import logging
import sys

import msgspec

from corejob import timestamps


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": timestamps.render(timestamps.from_epoch(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def configure(level: str) -> None:
    """Log to standard error from `level` on.

    Raises:
        ValueError: The level does not exist.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler])
