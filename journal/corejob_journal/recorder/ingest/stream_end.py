"""Cut a connection that stays open and silent after its container's end."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

_END_WAIT_S: Final = 15.0
"""Seconds of silence after the container's end until an open stream counts as dead.

The kubelet ends a followed log within a second after it has sent the last line.
"""


class StreamEnd:
    """Watches one connection, from the container's end on.

    Used as a context manager around the handling of what has arrived: meanwhile the connection is
    not silent, but the reader waits, perhaps for the store.

    Args:
        cut: Called if the connection is silent for too long.
        now: The clock.
    """

    def __init__(
        self, cut: Callable[[], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._cut = cut
        self._now = now
        self._quiet_since = now()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __enter__(self) -> None:
        self._handling = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handling = False
        self._quiet_since = self._now()

    @property
    def quiet(self) -> float:
        """Seconds since all that had arrived was handled."""
        return self._now() - self._quiet_since

    def container_ended(self) -> None:
        """Begin to watch for silence."""
        self._quiet_since = self._now()
        if self._timer is None and not self._closed:
            self._wait(_END_WAIT_S)

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        left = _END_WAIT_S if self._handling else self._quiet_since + _END_WAIT_S - self._now()
        if left > 0:
            self._wait(left)
        else:
            self._cut()
