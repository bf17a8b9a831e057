"""The number of CoreJobs that have come into line lately."""

from datetime import datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(seconds=10)


class Arrivals:
    """CoreJobs that came into line within the last ten seconds, each counted once."""

    def __init__(self) -> None:
        self._came: dict[str, datetime] = {}

    def note(self, name: str, now: datetime) -> None:
        """Note that a CoreJob is in line."""
        self._came.setdefault(name, now)

    def count(self, now: datetime) -> int:
        """Return the number of CoreJobs that came within the last ten seconds."""
        while self._came:
            name, came = next(iter(self._came.items()))
            if came > now - WINDOW:
                break
            del self._came[name]
        return len(self._came)
