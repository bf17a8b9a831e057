"""Observation of a trial: the state of its Job and pods as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from corejob import timestamps
from corejob.names import Reason
from corejob.state import State


class Phase(Enum):
    """Phase of a trial."""

    ABSENT = auto()
    STARTING = auto()
    RUNNING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of a trial by its Job and pods.

    Attributes:
        outcome: For an ended trial: `complete`, `failed`, `deferred`, `error` (no attempt used),
            `killed`, or `pending` if the cluster ended it (no attempt used, it runs again).
        last_error: `{exception, timestamp, traceback}` of the job document, or None.
        started_at: When the job's container started; None if it never did.
        exit_code: Its exit code, or that of the init container that failed; None if unknown.
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
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """A Kubernetes Event about a trial's Job or pod.

    Attributes:
        uid: The uid of the Job or pod.
        at: When it was last observed.
    """

    uid: str
    reason: str
    message: str
    warning: bool
    at: datetime

    @property
    def text(self) -> str:
        """Reason and message in one text."""
        return f"{self.reason}: {self.message}"


def error(exception: str, now: datetime, traceback: list[str] | None = None) -> dict[str, Any]:
    """Return a `last_error` of the job document."""
    return {"exception": exception, "timestamp": timestamps.iso(now), "traceback": traceback}
