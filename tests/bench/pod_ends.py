"""The ends of pods by one watch, in a thread beside code that waits for single requests."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.client import administrator
from tests.bench.watching import WATCH
from tests.support.kubectl import Kubectl

from corejob_kube.resources import PODS

_SECONDS: Final = 60.0


@dataclass(slots=True)
class PodEnds:
    """Times at which the watch told of the ends of pods, by their names.

    Attributes:
        stopped: The container has ended, or the pod is gone.
        gone: The pod is gone.
    """

    stopped: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, event: dict[str, Any]) -> None:
        """Take in one event of the watch."""
        now, pod = time.time(), event["object"]
        name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase")
        with self._changed:
            if event["type"] == "DELETED":
                self.gone.setdefault(name, now)
            if event["type"] == "DELETED" or phase in {"Failed", "Succeeded"}:
                self.stopped.setdefault(name, now)
            self._changed.notify_all()

    def wait_stopped(self, pod: str, seconds: float = _SECONDS) -> None:
        """Wait until a pod's container has ended."""
        self._wait(lambda: pod in self.stopped, f"the pod {pod} has not ended", seconds)

    def wait_gone(self, pod: str, seconds: float = _SECONDS) -> None:
        """Wait until a pod is gone."""
        self._wait(lambda: pod in self.gone, f"the pod {pod} is not gone", seconds)

    def _wait(self, reached: Callable[[], bool], failure: str, seconds: float) -> None:
        with self._changed:
            told = self._changed.wait_for(reached, seconds)
        assert told, f"{failure} after {seconds:g} s"


@contextlib.contextmanager
def watched_ends(kubectl: Kubectl) -> Iterator[PodEnds]:
    """Watch the pods of kubectl's namespace while the context lasts."""
    ends, loop = PodEnds(), asyncio.new_event_loop()
    watching = loop.create_task(_watch(kubectl, ends))
    thread = threading.Thread(target=_until_cancelled, args=(loop, watching))
    thread.start()
    try:
        yield ends
    finally:
        loop.call_soon_threadsafe(watching.cancel)
        thread.join()
        loop.close()


async def _watch(kubectl: Kubectl, ends: PodEnds) -> None:
    async with (
        administrator(kubectl) as kube,
        kube.stream(PODS.path(kubectl.namespace), params=WATCH, idle=None) as content,
    ):
        async for line in content:
            ends.take(json.loads(line))


def _until_cancelled(loop: asyncio.AbstractEventLoop, watching: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(watching)
