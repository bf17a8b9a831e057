"""Events on CoreJobs: which are posted, their fields, and what is dropped."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.domain.builders import ID, NOW, UID, at_text, corejob, running

from corejob.model import Status
from corejob.state import State
from corejob_kube.client import Kube
from corejob_operator.events import EventRecorder, transition


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


def test_the_first_status_has_an_event() -> None:
    job = corejob()
    body = transition_event(job, job.status)

    assert body is not None
    assert (body["reason"], body["note"]) == ("Pending", "pending, trial 0")


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [
        (State.COMPLETE, "Completed", "Normal"),
        (State.RUNNING, "Terminating", "Normal"),
        (State.DEFERRED, "Deferred", "Normal"),
        (State.PENDING, "MaxParallel", "Normal"),
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
    bodies = [transition_event(job, job.status) for _ in range(2)]

    assert len({str(body["metadata"]["name"]) for body in bodies if body}) == 2


# --- posting --------------------------------------------------------------------------------


async def test_all_are_posted_before_it_stops(fake: FakeApiServer, kube: Kube) -> None:
    event_recorder = EventRecorder(kube)
    event_recorder.start()
    job = corejob()
    for _ in range(20):
        event_recorder.record(transition_event(job, job.status))
    event_recorder.record(None)
    await event_recorder.stop(5)

    assert len(fake.objects["events"]) == 20


async def test_a_refused_event_is_dropped_and_the_next_is_posted(
    fake: FakeApiServer, kube: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    fake.refuse("POST", "events", 403, "forbidden")
    event_recorder = EventRecorder(kube)
    event_recorder.start()
    job = corejob()
    event_recorder.record(transition_event(job, job.status))
    event_recorder.record(transition_event(job, job.status))
    await event_recorder.stop(5)

    assert len(fake.objects["events"]) == 1
    assert "was not posted: 403" in caplog.text


async def test_an_event_is_posted_once_the_api_server_is_back(
    fake: FakeApiServer,
    kube: Kube,
    caplog: pytest.LogCaptureFixture,
) -> None:
    retry_pauses = (0.01, 0.01)
    fake.refuse("POST", "events", 503, "starting", times=2)
    event_recorder = EventRecorder(kube, retry_pauses=retry_pauses)
    event_recorder.start()
    event_recorder.record(transition_event(corejob(), corejob().status))
    await event_recorder.stop(5)

    assert len(fake.objects["events"]) == 1
    assert "not posted" not in caplog.text


async def test_an_event_is_dropped_if_the_api_server_stays_away(
    fake: FakeApiServer,
    kube: Kube,
    caplog: pytest.LogCaptureFixture,
) -> None:
    retry_pauses = (0.01,)
    fake.refuse("POST", "events", 503, "starting", times=2)
    event_recorder = EventRecorder(kube, retry_pauses=retry_pauses)
    event_recorder.start()
    event_recorder.record(transition_event(corejob(), corejob().status))
    await event_recorder.stop(5)

    assert not fake.objects["events"]
    assert "was not posted: 503" in caplog.text


async def test_too_many_are_dropped_not_kept(kube: Kube, caplog: pytest.LogCaptureFixture) -> None:
    event_recorder = EventRecorder(kube, capacity=3)
    job = corejob()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            event_recorder.record(transition_event(job, job.status))

    assert caplog.text.count("too many events") == 2
    await event_recorder.stop(0)
    assert "3 events were not posted" in caplog.text
