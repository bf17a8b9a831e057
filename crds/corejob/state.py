"""The states of a job and the moves between them (contract section 5)."""

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
"""Final, yet still in the queue until removed or restarted."""

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    # `failed` without `running`: an attempt whose own container never ran.
    State.PENDING: frozenset({State.RUNNING, State.FAILED, State.KILLED, State.ERROR}),
    State.RUNNING: frozenset(
        {
            State.COMPLETE,
            State.FAILED,
            State.ERROR,
            State.DEFERRED,  # and from there to `inactive`, when its next trial falls due too late
            State.KILLED,
            State.PENDING,  # a disruption: the trial runs again
        }
    ),
    State.FAILED: frozenset({State.RUNNING, State.KILLED, State.ERROR}),
    State.DEFERRED: frozenset(
        {State.RUNNING, State.FAILED, State.KILLED, State.ERROR, State.INACTIVE}
    ),
    State.COMPLETE: frozenset(),
    State.ERROR: frozenset(),
    State.INACTIVE: frozenset(),
    State.KILLED: frozenset(),
}
"""The moves that one status write may make. A trial that is over before it was seen to run passes
`running` first, in a write of its own, see `corejob_operator.decide`."""


def may_move(old: State, new: State, *, removed: bool) -> bool:
    """Whether a status write may change the state so.

    A removed job has left the queue, and must not come back into it as running: when a trial of it
    has ended that nobody saw running, it goes at once where a running one may go.
    """
    return new in TRANSITIONS[old] or (
        removed and old in WAITING and new in TRANSITIONS[State.RUNNING]
    )


def highstate(state: State) -> str | None:
    """`highstate` of the job document: `running`, `waiting`, `stopped`, or None when complete."""
    if state is State.RUNNING:
        return "running"
    if state in WAITING:
        return "waiting"
    return "stopped" if state in STOPPED else None
