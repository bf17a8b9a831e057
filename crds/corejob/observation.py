"""What a trial's Job and pods say about it, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from corejob import clock
from corejob.names import Reason
from corejob.state import State


class Phase(Enum):
    """How far a trial has come."""

    ABSENT = auto()
    STARTING = auto()
    RUNNING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a trial's children say.

    Attributes:
        outcome: For an ended one: `complete`, `failed`, `deferred`, `error` (no attempt used),
            `killed`, or `pending` if the cluster ended it (no attempt used, it runs again).
        last_error: `{exception, timestamp, traceback}` of the job document, or None.
        started_at: When the job's container started; None if it never did.
    """

    phase: Phase
    reason: Reason
    message: str | None = None
    outcome: State | None = None
    last_error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    node: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """An Event of Kubernetes about a trial's Job or pod.

    Attributes:
        uid: Of the object that it is about.
        at: When it was seen last.
    """

    uid: str
    reason: str
    message: str
    warning: bool
    at: datetime

    @property
    def words(self) -> str:
        """Reason and message in one text."""
        return f"{self.reason}: {self.message}"


def error(exception: str, now: datetime, traceback: list[str] | None = None) -> dict[str, Any]:
    """A `last_error` of the job document."""
    return {"exception": exception, "timestamp": clock.iso(now), "traceback": traceback}
