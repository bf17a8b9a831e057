"""Events of a trial that starts slowly: read rarely, and kept while the API server is down."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.domain.builders import CREATED, at, batch_job, pod
from tests.unit.operator.rig import Rig

from corejob import timestamps
from corejob.children import JobChild
from corejob_operator.event_list import EventList, parse_event
from corejob_operator.start_events import StartEvents

BORN = datetime.fromisoformat(CREATED)
WORDS = 'Error creating: pods "nosa-" is forbidden: serviceaccount "nobody" not found'


def event(uid: str, reason: str, note: str, **more: Any) -> dict[str, Any]:
    """Return an Event that the Job controller wrote by the older API, in events.k8s.io/v1."""
    return {
        "metadata": {"name": f"e-{uid}-{reason}", "creationTimestamp": CREATED},
        "eventTime": None,
        "reason": reason,
        "regarding": {"kind": "Job", "name": "a-1", "uid": uid},
        "note": note,
        "type": "Warning",
        "deprecatedLastTimestamp": "2026-11-24T11:00:07Z",
        **more,
    }


@pytest.fixture
async def events(rig: Rig) -> StartEvents:
    # A list takes no time, since a slow one would delay the next.
    return StartEvents(rig.kube, "jobs", clock=lambda: 0.0)


def count_requests(fake: FakeApiServer) -> int:
    return len(fake.requested("GET", "events"))


async def test_an_ordinary_start_reads_no_events(rig: Rig, events: StartEvents) -> None:
    assert await events.of("a", batch_job(), None, BORN + timedelta(seconds=4.9)) == ()
    assert count_requests(rig.fake) == 0
    assert events.next_at("a") == BORN + timedelta(seconds=5)


async def test_a_long_start_reads_them_ever_less_often(rig: Rig, events: StartEvents) -> None:
    job = batch_job()
    rig.fake.put("events", event(job.uid, "FailedCreate", WORDS))
    for second in range(600):
        listed = await events.of("a", job, None, BORN + timedelta(seconds=second))
        assert (listed != ()) == (second >= 5)
    # At 5, 10, 20, 40, 80, and then once a minute.
    assert count_requests(rig.fake) == 13
    assert [one.message for one in listed] == [WORDS]


async def test_those_of_the_pod_count_once_there_is_one(rig: Rig, events: StartEvents) -> None:
    job, one = batch_job(), pod(phase="Pending")
    rig.fake.put("events", event(job.uid, "FailedCreate", WORDS))
    rig.fake.put("events", event(one.uid, "FailedMount", "no volume"))
    await events.of("a", job, None, at(0))
    listed = await events.of("a", job, one, at(5))

    assert [(e.uid, e.text) for e in listed] == [(one.uid, "FailedMount: no volume")]


async def test_cached_events_stay_while_the_server_is_away(rig: Rig, events: StartEvents) -> None:
    job = batch_job()
    rig.fake.put("events", event(job.uid, "FailedCreate", WORDS))
    cached = await events.of("a", job, None, at(0))
    rig.fake.refuse("GET", "events", 503)

    assert await events.of("a", job, None, at(100)) == cached
    assert count_requests(rig.fake) == 2


async def test_one_list_serves_all_trials_that_start(rig: Rig, events: StartEvents) -> None:
    jobs = [replace(batch_job(), name=f"job-{n}", uid=f"uid-{n}") for n in range(300)]
    for job in jobs:
        rig.fake.put("events", event(job.uid, "FailedCreate", f"{WORDS} of {job.uid}"))
        await events.of(job.name, job, None, BORN)
    for second in range(600):
        moment = BORN + timedelta(seconds=second)
        listed = [await events.of(job.name, job, None, moment) for job in jobs]
        assert [one.message for found in listed for one in found] == [
            f"{WORDS} of {job.uid}" for job in jobs if second >= 5
        ]
    # As many as for one trial.
    assert count_requests(rig.fake) == 13


async def test_a_trial_that_starts_after_a_list_has_to_wait_for_the_next(
    rig: Rig, events: StartEvents
) -> None:
    first, second = (replace(batch_job(), name=name, uid=name) for name in ("one", "two"))
    for job in (first, second):
        rig.fake.put("events", event(job.uid, "FailedCreate", WORDS))
    assert await events.of("a", first, None, at(0))
    assert await events.of("b", second, None, at(4.9)) == ()
    assert (count_requests(rig.fake), events.next_at("b")) == (1, at(5))
    assert await events.of("b", second, None, at(5))
    assert count_requests(rig.fake) == 2


async def test_lists_that_take_long_are_rare(rig: Rig) -> None:
    times = iter([0.0, 3.0, 10.0, 10.1])
    listed = EventList(rig.kube, "jobs", lambda: frozenset({"u"}), lambda: next(times))
    assert await listed.of("u", BORN, at(0)) == ()
    assert listed.next_at == at(60)
    assert await listed.of("u", at(1), at(59)) is None
    assert count_requests(rig.fake) == 1
    assert await listed.of("u", at(1), at(60)) == ()
    assert listed.next_at == at(65)


async def test_events_of_ordinary_starts_are_not_asked_for(rig: Rig, events: StartEvents) -> None:
    job, one = batch_job(), pod(phase="Pending")
    rig.fake.put("events", event(one.uid, "Pulling", "Pulling image", type="Normal"))
    rig.fake.put("events", event(one.uid, "Created", "Container created", type="Normal"))
    listed = await events.of("a", job, one, at(0))

    assert [one.reason for one in listed] == ["Pulling"]


def test_the_time_of_an_event_is_its_last_observation() -> None:
    late = {"lastObservedTime": "2026-11-24T11:00:09.000000Z", "count": 3}
    assert parse_event(event("u", "r", "n", series=late)).at == BORN + timedelta(seconds=9)
    assert parse_event(event("u", "r", "n")).at == BORN + timedelta(seconds=7)
    new = {"eventTime": "2026-11-24T11:00:08.000000Z", "deprecatedLastTimestamp": None}
    assert parse_event(event("u", "r", "n", **new)).at == BORN + timedelta(seconds=8)


# --- their text in the job --------------------------------------------------------------------


async def age(rig: Rig, seconds: float) -> JobChild:
    """Return a Job of this age."""
    rig.template()
    rig.corejob("a")
    await rig.settle()
    made = timestamps.render(rig.now - timedelta(seconds=seconds))
    rig.fake.change("jobs", "a-1", {"metadata": {"creationTimestamp": made}})
    rig.begin()
    return next(iter(rig.caches.jobs_of("a")))


async def test_the_message_comes_from_the_jobs_event(rig: Rig) -> None:
    job = await age(rig, 6)
    rig.fake.put("events", event(job.uid, "FailedCreate", WORDS))
    await rig.settle()

    assert (rig.status("a")["reason"], rig.status("a")["message"]) == ("FailedCreate", WORDS)


async def test_they_stay_when_the_event_has_expired_and_the_operator_is_new(rig: Rig) -> None:
    job = await age(rig, 6)
    rig.fake.put("events", event(job.uid, "FailedCreate", WORDS))
    await rig.settle()
    rig.fake.objects["events"].clear()
    rig.begin()
    await rig.settle()

    assert (rig.status("a")["reason"], rig.status("a")["message"]) == ("FailedCreate", WORDS)
    rig.pod("a-1", {"waiting": {"reason": "ContainerCreating"}}, "Pending")
    await rig.settle()
    assert rig.status("a")["reason"] == "Starting"


async def test_a_volume_that_can_not_be_mounted(rig: Rig) -> None:
    await age(rig, 6)
    rig.pod("a-1", {"waiting": {"reason": "ContainerCreating"}}, "Pending")
    uid = rig.fake.objects["pods"]["a-1-x"]["metadata"]["uid"]
    made = {"creationTimestamp": timestamps.render(rig.now - timedelta(seconds=6))}
    rig.fake.change("pods", "a-1-x", {"metadata": made})
    rig.fake.put("events", event(uid, "FailedMount", 'secret "missing" not found'))
    await rig.settle()

    status = rig.status("a")
    assert status["reason"] == "FailedMount"
    assert status["message"] == 'FailedMount: secret "missing" not found'
