"""Saying that a log can't be read: once that has lasted some seconds, and until it can."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from corejob import clock

REASON: Final = "Unreadable"
_AFTER_S: Final = 5.0
"""What is over sooner is not worth a word."""
_REPEAT_S: Final = 60.0
_MOST_CHARACTERS: Final = 500


class Unreadable:
    """One log's state.

    Args:
        tell: Called with the text for people; with None once the log can be read again.
        told: True if a process before this one has told.
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
        """True if it was told that the log can't be read."""
        return self._told

    def failed(self, words: str) -> None:
        """It could not be read."""
        self._words = words
        if self._since is None:
            self._since = datetime.now(UTC)
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._say)
        elif self._told and time.monotonic() - self._told_at >= _REPEAT_S:
            self._say()

    def fine(self) -> None:
        """It could."""
        self.close()
        self._since = None
        if self._told:
            self._told = False
            self._tell(None)

    def close(self) -> None:
        """Say no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _say(self) -> None:
        self._told = True
        self._told_at = time.monotonic()
        since = clock.iso((self._since or datetime.now(UTC)).replace(microsecond=0))
        words = self._words
        if len(words) > _MOST_CHARACTERS:
            words = f"{words[:_MOST_CHARACTERS]} …"
        self._tell(f"since {since} UTC the log can't be read, trying again: {words}")
