"""Wait for conditions in asyncio tests without polling."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
DEADLINE = 45.0
"""Seconds after which a wait fails: far more than any needs, since the machine may be busy."""


class Signal:
    """Tells the waiters of its event loop that a condition may have changed."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let all waiters check their conditions."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, condition: Callable[[], T], *, seconds: float = DEADLINE) -> T:
        """Wait until a condition holds, checked at each `notify`, and return its value."""
        async with asyncio.timeout(seconds):
            while not (value := condition()):
                await self.wait()
        return value

    async def wait(self) -> None:
        """Wait, without a deadline, for the next `notify`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


async def poll(
    condition: Callable[[], object | Awaitable[object]],
    *,
    seconds: float = DEADLINE,
    every: float = 0.005,
) -> None:
    """Wait until a condition holds that nothing signals."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if await value if inspect.isawaitable(value) else value:
                return
            await asyncio.sleep(every)
