"""Work on what clients ask for: off the event loop, and one piece of it at a time for a user."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from corejob_api.locks import Locks

T = TypeVar("T")
R = TypeVar("R")

_THREADS: Final = 4
_PIECE_SECONDS: Final = 0.1
"""How long a thread works before it asks whether anybody still wants the rest."""


class Scans:
    """Threads that all scans share. Those of one user wait for each other, piece by piece."""

    def __init__(self, threads: int = _THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, "scan")
        self._locks = Locks()

    def of(self, user: str) -> "Scan":
        """What scans for a user."""
        return Scan(self, user)

    def close(self) -> None:
        """Take no more work; what a thread is at comes to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def call(self, user: str, work: Callable[[], R]) -> R:
        """Let a thread do some work, once none does any for this user."""
        async with self._locks.hold(user):
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
        """What some work returns; raises what it raises."""
        return await self._scans.call(self._user, work)

    async def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What some work makes of each item, in pieces, so that it can be cancelled in between."""
        done: list[R] = []
        while len(done) < len(items):
            done += await self.call(partial(_piece, work, items, len(done)))
        return done

    async def keep(self, test: Callable[[T], bool], items: Sequence[T]) -> list[T]:
        """The items that pass a test."""
        passed = await self.map(test, items)
        return [item for item, fits in zip(items, passed, strict=True) if fits]


def _piece(work: Callable[[T], R], items: Sequence[T], begin: int) -> list[R]:
    until = time.monotonic() + _PIECE_SECONDS
    done: list[R] = []
    for at in range(begin, len(items)):
        done.append(work(items[at]))
        if time.monotonic() >= until:
            break
    return done
