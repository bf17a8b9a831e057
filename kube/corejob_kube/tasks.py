"""What every process does with asyncio: waiting so long at the most, and ending tasks."""

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks, and wait until they have ended, whatever they say of it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def finish(*tasks: "asyncio.Task[Any]", within: float) -> None:
    """Let tasks come to their end, but cancel what takes longer than so many seconds."""
    if tasks:
        await asyncio.wait(tasks, timeout=within)
        await cancel(*tasks)


def log_failure(task: "asyncio.Task[None]") -> bool:
    """Log what a task that is done has failed of; whether it has. To be used as its callback."""
    if task.cancelled() or task.exception() is None:
        return False
    log.error("the task [%s] failed", task.get_name(), exc_info=task.exception())
    return True
