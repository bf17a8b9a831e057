"""`status.waiting`: the reason of a waiting job in numbers, written together with its message."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from corejob.model import CoreJob, Status, WaitingStatus
from corejob.names import Reason
from corejob.state import WAITING
from corejob_operator.admission import Blocked
from corejob_operator.decide.start_conditions import known_ahead
from corejob_operator.decide.types import DISRUPTED, Decision

_PAUSES: Final = frozenset({Reason.RETRY_LATER, Reason.DEFERRED, *DISRUPTED})
_LIMITS: Final = frozenset({Reason.MAX_PARALLEL, Reason.NAMESPACE_LIMIT})


def with_waiting(
    job: CoreJob, decision: Decision, now: datetime, blocked: Blocked | None = None
) -> Decision:
    """Return the decision with the numbers of its reason, if it changes the status at all.

    The numbers alone never cause a write.
    """
    before = job.status
    if decision.status is before:
        return decision
    status = replace(decision.status, waiting=before.waiting)
    if status != before:
        status = replace(status, waiting=_waiting(before, status, now, blocked))
    return replace(decision, status=status)


def _waiting(
    before: Status, status: Status, now: datetime, blocked: Blocked | None
) -> WaitingStatus | None:
    """Return the numbers of the status's reason; None if the job does not wait.

    A removed job has left the queue.
    """
    if status.reason is None or status.state not in WAITING or status.removed_time is not None:
        return None
    goes_on = before.waiting is not None and before.waiting.reason == status.reason
    waiting = WaitingStatus(
        status.reason,
        since=before.waiting.since if goes_on and before.waiting is not None else now,
        until=status.query_time if status.reason in _PAUSES else None,
    )
    if blocked is None or status.reason not in _LIMITS:
        return waiting
    return replace(
        waiting,
        position=known_ahead(blocked) + 1,
        running=blocked.running,
        limit=blocked.allowed,
    )
