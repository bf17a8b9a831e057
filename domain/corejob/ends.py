"""Observations of trials that have ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from corejob import texts
from corejob.children import PodChild
from corejob.names import Reason
from corejob.observation import Observation, Phase, error
from corejob.state import State


def end(
    pod: PodChild,
    now: datetime,
    reason: Reason,
    outcome: State,
    message: str | None = None,
    last_error: Mapping[str, Any] | None = None,
) -> Observation:
    """Return the end of a trial with this outcome; time, node and exit code are those of its pod.

    Args:
        pod: The pod, which has ended.
        now: The time of an end without a timestamp.
        reason: The cause.
        outcome: See `Observation`; likewise the others.
        message: The cause in words.
        last_error: The error of the job document.
    """
    return Observation(
        Phase.ENDED,
        reason,
        message,
        outcome=outcome,
        last_error=last_error,
        started_at=pod.started_at,
        ended_at=end_time(pod, now),
        node=pod.node,
        pod=pod.name,
        exit_code=pod.exit_code,
    )


def failure(
    pod: PodChild, now: datetime, reason: Reason, text: str, *, when: datetime | None = None
) -> Observation:
    """Return the end `failed`, with `text` as message and error; `when` is the error's time."""
    text = texts.clean_message(text)
    return end(pod, now, reason, State.FAILED, text, error(text, when or end_time(pod, now)))


def end_time(pod: PodChild, now: datetime) -> datetime:
    """Return when the job's container ended; `now` if nothing tells."""
    return pod.ended_at or now


def last_words(pod: PodChild) -> str:
    """Return the termination message of the job's container as text, empty if there is none."""
    return (pod.termination_message or "").strip()
