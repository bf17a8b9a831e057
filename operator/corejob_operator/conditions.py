"""`status.conditions` of a CoreJob, computed from its state."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from corejob import timestamps
from corejob.model import Status
from corejob.names import Condition
from corejob.state import FINAL, State


def conditions(
    status: Status, generation: int, current: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return those of the conditions Complete, Failed and Finished that are true, in this order.

    Like a batch/v1 Job, a CoreJob has a condition once it is true, so that one which has not ended
    has none. Those that it has already, from an earlier version of the operator, stay.

    Args:
        status: The status to write.
        generation: Generation of the spec that the status was computed from.
        current: The current conditions; those whose status stays are kept as they are.
        now: `lastTransitionTime` of the others.
    """
    truth = {
        Condition.COMPLETE: status.state is State.COMPLETE,
        Condition.FAILED: status.state in {State.ERROR, State.INACTIVE},
        Condition.FINISHED: status.state in FINAL,
    }
    before = {condition["type"]: condition for condition in current}
    result = []
    for kind, true in truth.items():
        if not true and kind not in before:
            continue
        value = "True" if true else "False"
        old = before.get(str(kind))
        if old is not None and old["status"] == value:
            # Reason and message of a condition are those of its last transition. So a new message
            # of a waiting job doesn't change the conditions too.
            result.append(dict(old))
            continue
        result.append(
            {
                "type": str(kind),
                "status": value,
                "observedGeneration": generation,
                "lastTransitionTime": timestamps.render(now),
                "reason": status.reason or str(status.state).capitalize(),
                "message": status.message or "",
            }
        )
    return result
