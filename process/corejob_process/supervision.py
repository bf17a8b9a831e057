"""Supervision of a process's long-lived tasks, so that no task ends unnoticed.

A task that ends by an exception, or returns, is logged with its name. It is restarted if it has no
state that could be half changed; otherwise its end ends the process, whose container the kubelet
restarts. In both cases the liveness probe fails at once.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from corejob_process import tasks
from corejob_process.backoff import Backoff

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, object]]
"""Returns a new coroutine of a task for each start."""

_RESTART_MOST_S: Final = 30.0
_SOUND_S: Final = 60.0
"""A task that ran longer than this before it ended restarts with the shortest back-off."""


def exit_now() -> None:
    """End the process with code 1 at once, since its event loop hangs."""
    log.critical("the process does not end by itself, and is ended")
    os._exit(1)


class TaskEndedError(Exception):
    """An essential task has ended, so the process must end; the message names the task."""


class Supervision:
    """The long-lived tasks of one process.

    Args:
        last_resort: Called in another thread if the process still runs `end_within` seconds after
            the end of an essential task; None: no such call.
        restart_after: Seconds after which an ended task is restarted; doubled, up to 30 s, each
            time that it ends soon again.
        end_within: Seconds that the process has to end.

    Attributes:
        failed: Set when an essential task has ended.
    """

    def __init__(
        self,
        *,
        last_resort: Callable[[], None] | None = None,
        restart_after: float = 0.5,
        end_within: float = 20.0,
    ) -> None:
        self._last_resort = last_resort
        self._restart_after = restart_after
        self._end_within = end_within
        self.failed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, str] = {}

    def start(
        self, name: str, work: Work, *, restart: bool = False, once: bool = False
    ) -> "asyncio.Task[None]":
        """Start a task that runs until its owner cancels it.

        Args:
            name: Its name, unique in the process.
            work: Returns its coroutine.
            restart: True to restart the task when it ends; False: it is essential, and its end
                ends the process.
            once: True if the task may return, as a regular end.

        Raises:
            ValueError: A task of this name runs already.
        """
        running_task = self._tasks.get(name)
        if running_task is not None and not running_task.cancelling():
            raise ValueError(f"the task [{name}] runs already")
        running = self._supervise(name, work, restart=restart, once=once)
        task = self._tasks[name] = asyncio.create_task(running, name=name)
        task.add_done_callback(self._done)
        return task

    def problem(self) -> str | None:
        """Return which tasks have ended and were not restarted yet, and why; None if all run."""
        return "; ".join(self._ended.values()) or None

    def check(self) -> None:
        """Raise if an essential task has ended.

        Raises:
            TaskEndedError: An essential task has ended.
        """
        if self.failed.is_set():
            raise TaskEndedError(self.problem() or "a task has ended")

    def __iter__(self) -> Iterator["asyncio.Task[None]"]:
        return iter(list(self._tasks.values()))

    def __contains__(self, task: object) -> bool:
        return task in self._tasks.values()

    async def guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the body of the process; cancel it when an essential task ends.

        Raises:
            TaskEndedError: An essential task has ended.
        """
        body = asyncio.ensure_future(work)
        failing = asyncio.ensure_future(self.failed.wait())
        try:
            await asyncio.wait({body, failing}, return_when=asyncio.FIRST_COMPLETED)
            self.check()
            await body
        finally:
            await tasks.cancel(body, failing)

    async def _pause(self, _name: str, seconds: float) -> None:
        """Wait before a task that has ended is restarted."""
        await asyncio.sleep(seconds)

    def _fail(self) -> None:
        self.failed.set()
        if self._last_resort is not None:
            timer = threading.Timer(self._end_within, self._last_resort)
            timer.daemon = True
            timer.start()

    def _done(self, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(task.get_name()) is task:
            del self._tasks[task.get_name()]

    async def _supervise(self, name: str, work: Work, *, restart: bool, once: bool) -> None:
        backoff = Backoff(self._restart_after, _RESTART_MOST_S)
        try:
            while True:
                began = time.monotonic()
                problem = await _end_of(name, work, once=once)
                if problem is None:
                    return
                self._ended[name] = f"the task [{name}] has ended: {problem}"
                if not restart:
                    self._fail()
                    return
                if time.monotonic() - began > _SOUND_S:
                    backoff.reset()
                await self._pause(name, backoff.next())
                del self._ended[name]
        except asyncio.CancelledError:
            self._ended.pop(name, None)  # cancelled by its owner: no problem to report
            raise


async def _end_of(name: str, work: Work, *, once: bool) -> str | None:
    """Run a task to its end; log and return the problem, or None for a regular end."""
    try:
        await work()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.error("the task [%s] has ended", name, exc_info=error)  # noqa: TRY400
        return "what it waited for was cancelled"
    except Exception as error:
        log.exception("the task [%s] has ended", name)
        return f"{type(error).__name__}: {error}"
    if once:
        return None
    log.error("the task [%s] has ended: it returned", name)
    return "it returned"
