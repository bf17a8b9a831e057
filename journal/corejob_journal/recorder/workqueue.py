"""Keys to be looked at: each once however often it is added, never by two workers at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from corejob_kube import tasks

log = logging.getLogger(__name__)

_BACKOFF_FIRST: Final = 0.2
_BACKOFF_MOST: Final = 30.0


class Workqueue:
    """Calls `work` for each key; a failure is tried again, ever later."""

    def __init__(self, work: Callable[[str], Awaitable[None]], *, workers: int) -> None:
        self._work = work
        self._workers = workers
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [
            asyncio.create_task(self._run(), name=f"worker {number}")
            for number in range(self._workers)
        ]

    async def stop(self) -> None:
        """Stop them."""
        await tasks.cancel(*self._tasks)

    def add(self, key: str) -> None:
        """Look at `key` soon."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._queue.put_nowait(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Look at `key` after a while."""
        asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def _run(self) -> None:
        while True:
            key = await self._queue.get()
            self._waiting.discard(key)
            self._busy.add(key)
            try:
                await self._work(key)
            except Exception as error:
                count = self._failures.get(key, 0)
                self._failures[key] = count + 1
                level = logging.DEBUG if count < 3 else logging.WARNING
                log.log(level, "%s: trying again: %s", key, error, exc_info=count >= 3)
                self.add_later(key, min(_BACKOFF_FIRST * 2**count, _BACKOFF_MOST))
            else:
                self._failures.pop(key, None)
            finally:
                self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
