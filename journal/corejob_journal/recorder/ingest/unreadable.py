"""Report that a log can't be read, once that has lasted some seconds, until it can be read."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from corejob import timestamps

REASON: Final = "Unreadable"
_AFTER_S: Final = 5.0
"""Seconds of failure after which it is reported."""
_REPEAT_S: Final = 60.0
_MOST_CHARACTERS: Final = 500


class Unreadable:
    """Tracks if one log can be read.

    Args:
        report: Called with a message for users; with None once the log can be read again.
        reported: True if an earlier process has reported the log as unreadable.
        held: Returns True while the log counts as unreadable although it can be read.
    """

    def __init__(
        self,
        report: Callable[[str | None], None],
        *,
        reported: bool,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._report = report
        self._held = held
        self._reported = reported
        self._reported_at = 0.0
        self._problem = ""
        self._since: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def reported(self) -> bool:
        """True if the log is reported as unreadable."""
        return self._reported

    def failed(self, problem: str) -> None:
        """Note a failure to read the log."""
        self._problem = problem
        if self._since is None:
            self._since = datetime.now(UTC)
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._report_problem)
        elif self._reported and time.monotonic() - self._reported_at >= _REPEAT_S:
            self._report_problem()

    def fine(self) -> None:
        """Note that the log could be read, and report it if it was reported as unreadable."""
        if self._held():
            return
        self.close()
        self._since = None
        if self._reported:
            self._reported = False
            self._report(None)

    def close(self) -> None:
        """Stop reporting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _report_problem(self) -> None:
        self._reported = True
        self._reported_at = time.monotonic()
        since = timestamps.iso((self._since or datetime.now(UTC)).replace(microsecond=0))
        problem = self._problem
        if len(problem) > _MOST_CHARACTERS:
            problem = f"{problem[:_MOST_CHARACTERS]} …"
        self._report(f"since {since} UTC the log can't be read, trying again: {problem}")
