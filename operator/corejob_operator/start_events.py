"""Events of a trial that takes long to start: only they tell why a pod or a volume is missing.

Events are listed, not watched: a namespace has many, and few regard our objects. The interval grows
with the time that a trial has been starting.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from corejob.children import JobChild, PodChild
from corejob.observation import ChildEvent
from corejob_kube.client import Kube
from corejob_operator.event_list import EventList

FIRST_AFTER: Final = timedelta(seconds=5)
"""First list after this time; an ordinary start takes less."""
_LONGEST: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Read:
    uid: str
    events: tuple[ChildEvent, ...]
    next_at: datetime


class StartEvents:
    """Cache of the Events of starting trials, by the CoreJob's name.

    Args:
        kube: The client.
        namespace: The namespace of the Events.
        clock: Returns seconds, to measure the duration of a list.
    """

    def __init__(
        self, kube: Kube, namespace: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read: dict[str, _Read] = {}
        self._list = EventList(kube, namespace, self._uids, clock)

    async def of(
        self, corejob: str, job: JobChild, pod: PodChild | None, now: datetime
    ) -> tuple[ChildEvent, ...]:
        """Return the Events of the pod, or of the Job without a pod; list them again if due.

        If the API server does not answer, return the Events of the last list.
        """
        about = pod if pod is not None else job
        cached = self._read.get(corejob)
        if cached is None or cached.uid != about.uid:
            cached = _Read(about.uid, (), about.created + FIRST_AFTER)
        self._read[corejob] = cached
        if cached.next_at <= now:
            events = await self._list.of(about.uid, cached.next_at, now)
            if events is None:
                cached = _Read(about.uid, cached.events, self._list.next_at)
            else:
                pause = min(max(FIRST_AFTER, now - about.created), _LONGEST)
                cached = _Read(about.uid, events, now + pause)
            self._read[corejob] = cached
        return cached.events

    def next_at(self, corejob: str) -> datetime | None:
        """Return when to list the Events again; None if no trial of the CoreJob is starting."""
        cached = self._read.get(corejob)
        return cached.next_at if cached is not None else None

    def forget(self, corejob: str) -> None:
        """Drop the Events of a trial that has started or ended."""
        self._read.pop(corejob, None)

    def _uids(self) -> frozenset[str]:
        return frozenset(read.uid for read in self._read.values())
