"""Schedule the connections to one log: rate limit, back-off, and polling instead of following."""

import asyncio
import time
from typing import Final

from corejob_journal.recorder.ingest.reading import (
    CantFollowError,
    LogGoneError,
    LogReader,
    UnclearError,
)
from corejob_journal.recorder.ingest.retries import Attempt, Retries
from corejob_journal.recorder.ingest.unreadable import Unreadable
from corejob_kube.errors import KubeError
from corejob_process import tasks
from corejob_process.backoff import Backoff

_BACKOFF_FIRST: Final = 0.1
_BACKOFF_MOST: Final = 3.0
_BACKOFF_MOST_UNREAD: Final = 60.0
"""Maximum back-off, in seconds, for a log that can't be read at all or brings nothing new.

A log that can be read also breaks off now and then, so its maximum is shorter.
"""
_ERROR_TEXT_WITHIN_S: Final = 1.0
"""Seconds after which an open connection counts as readable, at least.

A kubelet that can't read a log sends its error text at once, or after the lines before the place
that it can't read.
"""
_NO_FOLLOW_S: Final = 60.0
"""Seconds for which a log that could not be followed is polled instead."""
_POLL_FIRST_S: Final = 1.0
_POLL_MOST_S: Final = 5.0


class Attempts:
    """Schedules the connections to one log, one after the other.

    Attributes:
        news: Set when the pod changes, which ends a wait.
        from_start: True if the next connection has to begin at the start of the log.
    """

    def __init__(self, retries: Retries, unreadable: Unreadable, reader: LogReader) -> None:
        self.news = asyncio.Event()
        self.from_start = False
        self._retries = retries
        self._unreadable = unreadable
        self._reader = reader
        self._again = False
        self._vanished = False
        self._waits_its_turn = False
        # True if the present connection has proved that the log can be read.
        self._proved = False
        # True if it has also brought something new, or ended cleanly.
        self._moved = False
        self._proof_s = _ERROR_TEXT_WITHIN_S
        self._opened_at: float | None = None
        self._reconnects = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
        self._failures = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST_UNREAD)
        self._pause_s = _BACKOFF_FIRST
        self._no_follow_until = 0.0
        self._poll_s = _POLL_FIRST_S
        self._fine_soon: asyncio.TimerHandle | None = None

    @property
    def polls(self) -> bool:
        """True while the log is polled, since the node had no inotify instance to follow it."""
        return time.monotonic() < self._no_follow_until

    def vanished(self) -> None:
        """Handle the pod's deletion: don't wait, since the API server answers without the node."""
        self._vanished = True
        self.news.set()
        self._retries.stir()

    def ended(self) -> None:
        """Handle the container's end: its log is needed soon."""
        self._failures.reset()

    async def turn(self, node: str) -> Attempt:
        """Wait until the log may be requested."""
        self._proved, self._moved, self._opened_at = False, False, None
        self.news.clear()
        problem = self._retries.problem(node)
        if problem is not None:
            self._unreadable.failed(problem)
        turn = await self._retries.turn(node, again=self._again, hurry=lambda: self._vanished)
        self._again = True
        return turn

    def opened(self, turn: Attempt) -> None:
        """Handle an open connection: the log is readable unless the kubelet sends an error text."""
        turn.opened()
        self._opened_at = time.monotonic()
        loop = asyncio.get_running_loop()
        self._fine_soon = loop.call_later(self._proof_s, self._is_readable)

    def fine(self) -> None:
        """Note that the log can be read: new lines have come, or a connection ended cleanly."""
        self._moved = True
        self._proof_s = _ERROR_TEXT_WITHIN_S
        self._is_readable()

    def _is_readable(self) -> None:
        self._proved = True
        self._waits_its_turn = False
        self._stop_timer()
        self._unreadable.fine()

    def failed(self, error: Exception, turn: Attempt) -> None:
        """Handle a connection that failed to open, or broke."""
        self._stop_timer()
        self._waits_its_turn = False
        if isinstance(error, UnclearError):
            self.from_start = True
        elif isinstance(error, CantFollowError):
            self.fine()  # the log was read to its present end
            self._no_follow_until = time.monotonic() + _NO_FOLLOW_S
        elif isinstance(error, KubeError | LogGoneError):
            self._failed(error, turn)

    def _failed(self, error: KubeError | LogGoneError, turn: Attempt) -> None:
        said = self._reader.splitter.error_text is not None
        if self._opened_at is None:
            said = False
            if isinstance(error, KubeError):
                self._waits_its_turn = turn.failed(error)
        elif said and not self._moved:
            # The lines before a place that can't be read may take longer than the usual proof.
            self._proved = False
            self._proof_s = max(self._proof_s, 2 * (time.monotonic() - self._opened_at))
        if said or not self._proved:
            self._unreadable.failed(str(error))

    def polled(self, *, idle: bool) -> None:
        """Adapt the poll interval after a log that can't be followed was read to its present end.

        Args:
            idle: True if there were no new lines.
        """
        self._poll_s = min(self._poll_s * 2, _POLL_MOST_S) if idle else _POLL_FIRST_S

    async def wait(self, lasted: float) -> None:
        """Wait before the next connection; a change of the pod ends the wait.

        Args:
            lasted: Duration of the last connection, in seconds.
        """
        if self._vanished:
            await asyncio.sleep(min(self._pause_s, _BACKOFF_MOST))
        elif self._waits_its_turn:
            return
        if self.polls:
            await tasks.wait(self.news, self._poll_s)
            return
        if not self._proved:
            self._pause_s = self._failures.next()
        else:
            self._failures.reset()
            if lasted > _BACKOFF_MOST:
                self._reconnects.reset()
            self._pause_s = self._reconnects.next()
        await tasks.wait(self.news, self._pause_s)

    def close(self) -> None:
        """Cancel the timers; nothing is reported afterwards."""
        self._stop_timer()
        self._unreadable.close()

    def _stop_timer(self) -> None:
        if self._fine_soon is not None:
            self._fine_soon.cancel()
            self._fine_soon = None
