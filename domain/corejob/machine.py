"""The transitions of the state machine, as pure functions (docs/rest.md, "States").

Each function takes a job or its status and returns the new `Status`.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from corejob import ids, texts, timestamps
from corejob.model import CoreJob, Status
from corejob.names import KILLED_EXCEPTION, Reason
from corejob.observation import Observation, Phase, error
from corejob.state import State

FIRST_PAUSE_S: Final = 10
MOST_PAUSE_S: Final = 300
_MOST_ARGS: Final = 1_000
"""Maximum characters of args in a message."""


def start(job: CoreJob, trial: int, observation: Observation, now: datetime) -> Status:
    """Return the status of a started trial: `running`, without flags and times of the last one."""
    started = observation.started_at or now
    # The kubelet's clock may be ahead of ours.
    inactive = min(started, now) + timedelta(seconds=job.spec["deferMaxSeconds"])
    return replace(
        job.status,
        state=State.RUNNING,
        reason=str(Reason.RUNNING),
        message=None,
        trial=trial,
        start_time=started,
        query_time=None,
        starting_time=None,
        inactive_time=job.status.inactive_time or inactive,
        nonstop_time=None,
        zombie_time=None,
        node=observation.node,
        pod=observation.pod,
        exit_code=None,
        last_error=job.status.last_error if trial > job.carried_trials + 1 else None,
    )


def unwritten_run(before: CoreJob, after: CoreJob) -> CoreJob | None:
    """Return the running job between two versions of it, for those who were told the first one.

    Start and end of a trial are written at once if it was over before it was observed.

    Args:
        before: A version of the job.
        after: The next version.

    Returns:
        The job at the start of the trial; None if no trial has both begun and ended in between.
    """
    old, new = before.status, after.status
    if State.RUNNING in {old.state, new.state} or not before.in_queue:
        return None
    if new.start_time is None or (new.start_time, new.pod) == (old.start_time, old.pod):
        return None
    observed = Observation(
        Phase.RUNNING, Reason.RUNNING, started_at=new.start_time, node=new.node, pod=new.pod
    )
    job = replace(after, status=old, progress=before.progress)
    return replace(job, status=start(job, new.trial, observed, new.start_time))


def finish(job: CoreJob, observation: Observation, now: datetime) -> Status:
    """Return the status after the end of a running trial.

    `job.status` must be a running one (see `start`).
    """
    status = job.status
    before = status.disruptions
    ended = max(observation.ended_at or now, status.start_time or now)
    spent = (ended - (status.start_time or ended)).total_seconds()
    status = replace(
        status,
        disruptions=None,
        reason=str(observation.reason),
        message=observation.message,
        end_time=ended,
        runtime_seconds=round((status.runtime_seconds or 0.0) + spent, 6),
        last_error=observation.last_error,
        node=observation.node or status.node,
        pod=observation.pod or status.pod,
        exit_code=observation.exit_code,
    )
    if job.stop or observation.outcome is State.KILLED:
        return killed(job, replace(status, finish_time=job.status.finish_time), now)
    match observation.outcome:
        case State.COMPLETE:
            return replace(status, state=State.COMPLETE, finish_time=ended, last_error=None)
        case State.DEFERRED:
            due = _at_the_latest(ended, now) + timedelta(seconds=job.spec["deferTimeSeconds"])
            return replace(status, state=State.DEFERRED, finish_time=ended, query_time=due)
        case State.FAILED:
            return _failed(job, replace(status, finish_time=ended), _at_the_latest(ended, now))
        case State.PENDING:
            again = replace(status, disruptions=None if spent > MOST_PAUSE_S else before)
            again = replace(again, state=State.PENDING)
            return disrupted(again, observation, now, removed=job.remove)
        case _:
            return replace(status, state=State.ERROR, finish_time=ended)


def failed_unstarted(job: CoreJob, trial: int, observation: Observation, now: datetime) -> Status:
    """Return the status after a trial that failed before the job's container ran.

    Causes are an init container, or a program that does not exist. The trial counts, since it used
    an attempt and has a log; but it was never `running`, and has no start.
    """
    ended = observation.ended_at or now
    status = replace(
        job.status,
        reason=str(observation.reason),
        message=observation.message,
        trial=trial,
        start_time=None,
        finish_time=ended,
        end_time=ended,
        starting_time=None,
        disruptions=None,
        query_time=None,
        last_error=observation.last_error,
        node=observation.node,
        pod=observation.pod,
        exit_code=observation.exit_code,
        runtime_seconds=job.status.runtime_seconds or 0.0,
        nonstop_time=None,
        zombie_time=None,
    )
    return _failed(job, status, _at_the_latest(ended, now))


def disrupted(
    status: Status, observation: Observation, now: datetime, *, removed: bool = False
) -> Status:
    """Return the status after the cluster ended or refused a run: it runs again after a back-off.

    A `removed` job has left the queue with this end, and does not run again.

    The back-off is 0 s after the first time, then 10, 20, 40 … 300 s. The count is in the status,
    so that it outlives the operator. There is no back-off for a suspended Job, which is resumed.
    """
    if observation.reason is Reason.SUSPENDED:
        return replace(status, reason=str(observation.reason), message=observation.message)
    count = (status.disruptions or 0) + 1
    pause = timedelta(seconds=0 if removed else pause_seconds(count))
    message = observation.message
    if pause:
        message = f"{message}; it runs again, not before {timestamps.iso(now + pause)} UTC"
    return replace(
        status,
        reason=str(observation.reason),
        message=message,
        disruptions=count,
        query_time=now + pause if pause else None,
    )


def pause_seconds(disruptions: int) -> int:
    """Return the back-off in seconds after this number of disruptions in a row."""
    if disruptions <= 1:
        return 0
    return min(MOST_PAUSE_S, FIRST_PAUSE_S << min(disruptions - 2, 10))


def _at_the_latest(ended: datetime, now: datetime) -> datetime:
    """Return the latest possible end of a trial: the kubelet truncates its times to whole seconds.

    Counted from this time, the next trial never starts too early. A node whose clock is ahead tells
    an end in the future, but the end has been observed by now.
    """
    return min(now, ended + timedelta(seconds=1))


def _failed(job: CoreJob, status: Status, ended: datetime) -> Status:
    left = max(0, status.attempts_left - 1)
    if left == 0:
        return replace(status, state=State.ERROR, attempts_left=0)
    due = ended + timedelta(seconds=job.spec["errorTimeSeconds"])
    return replace(status, state=State.FAILED, attempts_left=left, query_time=due)


def killed(job: CoreJob, status: Status, now: datetime) -> Status:
    """Return the status of a job stopped by the user (with `killed_time`), or by others."""
    by_user = job.kill
    deleted = job.deleting and not by_user
    reason = Reason.KILLED if by_user or deleted else status.reason
    message = status.message
    if by_user:
        message = "killed by the user"
    elif deleted:
        message = "the CoreJob was deleted"
    return replace(
        status,
        state=State.KILLED,
        reason=str(reason),
        message=message,
        killed_time=(status.killed_time or now) if by_user else None,
        query_time=None,
        starting_time=None,
        last_error=status.last_error
        if _is_kill(status)
        else error(KILLED_EXCEPTION, status.end_time or now),
    )


def _is_kill(status: Status) -> bool:
    return (
        bool(status.last_error) and (status.last_error or {}).get("exception") == KILLED_EXCEPTION
    )


def inactive(status: Status) -> Status:
    """Return the status `inactive`: the job has deferred past its `inactive_time`."""
    return replace(
        status,
        state=State.INACTIVE,
        reason=str(Reason.DEFER_MAX),
        message="it deferred longer than deferMaxSeconds after its first start",
        query_time=None,
    )


def failed_before_start(status: Status, observation: Observation, now: datetime) -> Status:
    """Return the status `error` for a trial that can never start, such as by a bad image name.

    It uses no attempt, and no trial is counted.
    """
    return replace(
        status,
        state=State.ERROR,
        reason=str(observation.reason),
        message=observation.message,
        last_error=observation.last_error
        or error(observation.message or str(observation.reason), now),
        query_time=None,
        starting_time=None,
        finish_time=now,
        end_time=now,
    )


def refused(job: CoreJob, duplicate_of: str, now: datetime) -> Status:
    """Return the status `error`, removed, of a job whose equal is in the queue already.

    Args:
        job: The younger job, which has not started.
        duplicate_of: Name of the older CoreJob.
        now: The time.
    """
    args = texts.cut(json.dumps(dict(job.args), ensure_ascii=False), _MOST_ARGS)
    message = (
        f"job [{job.qual_name}] exists with args {args}: CoreJob {duplicate_of} is in the queue"
    )
    return _duplicate(job.status, message, now)


def without_its_id(job: CoreJob, message: str, now: datetime) -> Status:
    """Return the status `error`, removed, of a job whose name is the id of another job.

    It gets a derived id, so that the other job's log and record are never mistaken for its own.
    """
    status = replace(job.status, id=ids.derived_id(job.created, job.uid))
    return _duplicate(status, message, now)


def _duplicate(status: Status, message: str, now: datetime) -> Status:
    return replace(
        status,
        state=State.ERROR,
        reason=str(Reason.DUPLICATE),
        message=message,
        last_error=error(message, now),
        query_time=None,
        starting_time=None,
        removed_time=now,
        finish_time=now,
        end_time=now,
    )
