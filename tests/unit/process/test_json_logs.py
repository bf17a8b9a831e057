"""The service's own log: one JSON object a line."""

import json
import logging
import sys

from corejob_process.json_logs import JsonFormatter


def record(message: str, *args: object, failed: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if failed else None
    made = logging.LogRecord("some.logger", logging.WARNING, "x.py", 1, message, args, info)
    made.created = 1_795_500_000.25
    return made


def test_a_record() -> None:
    line = JsonFormatter().format(record("two\nlines of %s", "text"))

    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-11-24T06:00:00.250000Z",
        "level": "WARNING",
        "logger": "some.logger",
        "message": "two\nlines of text",
    }


def test_an_exception() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        line = JsonFormatter().format(record("it failed", failed=True))

    assert "ValueError: no" in json.loads(line)["exception"]
    assert "\n" not in line
