"""The retention policy of past jobs, and the counts of what it deletes."""

import re
from dataclasses import dataclass
from typing import Final

from corejob_journal.store import Candidate
from corejob_process.settings import setting

_DAY_S: Final = 86_400.0
_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY: Final = re.compile(r"([0-9]{1,18})(Ki|Mi|Gi|Ti)?")
_NUMBER: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_FLAGS: Final = {"true": True, "false": False}


def parse_size(text: str) -> int:
    """Parse a size in bytes, with an optional suffix Ki, Mi, Gi or Ti.

    Raises:
        ValueError: The text is not a size.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError("must be a whole number of bytes, or one with Ki, Mi, Gi or Ti")
    return int(match[1]) * _UNITS[match[2] or ""]


def parse_days(text: str) -> float:
    """Parse a number of days, which may have a fraction.

    Raises:
        ValueError: The text is not such a number.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("must be a number of days")
    return float(text)


def _parse_flag(text: str) -> bool:
    if text not in _FLAGS:
        raise ValueError("must be true or false")
    return _FLAGS[text]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The retention policy.

    Attributes:
        max_age_days: Maximum age of a past job, in days; 0 means no limit.
        max_bytes: Approximate maximum size of all jobs in the store; 0 means no limit.
        dry_run: True to only report what would be deleted.
    """

    max_age_days: float = setting("CORE4_RETENTION_MAX_AGE_DAYS", parse_days, default=0.0)
    max_bytes: int = setting("CORE4_RETENTION_MAX_SIZE", parse_size, default=0)
    dry_run: bool = setting("CORE4_RETENTION_DRY_RUN", _parse_flag, default=False)

    @property
    def is_set(self) -> bool:
        """True if the policy has a limit."""
        return self.max_age_days > 0 or self.max_bytes > 0

    def cutoff(self, now: float) -> float | None:
        """Return the time before which jobs are deleted; None without a maximum age."""
        return now - self.max_age_days * _DAY_S if self.max_age_days > 0 else None

    def excess(self, stored: int) -> int:
        """Return the number of bytes above the maximum size; 0 without one."""
        return max(0, stored - self.max_bytes) if self.max_bytes > 0 else 0


@dataclass(slots=True)
class DeletionCounts:
    """Counts of what is deleted, or would be.

    Attributes:
        jobs: Number of past jobs.
        bytes: Approximate size of these jobs.
        first: When the first of them was journaled, in seconds since the epoch; None without jobs.
        last: When the last of them was journaled, likewise.
        orphans: Number of logs whose job was never journaled.
        history: Number of rows of the queue's history.
    """

    jobs: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None
    orphans: int = 0
    history: int = 0

    def add(self, candidate: Candidate) -> None:
        """Count a past job."""
        self.jobs += 1
        self.bytes += candidate.bytes
        self.first = candidate.at if self.first is None else self.first
        self.last = candidate.at

    @property
    def is_empty(self) -> bool:
        """True if nothing is deleted."""
        return not (self.jobs or self.orphans or self.history)
