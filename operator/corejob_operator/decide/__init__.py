"""The decision function: from a CoreJob and all that matters to it to actions and a status.

Level-based: only the present state counts, not its history, so that the operator can restart at any
point. Pure: the time is an argument, and the result only describes what to do.
"""

from dataclasses import replace

from corejob.state import FINAL, State
from corejob.trials import with_trials
from corejob_operator.decide.cleanup import tidy
from corejob_operator.decide.refusal import refuse
from corejob_operator.decide.requests import due, removed, replaced, wanted_child
from corejob_operator.decide.running import decide_running
from corejob_operator.decide.start_conditions import behind_parent
from corejob_operator.decide.types import (
    Action,
    AddFinalizer,
    CreateChild,
    CreateTrial,
    Decision,
    DeleteCoreJob,
    DeleteJob,
    DeletePod,
    Parent,
    PendingLog,
    RemoveFinalizer,
    Situation,
    StartCondition,
    Turn,
    next_trial,
    was_created,
)
from corejob_operator.decide.waiting import decide_waiting
from corejob_operator.decide.waiting_status import with_waiting

__all__ = [
    "Action",
    "AddFinalizer",
    "CreateChild",
    "CreateTrial",
    "Decision",
    "DeleteCoreJob",
    "DeleteJob",
    "DeletePod",
    "Parent",
    "PendingLog",
    "RemoveFinalizer",
    "Situation",
    "StartCondition",
    "Turn",
    "decide",
    "due",
    "next_trial",
    "wanted_child",
    "was_created",
]


def decide(situation: Situation) -> Decision:
    """Return the actions and the status that the situation calls for."""
    decision = _decide(situation)
    status = with_trials(situation.job.status, decision.status, situation.now)
    if status is not decision.status:
        decision = replace(decision, status=status)
    return with_waiting(situation.job, decision, situation.now, situation.turn.blocked)


def _decide(situation: Situation) -> Decision:
    early = refuse(situation) or behind_parent(situation)
    if early is not None:
        return early
    job = situation.job
    if not job.has_finalizer and not job.deleting:
        return Decision(job.status, (AddFinalizer(),), queue=_queue(situation))
    if job.status.state in FINAL:
        decision = Decision(removed(job, job.status, situation.now))
    elif job.status.state is State.RUNNING:
        decision = decide_running(situation)
    else:
        decision = decide_waiting(situation)
    return tidy(situation, replaced(situation, decision))


def _queue(situation: Situation) -> str:
    status = situation.job.status
    if status.state in FINAL:
        return "absent"
    starting = any(job.trial == next_trial(situation.job, situation.jobs) for job in situation.jobs)
    return "active" if status.state is State.RUNNING or starting else "waits"
