"""When to ask again for what the API server has refused: a policy, a webhook, a quota.

That is the Job of a trial, or the CoreJob that restarts another.

In between, events must not bring another try: a refusal whose words differ each time would be
written, seen as a change, and so tried again at once, without end.
"""

from datetime import datetime, timedelta
from typing import Final

_FIRST_S: Final = 2
_LONGEST_S: Final = 60


class Refusals:
    """The CoreJobs for which something was refused last time, by name.

    Memory only: a new operator asks.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._until: dict[str, datetime] = {}

    def note(self, name: str, now: datetime) -> datetime:
        """Something was refused; when to ask again: after 2, 4, 8 … 60 seconds."""
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        seconds = min(_LONGEST_S, _FIRST_S << min(count, 10))
        self._until[name] = now + timedelta(seconds=seconds)
        return self._until[name]

    def waiting(self, name: str, now: datetime) -> datetime | None:
        """Until when not to ask; None: ask."""
        until = self._until.get(name)
        return until if until is not None and until > now else None

    def forget(self, name: str) -> None:
        """It was made, or nobody wants it any more."""
        self._counts.pop(name, None)
        self._until.pop(name, None)
