"""Who is next: forced jobs first, then higher priority, then older ones, never over a limit.

A pure data structure over all jobs that wait or run (contract section 5, "choice of the next job").
Waiting jobs of one qual_name and one maxParallel stand in one lane, in order; only the heads of
lanes that have room compete, so a decision costs O(log n) and ten thousand waiting jobs cost no
more than ten. Times are epoch seconds.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from sortedcontainers import SortedList

_FORCED: Final = ("", 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One job as far as the choice cares.

    Attributes:
        key: The CoreJob's name.
        order: The job's id: ascending with time.
        max_parallel: Jobs of this qual_name at once.
        due: Not before this time; 0 = at once.
    """

    key: str
    qual_name: str
    order: str
    priority: int
    force: bool
    max_parallel: int
    due: float = 0.0

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Sorts the first to start first."""
        return (not self.force, -self.priority, self.order, self.key)

    @property
    def lane(self) -> tuple[str, int]:
        """Jobs of one lane are held back by the same limit."""
        return _FORCED if self.force else (self.qual_name, self.max_parallel)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a job waits: `limit` is `namespace`, `max_parallel`, or None (it is not due yet)."""

    limit: str | None
    running: int = 0
    allowed: int = 0
    ahead: int = 0


class Admission:
    """The waiting and the running jobs of a namespace.

    Args:
        limit: Jobs at once, all together; 0 = no limit. Forced jobs count towards no limit.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._waiting: dict[str, Entry] = {}
        self._active: dict[str, Entry] = {}
        self._later: SortedList = SortedList()
        self._lanes: dict[tuple[str, int], SortedList] = {}
        self._heads: SortedList = SortedList()
        self._running: Counter[str] = Counter()
        self._total = 0

    def wait(self, entry: Entry) -> None:
        """Put a job among the waiting ones, or renew what is known of it there."""
        if self._waiting.get(entry.key) == entry:
            return
        self.forget(entry.key)
        self._waiting[entry.key] = entry
        self._later.add((entry.due, entry.key))

    def activate(self, entry: Entry) -> None:
        """A job runs, or is about to: it counts towards the limits from now on."""
        if entry.key in self._active:
            return
        self.forget(entry.key)
        self._active[entry.key] = entry
        self._count(entry, 1)

    def forget(self, key: str) -> None:
        """A job neither waits nor runs any more."""
        entry = self._waiting.pop(key, None)
        if entry is not None:
            self._later.discard((entry.due, key))
            self._leave_lane(entry)
        running = self._active.pop(key, None)
        if running is not None:
            self._count(running, -1)

    def is_active(self, key: str) -> bool:
        """Whether the job was admitted."""
        return key in self._active

    def admit(self, now: float) -> list[str]:
        """The keys of all jobs that may start now, the first first; they are active from now on."""
        self._fall_due(now)
        admitted = []
        while (entry := self._next()) is not None:
            self.activate(entry)
            admitted.append(entry.key)
        return admitted

    def next_due(self) -> float | None:
        """When the next job falls due; None if none will."""
        return self._later[0][0] if self._later else None

    def blocked(self, key: str) -> Blocked | None:
        """Why a waiting job waits; None if it isn't waiting."""
        entry = self._waiting.get(key)
        if entry is None:
            return None
        lane = self._lanes.get(entry.lane)
        if lane is None or entry.rank not in lane:
            return Blocked(None)
        ahead = lane.index(entry.rank)
        running = self._running[entry.qual_name]
        if running >= entry.max_parallel and not entry.force:
            return Blocked("max_parallel", running, entry.max_parallel, ahead)
        return Blocked("namespace", self._total, self._limit, ahead)

    def waiting(self) -> int:
        """How many jobs wait, due or not."""
        return len(self._waiting)

    def active(self) -> int:
        """How many jobs run, forced ones included."""
        return len(self._active)

    def _fall_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, key = self._later.pop(0)
            entry = self._waiting[key]
            lane = self._lanes.get(entry.lane)
            if lane is None:
                lane = self._lanes[entry.lane] = SortedList()
            old = lane[0] if lane else None
            lane.add(entry.rank)
            self._renew_head(entry.lane, old)

    def _leave_lane(self, entry: Entry) -> None:
        lane = self._lanes.get(entry.lane)
        if lane is None or entry.rank not in lane:
            return
        old = lane[0]
        lane.remove(entry.rank)
        self._renew_head(entry.lane, old)
        if not lane:
            del self._lanes[entry.lane]

    def _renew_head(self, lane_key: tuple[str, int], old: Hashable) -> None:
        """Only heads of lanes with room stand in `_heads`."""
        lane = self._lanes[lane_key]
        if old is not None:
            self._heads.discard((old, lane_key))
        if lane and self._has_room(lane_key):
            self._heads.add((lane[0], lane_key))

    def _has_room(self, lane: tuple[str, int]) -> bool:
        return lane == _FORCED or self._running[lane[0]] < lane[1]

    def _count(self, entry: Entry, step: int) -> None:
        if entry.force:
            return
        before = self._running[entry.qual_name]
        self._total += step
        self._running[entry.qual_name] += step
        if not self._running[entry.qual_name]:
            del self._running[entry.qual_name]
        # Of all lanes of the qual_name only that of this very limit gains or loses its room.
        lane = (entry.qual_name, max(before, before + step))
        if lane in self._lanes:
            self._renew_head(lane, self._lanes[lane][0])

    def _next(self) -> Entry | None:
        if not self._heads:
            return None
        rank, lane = self._heads[0]
        full = self._limit and self._total >= self._limit
        if full and lane != _FORCED:
            return None
        return self._waiting[rank[3]]
