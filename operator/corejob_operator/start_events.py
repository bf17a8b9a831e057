"""Events of a trial that takes long to start: only they tell why a pod or a volume is missing.

Events are listed, not watched: a namespace has many, and few regard our objects. The interval grows
with the time that a trial has been starting.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import timestamps
from corejob.children import JobChild, PodChild
from corejob.observation import ChildEvent
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.resources import EVENTS

log = logging.getLogger(__name__)

FIRST_AFTER: Final = timedelta(seconds=5)
"""First list after this time; an ordinary start takes less."""
_LONGEST: Final = timedelta(seconds=60)
_OLD: Final = timestamps.from_epoch(0)


@dataclass(frozen=True, slots=True)
class _Read:
    uid: str
    events: tuple[ChildEvent, ...]
    next_at: datetime


class StartEvents:
    """Cache of the Events of starting trials, by the CoreJob's name."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._read: dict[str, _Read] = {}

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
        if cached.next_at <= now:
            pause = min(max(FIRST_AFTER, now - about.created), _LONGEST)
            events = await self._list(about.uid)
            cached = _Read(about.uid, cached.events if events is None else events, now + pause)
        self._read[corejob] = cached
        return cached.events

    def next_at(self, corejob: str) -> datetime | None:
        """Return when to list the Events again; None if no trial of the CoreJob is starting."""
        cached = self._read.get(corejob)
        return cached.next_at if cached is not None else None

    def forget(self, corejob: str) -> None:
        """Drop the Events of a trial that has started or ended."""
        self._read.pop(corejob, None)

    async def _list(self, uid: str) -> tuple[ChildEvent, ...] | None:
        try:
            items, _ = await self._kube.list(EVENTS, self._namespace, fields=f"regarding.uid={uid}")
        except KubeError as error:
            log.warning("no Events of %s: %s", uid, error)
            return None
        return tuple(parse_event(item) for item in items)


def parse_event(body: Mapping[str, Any]) -> ChildEvent:
    """Parse an Event of events.k8s.io/v1, also one that was created by the core/v1 API."""
    series = body.get("series") or {}
    moment = (
        series.get("lastObservedTime")
        or body.get("deprecatedLastTimestamp")
        or body.get("eventTime")
        or body["metadata"].get("creationTimestamp")
    )
    return ChildEvent(
        uid=str((body.get("regarding") or {}).get("uid", "")),
        reason=str(body.get("reason", "")),
        message=str(body.get("note") or ""),
        warning=body.get("type") == "Warning",
        at=timestamps.parse(moment) or _OLD,
    )
