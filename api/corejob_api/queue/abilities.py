"""The commands that a user may give to a job now, and why not the others (docs/rest.md)."""

from enum import StrEnum
from typing import Final, Protocol

from corejob.state import FINAL, STOPPED, State
from corejob_api.query.ordering import Row

_WAITS_FOR_TRIAL: Final = frozenset({State.FAILED, State.DEFERRED})


class Command(StrEnum):
    """The commands for an existing job, and the enqueue of another one of its name."""

    KILL = "kill"
    RESTART = "restart"
    REMOVE = "remove"
    ENQUEUE = "enqueue"


_METHODS: Final = {
    Command.KILL: "PUT",
    Command.RESTART: "PUT",
    Command.REMOVE: "PUT",
    Command.ENQUEUE: "POST",
}


class Rights(Protocol):
    """The rights of a user."""

    def may_call(self, method: str) -> bool:
        """Return True if the user may call the API with an HTTP method."""

    def may_execute(self, qual_name: str) -> bool:
        """Return True if the user may execute the jobs of a qual_name."""


def restart_problem(job_id: str, state: State) -> str | None:
    """Return why a job in the queue can't be restarted in this state; None if it can."""
    if state in STOPPED or state in _WAITS_FOR_TRIAL:
        return None
    return (
        f"job [{job_id}] is {state}: only a job that waits for another trial or has stopped can "
        "be restarted"
    )


def of(document: Row, user: Rights, *, in_queue: bool) -> Row:
    """Return the fields `can` (True or False by command) and `cannot` (the reasons).

    Args:
        document: The job document.
        user: The rights of the user.
        in_queue: True if the job is in the queue; False for a past job.
    """
    problems = {
        command: _problem(command, document, user, in_queue=in_queue) for command in Command
    }
    return {
        "can": {str(command): problem is None for command, problem in problems.items()},
        "cannot": {str(command): problem for command, problem in problems.items() if problem},
    }


def _problem(command: Command, document: Row, user: Rights, *, in_queue: bool) -> str | None:
    job_id, state = document["_id"], State(document["state"])
    if not user.may_call(_METHODS[command]):
        return f"no permission to call the API with {_METHODS[command]}"
    if not user.may_execute(document["qual_name"]):
        return f"no permission to execute job [{job_id}]"
    if command is Command.ENQUEUE:
        return None
    if not in_queue:
        return f"job [{job_id}] has left the queue"
    if command is Command.RESTART:
        return restart_problem(job_id, state)
    if command is Command.KILL and state in FINAL:
        return f"job [{job_id}] is {state}: it has ended already"
    return None
