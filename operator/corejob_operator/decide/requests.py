"""Users' requests in a job's spec (kill, remove, restart), and marking them as followed."""

from dataclasses import replace
from datetime import datetime

from corejob import ids, timestamps
from corejob.model import CoreJob, Status
from corejob.state import STOPPED
from corejob_operator.decide.types import CreateChild, Decision, Situation


def due(job: CoreJob) -> datetime | None:
    """Return when the next trial is due; None: at once, also if a restart was requested."""
    return None if requested_restart(job) is not None else job.status.query_time


def requested_restart(job: CoreJob) -> datetime | None:
    """Return `spec.restartAt` of a restart that was not followed yet, else None.

    A restart was followed if `status.restartTime` equals the request; no clocks are compared. An
    unreadable job is never restarted: its child would have other args.
    """
    if job.unreadable:
        return None
    requested = timestamps.lenient(job.spec.get("restartAt"))
    return None if requested == job.status.restart_time else requested


def followed(job: CoreJob, status: Status) -> Status:
    """Mark the requested restart as followed; also used to drop it, as for a running job."""
    requested = timestamps.lenient(job.spec.get("restartAt"))
    return status if requested == status.restart_time else replace(status, restart_time=requested)


def with_restart_followed(situation: Situation) -> Situation:
    """Mark the restart as followed, since its trial exists; unless the job is killed.

    A restart of a killed job creates a child instead of a trial.
    """
    job = situation.job
    status = followed(job, job.status)
    if job.kill or status is job.status:
        return situation
    status = replace(status, query_time=due(job))
    return replace(situation, job=replace(job, status=status))


def kill_time(job: CoreJob, recorded: datetime | None, now: datetime) -> datetime | None:
    """Return when the kill was first observed (`recorded`, else `now`); None without a kill."""
    return (recorded or now) if job.kill else None


def removed(job: CoreJob, status: Status, now: datetime) -> Status:
    """Return the status with the time of the removal, if the user requested one."""
    return replace(status, removed_time=status.removed_time or now) if job.remove else status


def replaced(situation: Situation, decision: Decision) -> Decision:
    """Add the creation of the CoreJob that restarts this one, and note its id in the status."""
    child_id = wanted_child(situation.job)
    if child_id is None or decision.status.child_id is not None:
        return decision
    status = replace(decision.status, child_id=child_id)
    return replace(decision, status=status, actions=(*decision.actions, CreateChild(child_id)))


def wanted_child(job: CoreJob) -> str | None:
    """Return the id of the CoreJob to create as this one's restart; None without a request.

    The API chooses the id (`spec.childId`). For a restart by `spec.restartAt` the id is derived,
    not random, so that a crash between creating the child and noting its id makes no second child.
    """
    stopped = job.status.state in STOPPED
    if job.spec.get("childId"):
        return str(job.spec["childId"]) if stopped else None
    if job.archivable:
        return None  # the journal may have stored the status already, without a child
    # From `spec.kill` on the job counts as killed, so a restart may follow at once.
    restart_at = requested_restart(job) if stopped or job.kill else None
    return ids.derived_id(restart_at, f"{job.uid}/restart") if restart_at is not None else None
