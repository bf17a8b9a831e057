"""Write a job's reports as lines of the protocol."""

from __future__ import annotations

from core4.queue.context import Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any

    from core4.runner.wire import Wire


class WireReports(Reports):
    """Writes reports to the wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def logger(self, name: str) -> logging.Logger:
        """Return a logger whose records become `log` lines."""
        from core4.runner.records import JobLogger, WireHandler  # noqa: PLC0415

        return JobLogger(name, WireHandler(self._wire))

    def progress(self, value: float, message: str) -> None:
        """Write a `progress` line."""
        self._wire.send("progress", {"value": value, "message": message})

    def source(self, name: str) -> None:
        """Write a `source` line."""
        self._wire.send("source", {"name": name})

    def cookie(self, key: str, value: Any) -> None:
        """Write a `cookie` line."""
        self._wire.send("cookie", {"key": key, "value": value})
