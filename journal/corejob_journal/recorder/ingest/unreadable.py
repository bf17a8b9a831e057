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
        tell: Called with a message for users; with None once the log can be read again.
        told: True if an earlier process has reported the log as unreadable.
    """

    def __init__(self, tell: Callable[[str | None], None], *, told: bool) -> None:
        self._tell = tell
        self._told = told
        self._told_at = 0.0
        self._words = ""
        self._since: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def told(self) -> bool:
        """True if the log is reported as unreadable."""
        return self._told

    def failed(self, words: str) -> None:
        """Note a failure to read the log."""
        self._words = words
        if self._since is None:
            self._since = datetime.now(UTC)
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._say)
        elif self._told and time.monotonic() - self._told_at >= _REPEAT_S:
            self._say()

    def fine(self) -> None:
        """Note that the log could be read, and report it if it was reported as unreadable."""
        self.close()
        self._since = None
        if self._told:
            self._told = False
            self._tell(None)

    def close(self) -> None:
        """Stop reporting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _say(self) -> None:
        self._told = True
        self._told_at = time.monotonic()
        since = timestamps.iso((self._since or datetime.now(UTC)).replace(microsecond=0))
        words = self._words
        if len(words) > _MOST_CHARACTERS:
            words = f"{words[:_MOST_CHARACTERS]} …"
        self._tell(f"since {since} UTC the log can't be read, trying again: {words}")
