"""Keys to reconcile: each at most once at a time, none forgotten, some only later.

As client-go's workqueue: a key that is added while it is being worked on comes again afterwards,
and one that failed after a pause of its own.
"""

import asyncio
import heapq
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from corejob_kube.backoff import Draw, pause

_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MOST_S: Final = 30.0

Reconcile = Callable[[str], Awaitable[None]]
Failed = Callable[[str, Exception, int], None]
"""Told of a failure: the key, the error, and how many failures in a row this is."""


class WorkQueue:
    """A queue of keys without doubles, with due times.

    Args:
        draw: Where the chance in the pauses after failures comes from.
    """

    def __init__(self, *, draw: Draw = random.random) -> None:
        self._draw = draw
        self._failures: dict[str, int] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._wake_at: dict[str, float] = {}
        self._changed = asyncio.Event()

    def add(self, key: str) -> None:
        """Look at the key as soon as possible."""
        if key in self._working:
            self._again.add(key)
        else:
            self._ready[key] = None
            self._changed.set()

    def add_at(self, key: str, when: float) -> None:
        """Look at the key at the loop's time `when`; an earlier time that is set already stays."""
        if self._wake_at.get(key, float("inf")) <= when:
            return
        self._wake_at[key] = when
        heapq.heappush(self._later, (when, key))
        self._changed.set()

    def add_in(self, key: str, seconds: float) -> None:
        """Look at the key in so many seconds, or earlier if that is set already."""
        self.add_at(key, asyncio.get_running_loop().time() + max(0.0, seconds))

    async def get(self) -> str:
        """The next key; call `done` when it was looked at."""
        while True:
            self._fall_due()
            if self._ready:
                key, _ = self._ready.popitem(last=False)
                self._working.add(key)
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._later[0][0] if self._later else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: str) -> None:
        """The key was looked at."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def work(self, reconcile: Reconcile, failed: Failed) -> None:
        """Be one worker, until cancelled: reconcile key after key, those that failed once more.

        Args:
            reconcile: Called with each key; never twice at a time for one key.
            failed: Called when it raised; the key comes again after a pause in any case.
        """
        while True:
            key = await self.get()
            try:
                await reconcile(key)
            except Exception as error:
                failed(key, error, self.retry(key))
            else:
                self._failures.pop(key, None)
            finally:
                self.done(key)

    def retry(self, key: str) -> int:
        """The key failed: it comes again after a pause; how many failures in a row that makes."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_in(key, pause(count, _BACKOFF_FIRST_S, _BACKOFF_MOST_S, self._draw))
        return count

    def forget_failures(self) -> None:
        """Let the next failure of each key be its first."""
        self._failures.clear()

    def __len__(self) -> int:
        return len(self._ready) + len(self._working)

    def _fall_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._later and self._later[0][0] <= now:
            when, key = heapq.heappop(self._later)
            if self._wake_at.get(key) == when:
                del self._wake_at[key]
                self.add(key)
