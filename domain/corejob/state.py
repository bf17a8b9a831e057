"""The states of a job and the transitions between them (docs/rest.md, "States")."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """`status.state`."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    ERROR = "error"
    DEFERRED = "deferred"
    INACTIVE = "inactive"
    KILLED = "killed"


FINAL: Final = frozenset({State.COMPLETE, State.ERROR, State.INACTIVE, State.KILLED})
WAITING: Final = frozenset({State.PENDING, State.FAILED, State.DEFERRED})
STOPPED: Final = frozenset({State.KILLED, State.INACTIVE, State.ERROR})
"""Final states in which a job stays in the queue until it is removed or restarted."""

_ENDS: Final = frozenset(
    {
        State.COMPLETE,
        State.FAILED,
        State.ERROR,
        State.DEFERRED,  # becomes `inactive` if its next trial falls due too late
        State.KILLED,
        State.PENDING,  # a disruption: the trial runs again
    }
)
"""States at the end of a trial."""
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.RUNNING, *_ENDS} - {State.PENDING}),
    State.RUNNING: _ENDS,
    State.FAILED: frozenset({State.RUNNING, *_ENDS} - {State.FAILED}),
    State.DEFERRED: frozenset({State.RUNNING, State.INACTIVE, *_ENDS} - {State.DEFERRED}),
    State.COMPLETE: frozenset(),
    State.ERROR: frozenset(),
    State.INACTIVE: frozenset(),
    State.KILLED: frozenset(),
}
"""The transitions that one status write may make.

A waiting job goes directly to the end of a trial that was over before it was observed running.
"""


def highstate(state: State) -> str | None:
    """Return `highstate` of the job document: `running`, `waiting`, `stopped`; None if complete."""
    if state is State.RUNNING:
        return "running"
    if state in WAITING:
        return "waiting"
    return "stopped" if state in STOPPED else None
