"""The retention policy of past jobs, and the counts of what it deletes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from corejob_journal.store import Candidate

_DAY_S: Final = 86_400.0
_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY: Final = re.compile(r"([0-9]{1,18})(Ki|Mi|Gi|Ti)?")
_NUMBER: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_WORDS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Policy:
    """The retention policy.

    Attributes:
        max_age_days: Maximum age of a past job, in days; 0 means no limit.
        max_bytes: Approximate maximum size of all jobs in the store; 0 means no limit.
        dry_run: True to only report what would be deleted.
    """

    max_age_days: float = 0.0
    max_bytes: int = 0
    dry_run: bool = False

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
class Tally:
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
    history: int = field(default=0)

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


def parse_size(text: str) -> int:
    """Parse a size in bytes, with an optional suffix Ki, Mi, Gi or Ti.

    Raises:
        ValueError: The text is not a size.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"a size is a whole number of bytes or one with Ki, Mi, Gi, Ti: {text!r}")
    return int(found[1]) * _UNITS[found[2] or ""]


def parse_days(text: str) -> float:
    """Parse a number of days, which may have a fraction.

    Raises:
        ValueError: The text is not such a number.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"an age is a number of days: {text!r}")
    return float(text)


def from_environment(environ: Mapping[str, str]) -> Policy:
    """Read the policy from the environment.

    Raises:
        ValueError: A variable is invalid; the message names it.
    """

    def of(name: str) -> str:
        return environ.get(name) or "0"

    try:
        name = "CORE4_RETENTION_MAX_AGE_DAYS"
        days = parse_days(of(name))
        name = "CORE4_RETENTION_MAX_SIZE"
        size = parse_size(of(name))
        name = "CORE4_RETENTION_DRY_RUN"
        word = environ.get(name) or "false"
        if word not in _WORDS:
            raise ValueError(f"it is true or false, not {word!r}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return Policy(days, size, _WORDS[word])
