"""The number of CoreJobs that have come into line lately."""

from datetime import datetime, timedelta
from typing import Final

from corejob.model import CoreJob

WINDOW: Final = timedelta(seconds=10)


class Arrivals:
    """CoreJobs that came into line within the last ten seconds, each counted once."""

    def __init__(self) -> None:
        self._came: dict[str, datetime] = {}

    def note(self, job: CoreJob, now: datetime) -> None:
        """Note that a CoreJob is in line.

        An older one has been counted before, or was there when the operator started.
        """
        if now - job.created < WINDOW:
            self._came.setdefault(job.name, now)

    def count(self, now: datetime) -> int:
        """Return the number of CoreJobs that came within the last ten seconds."""
        while self._came:
            name, came = next(iter(self._came.items()))
            if came > now - WINDOW:
                break
            del self._came[name]
        return len(self._came)
