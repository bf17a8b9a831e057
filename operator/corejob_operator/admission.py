"""Admission: the choice of the next job, by force, priority and age, within the limits.

A pure data structure over all waiting and running jobs. Forced jobs go first, then jobs of higher
priority, then older ones (docs/rest.md, "States"). Waiting jobs of one qual_name and one
maxParallel form an ordered lane; only the heads of lanes that have room compete, so a decision
costs O(log n). Times are epoch seconds.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from sortedcontainers import SortedList

_FORCED: Final = ("", 0)


@dataclass(frozen=True, slots=True)
class AdmissionEntry:
    """The properties of one job that the choice depends on.

    Attributes:
        key: The CoreJob's name.
        order: The job's id, which ascends with time.
        max_parallel: How many jobs of this qual_name may run at once.
        due: Earliest start; 0 = at once.
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
        """Sort key: the job to start first comes first."""
        return (not self.force, -self.priority, self.order, self.key)

    @property
    def lane(self) -> tuple[str, int]:
        """Key of the job's lane; the same limit applies to all jobs of a lane."""
        return _FORCED if self.force else (self.qual_name, self.max_parallel)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a job waits.

    Attributes:
        limit: `namespace` or `max_parallel`; None: the job is not due yet.
        running: How many jobs count towards the limit now.
        allowed: The limit.
        ahead: How many jobs of the same lane come first.
    """

    limit: str | None
    running: int = 0
    allowed: int = 0
    ahead: int = 0


class Admission:
    """The waiting and the running jobs of a namespace.

    Args:
        limit: How many jobs may run at once; 0 = no limit. Forced jobs count towards no limit.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._waiting: dict[str, AdmissionEntry] = {}
        self._active: dict[str, AdmissionEntry] = {}
        self._later: SortedList = SortedList()
        self._lanes: dict[tuple[str, int], SortedList] = {}
        self._heads: SortedList = SortedList()
        self._running: Counter[str] = Counter()
        self._total = 0

    def wait(self, entry: AdmissionEntry) -> None:
        """Add a job to the waiting ones, or replace its entry there."""
        if self._waiting.get(entry.key) == entry:
            return
        self.forget(entry.key)
        self._waiting[entry.key] = entry
        self._later.add((entry.due, entry.key))

    def activate(self, entry: AdmissionEntry) -> None:
        """Add a job to the running ones: it counts towards the limits from now on."""
        if entry.key in self._active:
            return
        self.forget(entry.key)
        self._active[entry.key] = entry
        self._count(entry, 1)

    def forget(self, key: str) -> None:
        """Remove a job that neither waits nor runs any more; unknown keys are ignored."""
        entry = self._waiting.pop(key, None)
        if entry is not None:
            self._later.discard((entry.due, key))
            self._leave_lane(entry)
        running = self._active.pop(key, None)
        if running is not None:
            self._count(running, -1)

    def is_active(self, key: str) -> bool:
        """True if the job was admitted or runs."""
        return key in self._active

    def admit(self, now: float) -> list[str]:
        """Return the keys of all jobs that may start now, in order, and make them active."""
        self._fall_due(now)
        admitted = []
        while (entry := self._next()) is not None:
            self.activate(entry)
            admitted.append(entry.key)
        return admitted

    def next_due(self) -> float | None:
        """Return when the next job falls due; None if no waiting job has yet to fall due."""
        return self._later[0][0] if self._later else None

    def blocked(self, key: str) -> Blocked | None:
        """Return why a job waits; None if the job is not a waiting one."""
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
        """Return the number of waiting jobs, due or not."""
        return len(self._waiting)

    def active(self) -> int:
        """Return the number of active jobs, including forced ones."""
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

    def _leave_lane(self, entry: AdmissionEntry) -> None:
        lane = self._lanes.get(entry.lane)
        if lane is None or entry.rank not in lane:
            return
        old = lane[0]
        lane.remove(entry.rank)
        self._renew_head(entry.lane, old)
        if not lane:
            del self._lanes[entry.lane]

    def _renew_head(self, lane_key: tuple[str, int], old: Hashable) -> None:
        """Update `_heads`, which has the first job of each lane that has room.

        `old` is the lane's head so far, or None.
        """
        lane = self._lanes[lane_key]
        if old is not None:
            self._heads.discard((old, lane_key))
        if lane and self._has_room(lane_key):
            self._heads.add((lane[0], lane_key))

    def _has_room(self, lane: tuple[str, int]) -> bool:
        return lane == _FORCED or self._running[lane[0]] < lane[1]

    def _count(self, entry: AdmissionEntry, step: int) -> None:
        if entry.force:
            return
        before = self._running[entry.qual_name]
        self._total += step
        self._running[entry.qual_name] += step
        if not self._running[entry.qual_name]:
            del self._running[entry.qual_name]
        # Only the lane of the qual_name with exactly this limit gains or loses its room.
        lane = (entry.qual_name, max(before, before + step))
        if lane in self._lanes:
            self._renew_head(lane, self._lanes[lane][0])

    def _next(self) -> AdmissionEntry | None:
        if not self._heads:
            return None
        rank, lane = self._heads[0]
        full = self._limit and self._total >= self._limit
        if full and lane != _FORCED:
            return None
        return self._waiting[rank[3]]
