"""Background tasks: one that fails says so."""

import asyncio
import logging

log = logging.getLogger(__name__)


def log_failure(task: "asyncio.Task[None]") -> bool:
    """Log what a task that is done has failed of; whether it has. To be used as its callback."""
    if task.cancelled() or task.exception() is None:
        return False
    log.error("the task [%s] failed", task.get_name(), exc_info=task.exception())
    return True
