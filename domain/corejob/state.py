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

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    # `failed` without `running`: a trial whose own container never ran.
    State.PENDING: frozenset({State.RUNNING, State.FAILED, State.KILLED, State.ERROR}),
    State.RUNNING: frozenset(
        {
            State.COMPLETE,
            State.FAILED,
            State.ERROR,
            State.DEFERRED,  # becomes `inactive` if its next trial falls due too late
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
"""The transitions that one status write may make.

A trial that ends before it was observed running becomes `running` first, by a write of its own
(see `corejob_operator.decide`).
"""


def may_move(old: State, new: State, *, removed: bool) -> bool:
    """True if one status write may make this transition.

    A removed job has left the queue, and must not come back into it as running: after the end of a
    trial that was never observed running, it goes directly to any state that may follow `running`.
    """
    return new in TRANSITIONS[old] or (
        removed and old in WAITING and new in TRANSITIONS[State.RUNNING]
    )


def highstate(state: State) -> str | None:
    """Return `highstate` of the job document: `running`, `waiting`, `stopped`; None if complete."""
    if state is State.RUNNING:
        return "running"
    if state in WAITING:
        return "waiting"
    return "stopped" if state in STOPPED else None
