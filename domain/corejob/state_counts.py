"""Counts of the jobs in the queue by state, updated with each change of a job."""

from collections import Counter
from collections.abc import Callable

from corejob.model import CoreJob
from corejob.state import State

Listener = Callable[[], None]


class StateCounts:
    """The counts. The cost of an update does not depend on the number of jobs."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._counts: Counter[State] = Counter()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` after each change of the counts, from now on. It must not block."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Stop calling `listener`."""
        self._listeners.remove(listener)

    def put(self, key: str, job: CoreJob) -> None:
        """Update the counts by the newest version of the job of that key."""
        self._move(key, job.state if job.in_queue else None)

    def drop(self, key: str) -> None:
        """Remove the job of that key."""
        self._move(key, None)

    @property
    def total(self) -> int:
        """Number of jobs in the queue."""
        return len(self._states)

    def by_state(self) -> dict[str, int]:
        """Return the number of jobs by state, without zeros, in the order of `State`."""
        return {str(state): self._counts[state] for state in State if self._counts[state]}

    def _move(self, key: str, state: State | None) -> None:
        old = self._states.pop(key, None)
        if state is not None:
            self._states[key] = state
        if state is old:
            return
        if old is not None:
            self._counts[old] -= 1
        if state is not None:
            self._counts[state] += 1
        for listener in self._listeners:
            listener()
