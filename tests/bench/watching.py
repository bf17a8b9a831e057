"""Wait for the end and the deletion of many objects with one watch."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from corejob_kube.client import Kube
from corejob_kube.resources import Resource

WATCH: Final = {"watch": "true", "timeoutSeconds": "86400"}
"""Parameters of a watch. Without a timeout, the API server ends it after 30 to 60 minutes."""
_FAILED: Final = frozenset({"error", "inactive", "killed", "Failed", "Error"})
_COMPLETE: Final = frozenset({"complete", "Complete", "Succeeded"})


class _Metadata(msgspec.Struct, rename="camel", frozen=True):
    name: str = ""
    resource_version: str = ""


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Status(msgspec.Struct, frozen=True):
    state: str = ""
    phase: str = ""
    conditions: tuple[_Condition, ...] = ()


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    status: _Status = _Status()


class _Event(msgspec.Struct):
    type: str
    object: _Object


class _List(msgspec.Struct):
    metadata: _Metadata


@dataclass(slots=True)
class Watched:
    """Reports of a watch about the objects.

    Attributes:
        names: Names of the complete ones.
        gone: Names of the deleted ones.
        events: Number of events of the watch.
    """

    names: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    events: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, line: bytes) -> None:
        """Take in one event of the watch."""
        event = _DECODER.decode(line)
        assert event.type != "ERROR", line
        self.events += 1
        name, ends = event.object.metadata.name, _ends(event.object.status)
        assert not ends & _FAILED, f"{name} failed: {line.decode()}"
        if ends & _COMPLETE:
            self.names.add(name)
        if event.type == "DELETED":
            self.gone.add(name)
        self._changed.set()

    async def complete(self, count: int, seconds: float) -> None:
        """Wait until `count` objects were seen to be complete."""
        await self._reached(lambda: len(self.names) >= count, seconds)

    async def deleted(self, count: int, seconds: float) -> None:
        """Wait until `count` objects are deleted."""
        await self._reached(lambda: len(self.gone) >= count, seconds)

    async def _reached(self, reached: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not reached():
                self._changed.clear()
                await self._changed.wait()


_DECODER: Final = msgspec.json.Decoder(_Event)


@asynccontextmanager
async def watched(kube: Kube, resource: Resource, namespace: str) -> AsyncIterator[Watched]:
    """Watch all objects of a namespace while the context lasts."""
    path = resource.path(namespace)
    answer = await kube.request("GET", path, params={"limit": "1"})
    version = msgspec.convert(answer, _List).metadata.resource_version
    seen = Watched()

    async def watch() -> None:
        params = {**WATCH, "resourceVersion": version}
        async with kube.stream(path, params=params, idle=None) as content:
            async for line in content:
                seen.take(line)
        raise AssertionError(f"the API server ended the watch of {path}")

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        yield seen
        watching.cancel()


def _ends(status: _Status) -> set[str]:
    """Return the state or phase, and the types of the conditions that hold."""
    return {status.state, status.phase} | {
        each.type for each in status.conditions if each.status == "True"
    }
