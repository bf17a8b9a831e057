"""Refuse a CoreJob whose name is the id of another job: a log and a record belong to one job."""

from datetime import timedelta
from typing import Final

from corejob import ids, timestamps
from corejob.model import CoreJob
from corejob.names import Reason
from corejob.state import FINAL
from corejob_operator.caches import Caches
from corejob_operator.schedule import scheduled_id

MARGIN: Final = timedelta(minutes=5)
"""Tolerated difference between the clocks of the API's node and of the API server."""
_WHAT_TO_DO: Final = "give the CoreJob a name that is not a job id, or create it by REST"


def id_problem(job: CoreJob, caches: Caches) -> str | None:
    """Return why the job can't have the id that its name says; None if it can, or has ended.

    Only the recorder knows past jobs whose CoreJob is gone; it reports a duplicate in `status.log`.
    """
    if not job.has_finalizer or job.status.state in FINAL:
        return None
    if job.log.reason == Reason.DUPLICATE:
        return job.log.message or f"job id {job.id} is another job's"
    if job.observed or not ids.is_id(job.name):
        return None
    other = _holder(job, caches)
    if other is not None:
        return f"job id {job.id} is CoreJob {other}'s: {_WHAT_TO_DO}"
    parent = caches.parent_of(job.name)
    if parent is not None:
        if _restarts(job, caches.parse(parent)):
            return None
        name = parent["metadata"]["name"]
        return f"job id {job.id} is kept for the restart of CoreJob {name}: {_WHAT_TO_DO}"
    id_time = ids.created_at(job.name)
    if abs(id_time - job.created) <= MARGIN or _is_scheduled(job, caches):
        return None
    return (
        f"its name is the id of a job of {timestamps.iso(id_time)} UTC, but it was created at "
        f"{timestamps.iso(job.created)} UTC: {_WHAT_TO_DO}"
    )


def _holder(job: CoreJob, caches: Caches) -> str | None:
    """Return the name of another CoreJob that has the id already, or None."""
    for other in caches.with_id(job.id):
        if other["metadata"]["name"] != job.name and _is_before(caches.parse(other), job):
            return str(other["metadata"]["name"])
    return None


def _is_before(holder: CoreJob, job: CoreJob) -> bool:
    return holder.observed or (holder.created, holder.uid) < (job.created, job.uid)


def _restarts(job: CoreJob, parent: CoreJob) -> bool:
    """True if the job equals the CoreJob that a restart of `parent` creates."""
    named = (job.spec.get("parentId"), job.spec.get("parentName")) == (parent.id, parent.name)
    same = job.qual_name == parent.qual_name and dict(job.args) == dict(parent.args)
    return named and same


def _is_scheduled(job: CoreJob, caches: Caches) -> bool:
    """True if the job is a run of its template's schedule, even a late one.

    False for a time before the schedule's last one, since that was dealt with already; but the
    schedule's last job stays its job when a later time has been skipped because of it.
    """
    template = caches.template_body(job.qual_name)
    if template is None:
        return False
    run_at = ids.created_at(job.name)
    status = template.get("status") or {}
    last = timestamps.parse(status.get("lastScheduleTime"))
    is_new = last is None or run_at >= last or status.get("lastJobId") == job.name
    return is_new and scheduled_id(template, run_at) == job.name
