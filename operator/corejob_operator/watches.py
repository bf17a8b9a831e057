"""The tasks in which kopf watches: it logs the end of one, and goes on without it."""

import asyncio
from typing import Any, Final

_PREFIX: Final = "watcher for "
"""How kopf names them."""
_NEW_EVERY_S: Final = 1.0


async def until_one_ends(stop: asyncio.Event) -> None:
    """Return when one of the watches has ended, though the process is not being stopped."""
    known: set[asyncio.Task[Any]] = set()
    while True:
        known |= {task for task in asyncio.all_tasks() if task.get_name().startswith(_PREFIX)}
        if not known:
            await asyncio.sleep(_NEW_EVERY_S)
            continue
        done, _ = await asyncio.wait(
            known, timeout=_NEW_EVERY_S, return_when=asyncio.FIRST_COMPLETED
        )
        if stop.is_set():
            await asyncio.Event().wait()  # kopf ends them all: whoever started this cancels it
        for task in done:
            error = None if task.cancelled() else task.exception()
            raise RuntimeError(f"kopf's {task.get_name()} has ended") from error
