"""`status.conditions` of a CoreJob, computed from its state; a time is that of a change."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from corejob import clock
from corejob.model import Status
from corejob.names import Condition
from corejob.state import FINAL, State


def conditions(
    status: Status, generation: int, known: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """The three conditions, in a fixed order.

    Args:
        status: The status that is about to be written.
        generation: Of the spec that it was computed from.
        known: The conditions as they are, for the times of those that don't change.
        now: The time of those that do.
    """
    truth = {
        Condition.COMPLETE: status.state is State.COMPLETE,
        Condition.FAILED: status.state in {State.ERROR, State.INACTIVE},
        Condition.FINISHED: status.state in FINAL,
    }
    before = {condition["type"]: condition for condition in known}
    result = []
    for kind, true in truth.items():
        value = "True" if true else "False"
        old = before.get(str(kind))
        if old is not None and old["status"] == value:
            # Reason and message of a condition are those of its change: no write for each new
            # message of a waiting job.
            result.append(dict(old))
            continue
        result.append(
            {
                "type": str(kind),
                "status": value,
                "observedGeneration": generation,
                "lastTransitionTime": clock.render(now),
                "reason": status.reason or str(status.state).capitalize(),
                "message": status.message or "",
            }
        )
    return result
