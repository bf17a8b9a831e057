"""Helpers for asyncio: wait with a timeout, and end tasks."""

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or `seconds` have passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait for their end; ignore their exceptions."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def finish(*tasks: "asyncio.Task[Any]", within: float) -> None:
    """Wait up to `within` seconds for tasks to end, then cancel the rest."""
    if tasks:
        await asyncio.wait(tasks, timeout=within)
        await cancel(*tasks)


def log_failure(task: "asyncio.Task[None]") -> bool:
    """Done-callback: log the task's exception. Return True if there was one."""
    if task.cancelled() or task.exception() is None:
        return False
    log.error("the task [%s] failed", task.get_name(), exc_info=task.exception())
    return True
