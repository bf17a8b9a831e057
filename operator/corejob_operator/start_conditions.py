"""Start conditions of a waiting job: each gives the reason and message why it may not start yet."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from corejob import timestamps
from corejob.children import PodChild
from corejob.model import CoreJob, parse
from corejob.names import Reason
from corejob.state import FINAL, State
from corejob.trial import overdue_at, silent_node
from corejob_kube.cache import Body
from corejob_operator.admission import AdmissionEntry, Blocked
from corejob_operator.decide import StartCondition, due
from corejob_operator.settings import OperatorSettings

MAY_START: Final = StartCondition()
_MOST_WORDS: Final = 500


def entry(job: CoreJob, settings: OperatorSettings) -> AdmissionEntry:
    """Return the job's entry for the admission."""
    moment = due(job)
    return AdmissionEntry(
        key=job.name,
        qual_name=job.qual_name,
        order=job.id,
        priority=job.spec["priority"],
        force=job.spec["force"],
        max_parallel=job.spec["maxParallel"] or settings.max_parallel,
        due=moment.timestamp() if moment is not None else 0.0,
    )


def without_template(job: CoreJob) -> StartCondition:
    """Return the start condition of a job whose qual_name has no template."""
    text = f"there is no CoreJobTemplate of qualName {job.qual_name} in the namespace"
    return StartCondition(Reason.TEMPLATE_NOT_FOUND, text)


def parent(body: Body | None, pods: Iterable[PodChild], now: datetime) -> StartCondition:
    """Block a restarted job until its parent has ended and the parent's pods have ended too.

    So the two never run at the same time.

    Args:
        body: The parent's CoreJob; None if it is gone.
        pods: The parent's pods.
        now: The time.
    """
    left = [pod for pod in pods if not pod.over]
    silent = next(filter(None, (silent_node(pod, now) for pod in left if pod.deleting)), None)
    until = overdue_at(left, now)
    if body is not None and parse(body).status.state not in FINAL:
        text = silent or "waiting for the job that it restarts to end"
        return StartCondition(Reason.PARENT_TERMINATING, text, until)
    if left:
        text = silent or "waiting for the pod of the job that it restarts"
        return StartCondition(Reason.PARENT_TERMINATING, text, until)
    return MAY_START


def waiting(job: CoreJob, blocked: Blocked | None, now: datetime) -> StartCondition:
    """Return why a job is not admitted: not due yet, over a limit, or behind other jobs."""
    moment = due(job)
    if moment is not None and moment > now:
        if job.status.disruptions and job.status.state is State.PENDING:
            return StartCondition(Reason(str(job.status.reason)), job.status.message, moment)
        deferred = job.status.state is State.DEFERRED
        reason = Reason.DEFERRED if deferred else Reason.RETRY_LATER
        words = str((job.status.last_error or {}).get("exception") or "the last trial failed")
        text = f"next trial not before {timestamps.iso(moment)} UTC: {words[:_MOST_WORDS]}"
        return StartCondition(reason, text, moment)
    if blocked is None or blocked.limit is None:
        return StartCondition(Reason.QUEUED, "waiting for its turn")
    place = f"{_about(blocked.ahead)} before it"
    if blocked.limit == "max_parallel":
        text = f"{blocked.running} of at most {blocked.allowed} {job.qual_name} run; {place}"
        return StartCondition(Reason.MAX_PARALLEL, text)
    text = f"{blocked.running} of at most {blocked.allowed} jobs run in the namespace; {place}"
    return StartCondition(Reason.NAMESPACE_LIMIT, text)


def _about(ahead: int) -> str:
    """Return a rounded place in the queue, coarser further back: each change costs a write."""
    for step in (1000, 100, 10):
        if ahead > step:
            return f"more than {ahead // step * step}"
    return str(ahead)


def duplicate_before(
    body: Body, duplicates: Sequence[Body], admitted: Callable[[Body], bool]
) -> str | None:
    """Return the name of a CoreJob that makes this one a duplicate; None if there is none.

    Args:
        body: A CoreJob that is not admitted to the queue yet.
        duplicates: The other CoreJobs of the same qual_name and args.
        admitted: Returns True if a CoreJob was admitted already. If neither was, the older one has
            precedence.
    """
    for other in duplicates:
        better = admitted(other) or _age(other) < _age(body)
        if better and parse(other).in_queue:
            return str(other["metadata"]["name"])
    return None


def _age(body: Body) -> tuple[str, str]:
    """Sort key: older first, and by uid within one second, so that the order is stable."""
    return (body["metadata"]["creationTimestamp"], body["metadata"]["uid"])
