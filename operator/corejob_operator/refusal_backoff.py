"""Back-off after the API server refused a create, by a policy, a webhook or a quota.

The object is the Job of a trial, or the CoreJob that restarts another.

Events must not cause a retry during the back-off: a refusal whose message differs each time is
written to the status, observed as a change, and would be retried at once, without end.
"""

from datetime import datetime, timedelta
from typing import Final

_FIRST_S: Final = 2
_LONGEST_S: Final = 60


class RefusalBackoff:
    """Back-off of the CoreJobs whose last create was refused, by name.

    It is in memory only: a new leader retries at once.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._until: dict[str, datetime] = {}

    def note(self, name: str, now: datetime) -> datetime:
        """Count a refusal; return when to retry: after 2, 4, 8 … 60 seconds."""
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        seconds = min(_LONGEST_S, _FIRST_S << min(count, 10))
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
