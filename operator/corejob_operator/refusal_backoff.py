"""Back-off after the API server refused a create, by a policy, a webhook or a quota.

The object is the Job of a trial, or the CoreJob that restarts another.

Events must not cause a retry during the back-off: a refusal whose message differs each time is
written to the status, observed as a change, and would be retried at once, without end.
"""

import random
from datetime import datetime, timedelta
from typing import Final

from corejob_process.backoff import Draw, pause

_FIRST_S: Final = 2.0
_LONGEST_S: Final = 60.0


class RefusalBackoff:
    """Back-off of the CoreJobs whose last create was refused, by name.

    It is in memory only: a new leader retries at once.

    Args:
        draw: Source of randomness.
    """

    def __init__(self, *, draw: Draw = random.random) -> None:
        self._draw = draw
        self._counts: dict[str, int] = {}
        self._until: dict[str, datetime] = {}

    def refused(self, name: str, now: datetime) -> datetime:
        """Count a refusal; return when to retry: after at most 2, 4, 8 … 60 seconds."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        seconds = pause(count, _FIRST_S, _LONGEST_S, self._draw)
        self._until[name] = now + timedelta(seconds=seconds)
        return self._until[name]

    def waiting(self, name: str, now: datetime) -> datetime | None:
        """Return the end of the back-off; None: create now."""
        until = self._until.get(name)
        return until if until is not None and until > now else None

    def forget(self, name: str) -> None:
        """End the back-off: the object was created, or is not wanted any more."""
        self._counts.pop(name, None)
        self._until.pop(name, None)
