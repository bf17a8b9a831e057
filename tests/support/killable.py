"""A supervision whose tasks a test ends with an exception, whatever they wait for, and restarts."""

import asyncio
import re
from typing import Any

from tests.support.signals import DEADLINE

from corejob_process import tasks
from corejob_process.supervision import Supervision, Work


class KilledError(Exception):
    """The exception that ends a task."""


class Killable(Supervision):
    """Records how each task is supervised; a task that has ended waits for `restart`.

    Attributes:
        options: The options of `start`, by the task's name.
        starts: Number of starts, by the task's name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options: dict[str, dict[str, bool]] = {}
        self.starts: dict[str, int] = {}
        self._deaths: dict[str, asyncio.Future[None]] = {}
        self._restarts: dict[str, asyncio.Event] = {}
        self._began = asyncio.Condition()

    def start(self, name: str, work: Work, **options: bool) -> "asyncio.Task[None]":
        """Start a task."""
        self.options[name] = options
        return super().start(name, lambda: self._mortal(name, work), **options)

    async def kill(self, name: str) -> None:
        """End a task with an exception, as soon as it runs."""
        async with asyncio.timeout(DEADLINE), self._began:
            await self._began.wait_for(lambda: self._runs(name))
        self._deaths[name].set_exception(KilledError(f"the test has ended {name}"))

    def restart(self, name: str) -> None:
        """Restart a task that has ended."""
        self._restarts.pop(name).set()

    async def begun(self, name: str, times: int) -> None:
        """Wait until a task was started `times` times."""
        async with asyncio.timeout(DEADLINE), self._began:
            await self._began.wait_for(lambda: self.starts.get(name, 0) >= times)

    async def returned(self, name: str) -> None:
        """Wait until a task that may return has done so."""
        async with asyncio.timeout(DEADLINE):
            while name in {task.get_name() for task in self}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    @property
    def restarted(self) -> list[str]:
        """Names of one task of each kind that is restarted when it ends."""
        return self._kinds(restart=True)

    @property
    def essential(self) -> list[str]:
        """Names of one task of each kind whose end ends the process."""
        return self._kinds(restart=False)

    def _kinds(self, *, restart: bool) -> list[str]:
        running = [task.get_name() for task in self]
        chosen = [name for name in running if self.options[name].get("restart", False) is restart]
        return sorted({re.sub(r" \d+$", "", name): name for name in chosen}.values())

    def _runs(self, name: str) -> bool:
        death = self._deaths.get(name)
        return death is not None and not death.done()

    async def _pause(self, name: str, _seconds: float) -> None:
        self._restarts[name] = event = asyncio.Event()
        await event.wait()

    async def _mortal(self, name: str, work: Work) -> None:
        death = self._deaths[name] = asyncio.get_running_loop().create_future()
        body: asyncio.Future[Any] = asyncio.ensure_future(work())
        try:
            self.starts[name] = self.starts.get(name, 0) + 1
            async with self._began:
                self._began.notify_all()
            await asyncio.wait({body, death}, return_when=asyncio.FIRST_COMPLETED)
            if death.done():
                death.result()
            await body
        finally:
            await tasks.cancel(body)  # type: ignore[arg-type]
            death.cancel()


def unsupervised(supervision: Supervision, before: "set[asyncio.Task[Any]]") -> set[str]:
    """Return the names of the tasks that started after `before` and are not supervised."""
    return {
        task.get_name()
        for task in asyncio.all_tasks() - before
        if task not in supervision and task is not asyncio.current_task()
    }
