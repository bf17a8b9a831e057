"""Events on CoreJobs: which there are, and their fields."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ID, NOW, UID, at_text, corejob, running

from corejob.model import Status
from corejob.state import State
from corejob_operator.events import refusal, transition


def transition_event(before: Any, status: Status) -> dict[str, Any] | None:
    return transition(before, status, NOW, "pod-1")


def test_the_fields_of_an_event() -> None:
    job = running()
    body = transition_event(
        job, replace(job.status, state=State.ERROR, reason="CodeError", message="no")
    )

    assert body is not None
    assert body["regarding"] == {
        "apiVersion": "core4.io/v1",
        "kind": "CoreJob",
        "name": ID,
        "namespace": "jobs",
        "uid": UID,
        "resourceVersion": "7",
    }
    assert (body["reason"], body["note"]) == ("CodeError", "error, trial 1: no")
    assert (body["type"], body["eventTime"]) == ("Warning", at_text(0))
    assert (body["reportingController"], body["reportingInstance"]) == (
        "core4.io/operator",
        "pod-1",
    )


def test_no_change_is_no_event() -> None:
    job = running()

    assert transition_event(job, job.status) is None
    assert transition_event(job, replace(job.status, message="other words", node="n2")) is None


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("pending", "Queued"),
        ("pending", "MaxParallel"),
        ("pending", "Starting"),
        ("failed", "RetryLater"),
        ("running", "Terminating"),
    ],
)
def test_an_ordinary_wait_has_no_event(state: str, reason: str) -> None:
    job = corejob(status={"state": state, "trial": 1, "reason": "CodeError"})

    assert transition_event(job, replace(job.status, reason=reason)) is None
    assert transition_event(corejob(), replace(corejob().status, reason="Starting")) is None


def test_a_problem_has_one_event_whatever_the_state() -> None:
    job = corejob(status={"state": "failed", "trial": 1, "reason": "RetryLater"})
    pull = replace(job.status, reason="ImagePull", message="no such image")
    body = transition_event(job, pull)

    assert body is not None
    assert (body["type"], body["note"]) == ("Warning", "failed, trial 1: no such image")
    assert transition_event(replace(job, status=pull), replace(pull, message="still")) is None


def test_start_and_end_in_one_write_have_one_event() -> None:
    job = corejob()
    body = transition_event(job, replace(job.status, state=State.COMPLETE, reason="Completed"))

    assert body is not None
    assert body["reason"] == "Completed"


def test_a_refused_job_has_an_event_for_each_new_message() -> None:
    job = corejob()
    refused = replace(job.status, reason="Queued", message="denied: no jobs on Fridays")
    body = refusal(job, refused, NOW, "pod-1")

    assert body is not None
    assert (body["type"], body["reason"]) == ("Warning", "Queued")
    assert body["note"] == "pending, trial 0: denied: no jobs on Fridays"
    assert refusal(replace(job, status=refused), refused, NOW, "pod-1") is None


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [
        (State.COMPLETE, "Completed", "Normal"),
        (State.DEFERRED, "Deferred", "Normal"),
        (State.PENDING, "Suspended", "Normal"),
        (State.PENDING, "Evicted", "Warning"),
        (State.PENDING, "Unschedulable", "Warning"),
        (State.PENDING, "ImagePull", "Warning"),
        (State.PENDING, "TemplateNotFound", "Warning"),
        (State.FAILED, "CodeError", "Warning"),
        (State.KILLED, "Killed", "Warning"),
        (State.INACTIVE, "DeferMaxExceeded", "Warning"),
    ],
)
def test_the_warnings(state: State, reason: str, kind: str) -> None:
    body = transition_event(running(), Status(ID, state=state, reason=reason))

    assert body is not None
    assert body["type"] == kind


def test_a_note_has_at_most_a_kilobyte_and_no_half_character() -> None:
    body = transition_event(
        running(), Status(ID, state=State.ERROR, reason="CodeError", message="ü" * 2000)
    )

    assert body is not None
    assert 1000 < len(body["note"].encode()) <= 1024
    assert body["note"].endswith("ü")


def test_two_events_have_two_names() -> None:
    job = corejob()
    ended = replace(job.status, state=State.COMPLETE)
    bodies = [transition_event(job, ended) for _ in range(2)]

    assert len({str(body["metadata"]["name"]) for body in bodies if body}) == 2
