"""Limits the Events of each object, as client-go's recorder does.

Each object has a token bucket: 25 Events at once, then one each five minutes. From the eleventh
similar Event within ten minutes on, all are counted in one (`series`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from corejob import timestamps

BURST: Final = 25
REFILL: Final = timedelta(minutes=5)
"""Time after which an object may have one more Event."""
MOST_SIMILAR: Final = 10
SIMILAR_WITHIN: Final = timedelta(minutes=10)
_MOST_OBJECTS: Final = 4096


class EventSeries(NamedTuple):
    """A new count of an Event that was posted before.

    Attributes:
        name: Name of the Event.
        namespace: Its namespace.
        patch: The merge patch.
    """

    name: str
    namespace: str
    patch: Mapping[str, Any]


@dataclass(slots=True)
class _Similar:
    """Similar Events about an object: the same type, reason and action."""

    last: datetime
    count: int = 0
    series_name: str | None = None


@dataclass(slots=True)
class _Regarding:
    """The object that Events are about."""

    tokens: float
    filled: datetime
    similar: dict[tuple[str, ...], _Similar] = field(default_factory=dict)


class EventCorrelator:
    """Decides what becomes of each Event. Forgets the objects that had no Event for longest."""

    def __init__(self) -> None:
        self._objects: OrderedDict[str, _Regarding] = OrderedDict()

    def correlate(
        self, body: Mapping[str, Any], now: datetime
    ) -> Mapping[str, Any] | EventSeries | None:
        """Return the Event to create, or the series to count it in; None drops it."""
        about = self._about(str(body["regarding"]["uid"]), now)
        similar = _similar(about, body, now)
        similar.count, similar.last = similar.count + 1, now
        if not _take_token(about, now):
            return None
        if similar.count <= MOST_SIMILAR:
            return body
        series = {"count": similar.count, "lastObservedTime": timestamps.render(now)}
        meta = body["metadata"]
        if similar.series_name is None:
            similar.series_name = str(meta["name"])
            return {**body, "series": series}
        return EventSeries(similar.series_name, str(meta["namespace"]), {"series": series})

    def _about(self, uid: str, now: datetime) -> _Regarding:
        about = self._objects.pop(uid, None) or _Regarding(BURST, now)
        self._objects[uid] = about
        if len(self._objects) > _MOST_OBJECTS:
            self._objects.popitem(last=False)
        return about


def _similar(about: _Regarding, body: Mapping[str, Any], now: datetime) -> _Similar:
    """Return the similar Events until now, none if the last one is long ago."""
    key = (body["type"], body["reason"], body["action"])
    similar = about.similar.get(key)
    if similar is None or now - similar.last > SIMILAR_WITHIN:
        similar = about.similar[key] = _Similar(now)
    return similar


def _take_token(about: _Regarding, now: datetime) -> bool:
    """Take a token if the object has one."""
    about.tokens = min(BURST, about.tokens + (now - about.filled) / REFILL)
    about.filled = now
    if about.tokens < 1:
        return False
    about.tokens -= 1
    return True
