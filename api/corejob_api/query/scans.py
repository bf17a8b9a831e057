"""Run clients' searches in threads, outside the event loop, and one piece at a time per user."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from corejob_process.keyed_locks import KeyedLocks

T = TypeVar("T")
R = TypeVar("R")

_THREADS: Final = 4
_PIECE_SECONDS: Final = 0.1
"""Maximum duration of one piece of work; a scan can be cancelled between two pieces."""


class Scans:
    """A thread pool shared by all scans. Scans of one user take turns, piece by piece."""

    def __init__(self, threads: int = _THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, "scan")
        self._locks = KeyedLocks()

    def of(self, user: str) -> "Scan":
        """Return the scan interface for a user."""
        return Scan(self, user)

    def close(self) -> None:
        """Accept no more work and drop queued work; running work still completes."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def call(self, user: str, work: Callable[[], R]) -> R:
        """Run `work` in a thread, after the user's earlier work has ended; return its result."""
        async with self._locks.lock(user):
            job = self._threads.submit(work)
            future = asyncio.wrap_future(job)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                # A thread can't be stopped. Until it ends, the user's next piece has to wait.
                if not job.cancel():
                    await asyncio.wait([future])
                raise


class Scan:
    """Scans for one user."""

    def __init__(self, scans: Scans, user: str) -> None:
        self._scans = scans
        self._user = user

    async def call(self, work: Callable[[], R]) -> R:
        """Run `work` in a thread; return its result or raise its exception."""
        return await self._scans.call(self._user, work)

    async def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work(item)` for each item; runs in pieces and can be cancelled between them."""
        done: list[R] = []
        while len(done) < len(items):
            done += await self.call(partial(_piece, work, items, len(done)))
        return done

    async def keep(self, test: Callable[[T], bool], items: Sequence[T]) -> list[T]:
        """Return the items that pass a test."""
        passed = await self.map(test, items)
        return [item for item, fits in zip(items, passed, strict=True) if fits]


def _piece(work: Callable[[T], R], items: Sequence[T], begin: int) -> list[R]:
    clock = time.monotonic
    until = clock() + _PIECE_SECONDS
    done: list[R] = []
    for item in islice(items, begin, None):
        done.append(work(item))
        if clock() >= until:
            break
    return done
