"""An event loop with simulated time, so that tests of seconds take none."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """An event loop that advances its time to the next timer instead of waiting."""

    now = 1000.0

    def time(self) -> float:
        """The loop's time, in seconds."""
        return self.now

    def _run_once(self) -> None:
        timers = [one.when() for one in self._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
        if timers and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(timers))
        super()._run_once()  # type: ignore[misc]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in such a loop and return its result."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(coroutine)
