"""The tasks in which kopf watches: it logs the end of one, and goes on without it."""

import asyncio
import time
from typing import Any, Final

_PREFIX: Final = "watcher for "
"""How kopf names them."""
_POLL_S: Final = 0.1
_ALL_WITHIN_S: Final = 120.0
"""Kopf begins to watch once it has found out what there is."""


class Watches:
    """Finds kopf's tasks by their names, and sees one end.

    Args:
        count: How many there are once all have begun.

    Attributes:
        complete: Set when all have begun.
    """

    def __init__(self, count: int) -> None:
        self.complete = asyncio.Event()
        self._count = count
        self._known: dict[str, asyncio.Task[Any]] = {}

    async def until_one_ends(self, stop: asyncio.Event) -> None:
        """Return never: one that ends while nobody stops the process is an error.

        Raises:
            RuntimeError: One has ended, or not all have begun in time.
        """
        await self._begun()
        self.complete.set()
        done, _ = await asyncio.wait(self._known.values(), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await asyncio.Event().wait()  # kopf ends them all: whoever started this cancels it
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
