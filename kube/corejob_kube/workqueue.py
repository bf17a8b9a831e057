"""A work queue of keys to reconcile, with due times and back-off.

As in client-go's workqueue, only one worker at a time processes a key. A key that is added
meanwhile is queued again afterwards, and a key that failed is requeued with its own back-off.
"""

import asyncio
import heapq
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Final

from corejob_process.backoff import Draw, pause

_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MOST_S: Final = 30.0

Reconcile = Callable[[str], Awaitable[None]]
Failed = Callable[[str, Exception, int], None]
"""Called after a failure with the key, the error, and the number of failures in a row."""


class WorkQueue:
    """A queue of unique keys with due times.

    Args:
        draw: Source of randomness for the back-off.
    """

    def __init__(self, *, draw: Draw = random.random) -> None:
        self._draw = draw
        self._failures: dict[str, int] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._wake_at: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def add(self, key: str) -> None:
        """Queue a key for processing as soon as possible."""
        if key in self._working:
            self._again.add(key)
        else:
            self._ready[key] = None
            self._wake_one()

    def add_at(self, key: str, when: float) -> None:
        """Queue a key at the loop's time `when`, unless an earlier time is set already."""
        if self._wake_at.get(key, float("inf")) <= when:
            return
        self._wake_at[key] = when
        heapq.heappush(self._later, (when, key))
        if self._later[0][0] == when:
            self._set_timer()

    def add_in(self, key: str, seconds: float) -> None:
        """Queue a key after `seconds` seconds, unless an earlier time is set already."""
        self.add_at(key, asyncio.get_running_loop().time() + max(0.0, seconds))

    async def get(self) -> str:
        """Wait for and return the next key; the caller must call `done` after processing it."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    self._wake_one()  # another worker takes the key that this one was woken for
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        key, _ = self._ready.popitem(last=False)
        self._working.add(key)
        return key

    def done(self, key: str) -> None:
        """Mark a key as processed; queue it again if it was added meanwhile."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def work(self, reconcile: Reconcile, failed: Failed) -> None:
        """Run one worker until cancelled: reconcile each key, and retry keys that failed.

        Args:
            reconcile: Called with each key; never twice at a time for one key.
            failed: Called if `reconcile` raised; the key is requeued with a back-off in any case.
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
            # A reconcile that sends no request never gives way by itself. Thousands of them in a
            # row would keep the process from renewing its Lease.
            await asyncio.sleep(0)

    def retry(self, key: str) -> int:
        """Requeue a failed key with a back-off; return the number of its failures in a row."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_in(key, pause(count, _BACKOFF_FIRST_S, _BACKOFF_MOST_S, self._draw))
        return count

    def forget_failures(self) -> None:
        """Reset the failure counts of all keys."""
        self._failures.clear()

    def __len__(self) -> int:
        return len(self._ready) + len(self._working)

    def _wake_one(self) -> None:
        """Wake one waiting worker, since waking all for one key costs more than most keys."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        """Set the timer to the earliest due time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._later:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._later[0][0], self._fall_due)

    def _fall_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._later and self._later[0][0] <= now:
            when, key = heapq.heappop(self._later)
            if self._wake_at.get(key) == when:
                del self._wake_at[key]
                self.add(key)
        self._set_timer()
