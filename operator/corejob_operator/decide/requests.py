"""What users asked of a job by its spec, and whether that was followed."""

from dataclasses import replace
from datetime import datetime

from corejob import clock, ids
from corejob.model import CoreJob, Status
from corejob.state import STOPPED
from corejob_operator.decide.types import CreateChild, Decision, Situation


def due(job: CoreJob) -> datetime | None:
    """When the next trial is due; None: at once, as also when a restart was asked."""
    return None if restart_asked(job) is not None else job.status.query_time


def restart_asked(job: CoreJob) -> datetime | None:
    """`spec.restartAt`, unless it was followed already; no clocks are compared.

    Who can't be read is not restarted: its child would have other args.
    """
    if job.unreadable:
        return None
    asked = clock.lenient(job.spec.get("restartAt"))
    return None if asked == job.status.restart_time else asked


def followed(job: CoreJob, status: Status) -> Status:
    """Note that a restart was followed, or is none: a job that runs can't be restarted."""
    return replace(status, restart_time=clock.lenient(job.spec.get("restartAt")))


def with_restart_followed(seen: Situation) -> Situation:
    """A restart asks for the next trial at once, and there it is; but a killed job is replaced."""
    job = seen.job
    if job.kill:
        return seen
    return replace(seen, job=replace(job, status=followed(job, job.status)))


def kill_time(job: CoreJob, known: datetime | None, now: datetime) -> datetime | None:
    """When the user's kill was seen; None if there was none."""
    return (known or now) if job.kill else None


def removed(job: CoreJob, status: Status, now: datetime) -> Status:
    """The status with the time of the removal, if one was asked."""
    return replace(status, removed_time=status.removed_time or now) if job.remove else status


def replaced(seen: Situation, decision: Decision) -> Decision:
    """The job that restarts this one is made, and noted."""
    child_id = wanted_child(seen.job)
    if child_id is None or decision.status.child_id is not None:
        return decision
    status = replace(decision.status, child_id=child_id)
    return replace(decision, status=status, actions=(*decision.actions, CreateChild(child_id)))


def wanted_child(job: CoreJob) -> str | None:
    """The id of the CoreJob that is to restart this one: the API's choice, or one of ours.

    Ours is derived, not drawn, so that a crash between creating it and noting it makes no second.
    """
    stopped = job.status.state in STOPPED
    if job.spec.get("childId"):
        return str(job.spec["childId"]) if stopped else None
    if job.past:
        return None  # the journal may have it as it is
    # One that is marked killed counts as killed.
    asked = restart_asked(job) if stopped or job.kill else None
    return ids.derived_id(asked, f"{job.uid}/restart") if asked is not None else None
