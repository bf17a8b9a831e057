"""The start deadline: how long a trial may take to start, whatever keeps it from starting."""

from dataclasses import replace
from datetime import datetime, timedelta

from corejob import machine
from corejob.model import Status
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob_operator.decide.types import Situation, next_trial


def start_deadline(situation: Situation) -> datetime | None:
    """Return when the starting trial exceeds the start deadline, for any cause; None: never.

    A Job is suspended on purpose, so the time counts from its resumption.
    """
    number, seconds = next_trial(situation.job, situation.jobs), situation.settings.start_deadline
    since = starting_time(situation, number)
    if not seconds or since is None:
        return None
    job = situation.job_of(number)
    if job is not None:
        if job.suspended or job.suspension_in_force:
            return None
        since = max(since, job.resumed_at or since)
    return since + timedelta(seconds=seconds)


def starting_time(situation: Situation, number: int) -> datetime | None:
    """Return when the start of the trial was first requested; None before.

    Until the status has it, it is the creation time of the trial's Job.
    """
    child = situation.job_of(number)
    return situation.job.status.starting_time or (child.created if child is not None else None)


def with_starting_time(situation: Situation, number: int) -> Status:
    """Return the status with the time at which the start of the trial was first requested."""
    since = starting_time(situation, number) or situation.now
    return replace(situation.job.status, starting_time=since)


def too_late(situation: Situation, reason: str | None, message: str | None) -> Status:
    """Return the status `error` of a job whose trial has exceeded the start deadline."""
    late = f"not started within {situation.settings.start_deadline:g} s: {message}"
    observed = Observation(Phase.ENDED, Reason(reason or Reason.STARTING), late)
    return machine.failed_before_start(situation.job.status, observed, situation.now)
