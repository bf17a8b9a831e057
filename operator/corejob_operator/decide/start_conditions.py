"""Start conditions of a waiting job: the reason why it may not start yet, with message and time."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from corejob import timestamps
from corejob.model import CoreJob
from corejob.names import Reason
from corejob.state import WAITING, State
from corejob.trial import overdue_at, silent_node
from corejob_operator.admission import Blocked
from corejob_operator.decide.refusal import refuse
from corejob_operator.decide.requests import due
from corejob_operator.decide.types import (
    Decision,
    Parent,
    PendingLog,
    Situation,
    StartCondition,
)

MAY_START: Final = StartCondition()
_MOST_ERROR_CHARS: Final = 500


def wants_to_start(situation: Situation) -> bool:
    """True if nothing but the admission or the cookie can keep the job from starting.

    Only such a job asks the admission for its turn.
    """
    job = situation.job
    if job.status.state not in WAITING or not job.has_finalizer or job.kill or job.remove:
        return False
    if situation.begun or not situation.has_template:
        return False
    return refuse(situation) is None and behind_parent(situation) is None


def start_condition(situation: Situation) -> StartCondition:
    """Return the start condition of the job's next trial."""
    job, turn = situation.job, situation.turn
    if situation.begun:
        return MAY_START  # a starting job stays admitted, even if its template is deleted
    if not situation.has_template:
        text = f"there is no CoreJobTemplate of qualName {job.qual_name} in the namespace"
        return StartCondition(Reason.TEMPLATE_NOT_FOUND, text)
    if not turn.admitted:
        return not_admitted(job, turn.blocked, situation.now)
    if turn.retry_at is not None:
        return StartCondition(Reason.QUEUED, job.status.message, turn.retry_at)
    return after_logs(situation.pending_logs)


def behind_parent(situation: Situation) -> Decision | None:
    """Return the decision about a restarted job whose parent has not ended; None: go on.

    Killed and removed jobs wait as well: so in a chain of restarts, all jobs before one have ended
    if its parent has. Then the trials count on from the parent's last one, which may be higher than
    at the restart, since the parent's pod may have started after it. That count is written before
    any other decision, because the number of the next trial depends on it.
    """
    job, parent = situation.job, situation.parent
    if parent is None or job.status.state not in WAITING:
        return None
    if not job.has_finalizer or situation.begun:
        return None
    condition = after_parent(parent, situation.now)
    if condition.reason is not None:
        status = replace(job.status, reason=str(condition.reason), message=condition.message)
        return Decision(status, requeue_at=condition.until)
    if parent.trials <= job.carried_trials:
        return None
    return Decision(replace(job.status, trial=parent.trials, carried_trials=parent.trials))


def after_parent(parent: Parent, now: datetime) -> StartCondition:
    """Block a restarted job until its parent has ended and the parent's pods have ended too.

    So the two never run at the same time.
    """
    pods = [pod for pod in parent.pods if not pod.over]
    silent = next(filter(None, (silent_node(pod, now) for pod in pods if pod.deleting)), None)
    until = overdue_at(pods, now)
    if not parent.ended:
        text = silent or "waiting for the job that it restarts to end"
        return StartCondition(Reason.PARENT_TERMINATING, text, until)
    if pods:
        text = silent or "waiting for the pod of the job that it restarts"
        return StartCondition(Reason.PARENT_TERMINATING, text, until)
    return MAY_START


def not_admitted(job: CoreJob, blocked: Blocked | None, now: datetime) -> StartCondition:
    """Return why a job is not admitted: not due yet, over a limit, or behind other jobs."""
    moment = due(job)
    if moment is not None and moment > now:
        if job.status.disruptions and job.status.state is State.PENDING:
            return StartCondition(Reason(str(job.status.reason)), job.status.message, moment)
        deferred = job.status.state is State.DEFERRED
        reason = Reason.DEFERRED if deferred else Reason.RETRY_LATER
        error = str((job.status.last_error or {}).get("exception") or "the last trial failed")
        text = f"next trial not before {timestamps.iso(moment)} UTC: {error[:_MOST_ERROR_CHARS]}"
        return StartCondition(reason, text, moment)
    if blocked is None or blocked.limit is None:
        return StartCondition(Reason.QUEUED, "waiting for its turn")
    known = known_ahead(blocked)
    place = f"{known} before it" if blocked.ahead <= 10 else f"more than {known} before it"
    if blocked.limit == "max_parallel":
        text = f"{blocked.running} of at most {blocked.allowed} {job.qual_name} run; {place}"
        return StartCondition(Reason.MAX_PARALLEL, text)
    text = f"{blocked.running} of at most {blocked.allowed} jobs run in the namespace; {place}"
    return StartCondition(Reason.NAMESPACE_LIMIT, text)


def after_logs(pending: tuple[PendingLog, ...]) -> StartCondition:
    """Block a trial until the logs that may still change its cookie are stored, or given up."""
    if not pending:
        return MAY_START
    first = min(pending, key=lambda log: (log.corejob, log.trial))
    text = (
        f"the log of trial {first.trial} of {first.corejob} is not stored completely yet: "
        "it may change the cookie"
    )
    return StartCondition(Reason.COOKIE_PENDING, text, min(log.deadline for log in pending))


def known_ahead(blocked: Blocked) -> int:
    """Return the number of jobs ahead, rounded down, coarser further back.

    Each change of it costs a write.
    """
    for step in (1000, 100, 10):
        if blocked.ahead > step:
            return blocked.ahead // step * step
    return blocked.ahead
