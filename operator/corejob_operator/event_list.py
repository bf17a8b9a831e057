"""One list of the namespace's Events, for all trials that take long to start.

The API server has neither a cache nor an index of Events: each list reads all Events of the
namespace from etcd, whatever its field selector (kube-apiserver, `--watch-cache-sizes`). In a burst
a list for each trial would cost more than the trials themselves.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import timestamps
from corejob.observation import ChildEvent
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.resources import EVENTS

log = logging.getLogger(__name__)

LEAST_PAUSE: Final = timedelta(seconds=5)
"""Least time between two lists."""
_PAUSES: Final = 20
"""The pause after a list is this many times its duration, so lists take 5 % of the time at most."""
_ORDINARY: Final = ("Completed", "Created", "Killing", "Started", "SuccessfulCreate")
"""Reasons of Events that each job has, and that don't tell why a container has not started."""
_FIELDS: Final = ",".join(
    ("regarding.kind!=CoreJob", *(f"reason!={reason}" for reason in _ORDINARY))
)
_OLD: Final = timestamps.from_epoch(0)


class EventList:
    """The Events of a set of Jobs and pods, listed not too often.

    Args:
        kube: The client.
        namespace: The namespace of the Events.
        wanted: Returns the uids of the Jobs and pods whose Events are kept.
        clock: Returns seconds, to measure the duration of a list.

    Attributes:
        next_at: When the next list is allowed.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        wanted: Callable[[], frozenset[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._wanted = wanted
        self._clock = clock
        self._lock = asyncio.Lock()
        self._listed_at = self.next_at = _OLD
        self._uids: frozenset[str] = frozenset()
        self._events: Mapping[str, tuple[ChildEvent, ...]] = {}

    async def of(self, uid: str, due: datetime, now: datetime) -> tuple[ChildEvent, ...] | None:
        """Return the Events of one object; list them first if the last list is too old for it.

        Args:
            uid: The uid of a Job or pod.
            due: Time since when they should be listed.
            now: The time.

        Returns:
            The Events; None if the list is not allowed yet (`next_at`), or has failed.
        """
        async with self._lock:
            if not self._has(uid, due) and self.next_at <= now:
                await self._list(now)
            return self._events.get(uid, ()) if self._has(uid, due) else None

    def _has(self, uid: str, due: datetime) -> bool:
        return uid in self._uids and self._listed_at >= due

    async def _list(self, now: datetime) -> None:
        uids, began = self._wanted(), self._clock()
        found: dict[str, list[ChildEvent]] = defaultdict(list)

        def keep(body: dict[str, Any]) -> dict[str, Any]:
            if (body.get("regarding") or {}).get("uid") in uids:
                event = parse_event(body)
                found[event.uid].append(event)
            return {}

        try:
            await self._kube.list(EVENTS, self._namespace, fields=_FIELDS, keep=keep)
        except KubeError as error:
            log.warning("no Events of %d starting trials: %s", len(uids), error)
        else:
            self._listed_at, self._uids = now, uids
            self._events = {uid: tuple(events) for uid, events in found.items()}
        took = timedelta(seconds=self._clock() - began)
        self.next_at = now + max(LEAST_PAUSE, _PAUSES * took)


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
