"""How long past jobs are kept: settings, and what follows from them for one job after the other."""

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
    """What may go.

    Attributes:
        max_age_days: Days that a past job is kept, at most; 0 is for ever.
        max_bytes: What all jobs may take in the store, about; 0 is any size.
        dry_run: Only say what would go.
    """

    max_age_days: float = 0.0
    max_bytes: int = 0
    dry_run: bool = False

    @property
    def is_set(self) -> bool:
        """Whether anything may go at all."""
        return self.max_age_days > 0 or self.max_bytes > 0

    def cutoff(self, now: float) -> float | None:
        """What is older than this time goes; None if age doesn't matter."""
        return now - self.max_age_days * _DAY_S if self.max_age_days > 0 else None

    def excess(self, stored: int) -> int:
        """How many bytes are too many."""
        return max(0, stored - self.max_bytes) if self.max_bytes > 0 else 0


@dataclass(slots=True)
class Tally:
    """What goes, or would go.

    Attributes:
        jobs: How many past jobs.
        bytes: About what they take.
        first: When the journal took the first of them over, in seconds since the epoch.
        last: And the last.
        orphans: How many logs whose job was never journaled.
        history: How many rows of the queue's history.
    """

    jobs: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None
    orphans: int = 0
    history: int = field(default=0)

    def add(self, candidate: Candidate) -> None:
        """Count one more past job."""
        self.jobs += 1
        self.bytes += candidate.bytes
        self.first = candidate.at if self.first is None else self.first
        self.last = candidate.at

    @property
    def is_empty(self) -> bool:
        """Whether nothing goes."""
        return not (self.jobs or self.orphans or self.history)


def parse_size(text: str) -> int:
    """Bytes, as a number or with Ki, Mi, Gi or Ti.

    Raises:
        ValueError: It is none of these.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"a size is a whole number of bytes or one with Ki, Mi, Gi, Ti: {text!r}")
    return int(found[1]) * _UNITS[found[2] or ""]


def parse_days(text: str) -> float:
    """Days, whole or not.

    Raises:
        ValueError: It is no such number.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"an age is a number of days: {text!r}")
    return float(text)


def from_environment(environ: Mapping[str, str]) -> Policy:
    """The policy that the environment says.

    Raises:
        ValueError: A variable is bad; the message names it.
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
