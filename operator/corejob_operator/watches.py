"""Supervises kopf's watch tasks: kopf only logs the end of one, and continues without it."""

import asyncio
import time
from typing import Any, Final

_PREFIX: Final = "watcher for "
"""Prefix of the names of kopf's watch tasks."""
_POLL_S: Final = 0.1
_ALL_WITHIN_S: Final = 120.0
"""Time for all watches to start; kopf starts them after it has discovered the resources."""


class Watches:
    """Finds kopf's watch tasks by their names, and reports the end of one.

    Args:
        count: The number of watch tasks once all have started.

    Attributes:
        complete: Set when all have started.
    """

    def __init__(self, count: int) -> None:
        self.complete = asyncio.Event()
        self._count = count
        self._known: dict[str, asyncio.Task[Any]] = {}

    async def until_one_ends(self, stop: asyncio.Event) -> None:
        """Run until cancelled; raise if a watch task ends before the process stops.

        Raises:
            RuntimeError: A watch task has ended, or not all have started in time.
        """
        await self._begun()
        self.complete.set()
        done, _ = await asyncio.wait(self._known.values(), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await asyncio.Event().wait()  # kopf ends its watches; the caller cancels this task
        task = done.pop()
        error = None if task.cancelled() else task.exception()
        raise RuntimeError(f"kopf's {task.get_name()} has ended") from error

    async def _begun(self) -> None:
        deadline = time.monotonic() + _ALL_WITHIN_S
        while len(self._known) < self._count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"kopf watches {sorted(self._known)} only")
            for task in asyncio.all_tasks():
                if task.get_name().startswith(_PREFIX):
                    self._known[task.get_name()] = task
            await asyncio.sleep(_POLL_S)
