"""Posting Events: what is held, retried, counted and dropped."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.domain.builders import NOW, at_text, corejob

from corejob.state import State
from corejob_kube.client import Kube
from corejob_operator import event_recorder as event_recorder_module
from corejob_operator.event_correlator import BURST, MOST_SIMILAR
from corejob_operator.event_recorder import EventRecorder
from corejob_operator.events import transition


def event(state: State = State.COMPLETE, *, uid: str = "uid") -> dict[str, Any]:
    """Return the Event of a CoreJob's transition to a state."""
    job = replace(corejob(), uid=uid)
    reason = "Running" if state is State.RUNNING else "Completed"
    body = transition(job, replace(job.status, state=state, reason=reason), NOW, "pod-1")
    assert body is not None
    return body


def posted(fake: FakeApiServer) -> list[tuple[str, str]]:
    """Return reason and uid of the CoreJob of all Events."""
    bodies = fake.objects["events"].values()
    return [(str(body["reason"]), str(body["regarding"]["uid"])) for body in bodies]


async def test_a_start_is_posted_if_the_trial_lasts(fake: FakeApiServer, kube: Kube) -> None:
    event_recorder = EventRecorder(kube, hold=0.01)
    event_recorder.start()
    event_recorder.record(event(State.RUNNING))
    await fake.until(lambda: posted(fake) == [("Running", "uid")])
    event_recorder.record(event())
    await event_recorder.stop(DEADLINE)

    assert posted(fake) == [("Running", "uid"), ("Completed", "uid")]


async def test_an_end_just_after_the_start_tells_of_both(fake: FakeApiServer, kube: Kube) -> None:
    event_recorder = EventRecorder(kube, hold=100)
    event_recorder.start()
    event_recorder.record(event(State.RUNNING))
    event_recorder.record(event(State.RUNNING, uid="other"))
    event_recorder.record(event())
    await event_recorder.stop(DEADLINE)

    assert sorted(posted(fake)) == [("Completed", "uid"), ("Running", "other")]


async def test_each_of_many_starts_is_held_longer(
    fake: FakeApiServer, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_recorder_module, "_HOLD_EACH_S", 100)
    event_recorder = EventRecorder(kube, hold=0.01)
    event_recorder.start()
    for uid in ("first", "second"):
        event_recorder.record(event(State.RUNNING, uid=uid))
    await fake.until(lambda: posted(fake) == [("Running", "first")])
    event_recorder.record(event(uid="second"))
    await event_recorder.stop(DEADLINE)

    assert posted(fake) == [("Running", "first"), ("Completed", "second")]


async def test_similar_events_are_counted_in_one(fake: FakeApiServer, kube: Kube) -> None:
    event_recorder = EventRecorder(kube, now=lambda: NOW)
    event_recorder.start()
    for _ in range(11):
        event_recorder.record(event())
    await fake.until(lambda: len(posted(fake)) == 11)
    event_recorder.record(event())
    await event_recorder.stop(DEADLINE)

    assert len(posted(fake)) == 11
    series = [body["series"] for body in fake.objects["events"].values() if "series" in body]
    assert series == [{"count": 12, "lastObservedTime": at_text(0)}]


async def test_an_event_is_counted_only_after_its_series_was_posted(
    fake: FakeApiServer, kube: Kube
) -> None:
    event_recorder = EventRecorder(kube, now=lambda: NOW)
    event_recorder.start()
    for _ in range(MOST_SIMILAR):
        event_recorder.record(event())
    await fake.until(lambda: len(posted(fake)) == MOST_SIMILAR)
    gate = fake.hold("POST", "events")
    event_recorder.record(event())
    event_recorder.record(event())
    workers = event_recorder_module._WORKERS
    other = next(uid for uid in map(str, range(100)) if (hash(uid) - hash("uid")) % workers)
    event_recorder.record(event(uid=other))  # of another worker, which takes it last
    await fake.until_held(2)
    assert not fake.requested("PATCH", "events")
    gate.set()
    await event_recorder.stop(DEADLINE)

    (series,) = [body["series"] for body in fake.objects["events"].values() if "series" in body]
    assert series["count"] == MOST_SIMILAR + 2


async def test_an_object_has_no_more_events_than_its_limit(fake: FakeApiServer, kube: Kube) -> None:
    event_recorder = EventRecorder(kube, now=lambda: NOW)
    event_recorder.start()
    for _ in range(100):
        event_recorder.record(event())
    event_recorder.record(event(uid="other"))
    await event_recorder.stop(DEADLINE)

    requests = fake.requested("POST", "events") + fake.requested("PATCH", "events")
    assert len(requests) == BURST + 1


async def test_all_are_posted_before_it_stops(fake: FakeApiServer, kube: Kube) -> None:
    event_recorder = EventRecorder(kube)
    event_recorder.start()
    for number in range(20):
        event_recorder.record(event(uid=str(number)))
    event_recorder.record(None)
    await event_recorder.stop(DEADLINE)

    assert len(fake.objects["events"]) == 20


async def test_a_refused_event_is_dropped_and_the_next_is_posted(
    fake: FakeApiServer, kube: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    fake.refuse("POST", "events", 403, "forbidden")
    event_recorder = EventRecorder(kube)
    event_recorder.start()
    event_recorder.record(event())
    event_recorder.record(event())
    await event_recorder.stop(DEADLINE)

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
    event_recorder.record(event())
    await event_recorder.stop(DEADLINE)

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
    event_recorder.record(event())
    await event_recorder.stop(DEADLINE)

    assert not fake.objects["events"]
    assert "was not posted: 503" in caplog.text


async def test_too_many_are_dropped_not_kept(kube: Kube, caplog: pytest.LogCaptureFixture) -> None:
    event_recorder = EventRecorder(kube, capacity=3)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            event_recorder.record(event())

    assert caplog.text.count("too many events") == 2
    await event_recorder.stop(0)
    assert "3 events were not posted" in caplog.text
