"""Schedules: never doubled, whatever crashes; skipped when still in the queue; noted for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.unit.domain.builders import NOW, at, at_text
from tests.unit.operator.rig import Rig

from corejob import ids
from corejob_kube.errors import UnavailableError
from corejob_kube.resources import Resource
from corejob_operator.templates import Templates

MINUTE = timedelta(minutes=1)


class Clock:
    """A scheduler whose time is set by hand."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.restart()

    def restart(self) -> None:
        """Nothing but the cluster is kept."""
        self.rig.begin()
        self.templates = Templates(
            kube=self.rig.kube,
            caches=self.rig.caches,
            settings=self.rig.settings,
            metrics=self.rig.metrics,
            event_recorder=self.rig.event_recorder,
            instance="test",
            now=self.rig.time,
        )

    async def reconcile(self, seconds: float = 0) -> datetime:
        """Time passes, then the template is reconciled; when to requeue it."""
        self.rig.now += timedelta(seconds=seconds)
        after = await self.templates.reconcile("a.job")
        return self.rig.now + timedelta(seconds=after or 0)

    def status(self) -> dict[str, Any]:
        return dict(self.rig.fake.objects["corejobtemplates"]["a.job"].get("status") or {})

    def times(self) -> dict[str, Any]:
        """The part of its status that is of its schedule's past."""
        told = ("schedule", "lastScheduleTime", "lastJobId")
        return {name: value for name, value in self.status().items() if name in told}

    def condition(self) -> tuple[str, str]:
        """Status and reason of Scheduled."""
        (found,) = self.status().get("conditions") or [{"status": "", "reason": ""}]
        return found["status"], found["reason"]

    def jobs(self) -> list[str]:
        return sorted(self.rig.fake.objects["corejobs"])

    def finish(self) -> None:
        """All that was enqueued is complete."""
        for name in self.jobs():
            self.rig.fake.change("corejobs", name, {"status": {"state": "complete", "trial": 1}})


@pytest.fixture
def clock(rig: Rig) -> Clock:
    rig.template(schedule="* * * * *", uid="x")
    return Clock(rig)


# --- due ------------------------------------------------------------------------------------


async def test_the_first_sight_is_noted_and_enqueues_nothing(clock: Clock) -> None:
    assert await clock.reconcile() == NOW + MINUTE
    assert clock.jobs() == []
    assert clock.times() == {"schedule": "* * * * *", "lastScheduleTime": at_text(0)}


async def test_it_is_enqueued_at_its_time_without_args(clock: Clock) -> None:
    await clock.reconcile()
    await clock.reconcile(59)
    assert clock.jobs() == []
    assert await clock.reconcile(1) == at(120)

    (name,) = clock.jobs()
    spec = clock.rig.fake.objects["corejobs"][name]["spec"]
    assert spec == {"qualName": "a.Job", "username": "scheduler", "hostname": "core4-operator"}
    assert clock.status()["lastJobId"] == name
    assert clock.status()["lastScheduleTime"] == at_text(60)


async def test_each_time_is_another_job(clock: Clock) -> None:
    await clock.reconcile()
    for count in (1, 2, 3):
        await clock.reconcile(60)
        clock.finish()
        assert len(clock.jobs()) == count


async def test_looking_often_enqueues_once(clock: Clock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    clock.finish()
    writes = len(clock.rig.fake.requests)
    for _ in range(5):
        await clock.reconcile(1)

    assert len(clock.jobs()) == 1
    # How it has ended is noted, once.
    assert clock.status()["lastJobState"] == "complete"
    assert len(clock.rig.fake.requests) == writes + 1


async def test_after_a_downtime_one_is_caught_up(clock: Clock) -> None:
    await clock.reconcile()
    clock.restart()
    await clock.reconcile(3 * 24 * 3600 + 5)
    assert len(clock.jobs()) == 1
    clock.finish()

    await clock.reconcile(10)
    assert len(clock.jobs()) == 1


async def test_what_is_still_in_the_queue_is_skipped_for_good(clock: Clock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    await clock.reconcile(60)
    assert len(clock.jobs()) == 1
    assert clock.status()["lastScheduleTime"] == at_text(120)
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 1

    clock.finish()
    await clock.reconcile(30)
    assert len(clock.jobs()) == 1


# --- skips are seen ---------------------------------------------------------------------------


def end(clock: Clock, name: str, state: str) -> None:
    clock.rig.fake.change("corejobs", name, {"status": {"state": state, "trial": 1}})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "is still running"),
        ("pending", "is still waiting to start"),
        ("failed", "has failed and is still waiting for its next trial"),
        ("deferred", "is deferred and still waiting for its next trial"),
        ("error", "ended in error and is still in the queue; restart or remove it"),
        ("killed", "was killed and is still in the queue; restart or remove it"),
        ("inactive", "turned inactive and is still in the queue; restart or remove it"),
    ],
)
async def test_a_skip_is_seen_everywhere(clock: Clock, state: str, words: str) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    (name,) = clock.jobs()
    end(clock, name, state)
    await clock.reconcile(60)

    text = f"skipped at 2026-11-24T12:02:00 UTC: job {name} {words}"
    assert clock.status()["message"].startswith(text)
    (condition,) = clock.status()["conditions"]
    assert (condition["type"], condition["status"]) == ("Scheduled", "False")
    assert (condition["reason"], condition["message"]) == ("Skipped", clock.status()["message"])
    assert clock.status()["lastSkipTime"] == at_text(120)
    (event,) = await clock.rig.events()
    assert (event["type"], event["reason"]) == ("Warning", "Skipped")
    assert event["note"] == condition["message"]
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("CoreJobTemplate", "a.job")
    metrics = clock.rig.metrics
    assert metrics.schedule_times.labels("a.job", "skipped")._value.get() == 1
    assert metrics.schedule_blocked.labels("a.job")._value.get() == 1


async def test_what_a_skip_says_goes_as_soon_as_the_job_has_left_the_queue(clock: Clock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    (name,) = clock.jobs()
    end(clock, name, "error")
    await clock.reconcile(60)
    await clock.templates.queue.get()
    clock.templates.queue.done("a.job")
    clock.rig.fake.change("corejobs", name, {"spec": {"remove": True}})

    assert await clock.templates.queue.get() == "a.job"
    await clock.reconcile(1)
    assert clock.condition() == ("True", "Scheduled")
    assert "message" not in clock.status()
    assert clock.rig.metrics.schedule_blocked.labels("a.job")._value.get() == 0


async def test_one_event_for_one_reason_and_another_each_hour(clock: Clock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    end(clock, clock.jobs()[0], "error")
    for _ in range(130):
        await clock.reconcile(60)

    assert len(await clock.rig.events()) == 3
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 130


async def test_the_metrics_of_a_template_go_with_it(clock: Clock) -> None:
    await clock.reconcile()
    for _ in range(2):
        await clock.reconcile(60)
    clock.rig.fake.remove("corejobtemplates", "a.job")
    assert await clock.templates.reconcile("a.job") is None

    text = generate_latest(clock.rig.metrics.registry).decode()
    assert "a.job" not in text


async def test_the_status_says_what_the_schedule_means_and_how_the_last_job_ended(
    clock: Clock,
) -> None:
    clock.rig.template(schedule="0 6 * * *", timeZone="Europe/Berlin", uid="x")
    await clock.reconcile()

    status = clock.status()
    assert status["scheduleMeaning"].startswith("next: 2026-11-25 06:00:00 +0100 Europe/Berlin")
    assert status["nextScheduleTime"] == "2026-11-25T05:00:00Z"
    assert status["timeZone"] == "Europe/Berlin"
    assert clock.condition() == ("True", "Scheduled")


async def test_another_time_zone_is_seen_for_the_first_time(clock: Clock) -> None:
    await clock.reconcile()
    zone = {"spec": {"timeZone": "Asia/Kathmandu"}}
    clock.rig.fake.change("corejobtemplates", "a.job", zone)
    await clock.reconcile(3600)

    assert clock.jobs() == []
    assert clock.status()["lastScheduleTime"] == at_text(3600)


@pytest.mark.parametrize("zone", ["Europe/Belrin", "Local", "../x", "+01:00"])
async def test_what_is_no_time_zone_is_said(clock: Clock, zone: str) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"timeZone": zone}})
    await clock.reconcile()

    assert clock.condition() == ("False", "BadSchedule")
    assert "unknown time zone" in clock.status()["message"]
    (event,) = await clock.rig.events()
    assert event["reason"] == "BadSchedule"


# --- replacing --------------------------------------------------------------------------------


@pytest.fixture
def replacing(clock: Clock) -> Clock:
    clock.rig.template(schedule="* * * * *", schedulePolicy="Replace", uid="x")
    return clock


@pytest.mark.parametrize("state", ["error", "killed", "inactive"])
async def test_one_that_has_stopped_is_replaced(replacing: Clock, state: str) -> None:
    await replacing.reconcile()
    await replacing.reconcile(60)
    (old,) = replacing.jobs()
    end(replacing, old, state)
    await replacing.reconcile(60)

    assert len(replacing.jobs()) == 2
    assert replacing.rig.fake.objects["corejobs"][old]["spec"]["remove"] is True
    assert replacing.condition() == ("True", "Scheduled")


@pytest.mark.parametrize("state", ["running", "pending", "failed", "deferred"])
async def test_one_that_waits_or_runs_is_not_replaced(replacing: Clock, state: str) -> None:
    await replacing.reconcile()
    await replacing.reconcile(60)
    (old,) = replacing.jobs()
    end(replacing, old, state)
    await replacing.reconcile(60)

    assert replacing.jobs() == [old]
    assert "remove" not in replacing.rig.fake.objects["corejobs"][old]["spec"]
    assert replacing.condition() == ("False", "Skipped")


async def test_a_crash_between_removing_and_enqueuing_loses_no_run(replacing: Clock) -> None:
    await replacing.reconcile()
    await replacing.reconcile(60)
    (old,) = replacing.jobs()
    end(replacing, old, "error")
    replacing.rig.fake.refuse("POST", "corejobs", 500)
    await replacing.reconcile(60)
    assert replacing.condition() == ("False", "EnqueueFailed")
    replacing.restart()
    await replacing.reconcile(5)

    assert len(replacing.jobs()) == 2
    assert replacing.status()["lastScheduleTime"] == at_text(120)


async def test_one_that_a_user_restarts_meanwhile_is_not_removed(replacing: Clock) -> None:
    await replacing.reconcile()
    await replacing.reconcile(60)
    (old,) = replacing.jobs()
    end(replacing, old, "error")
    # The operator's cache does not have the restart yet.
    replacing.rig.stale.add("corejobs")
    child = ids.new_id(replacing.rig.now + 2 * MINUTE)
    replacing.rig.fake.change("corejobs", old, {"spec": {"childId": child}})
    await replacing.reconcile(60)
    assert "remove" not in replacing.rig.fake.objects["corejobs"][old]["spec"]
    assert replacing.condition() == ("False", "EnqueueFailed")

    # The cache has it, but not yet the job that restarts it.
    replacing.rig.stale.clear()
    replacing.rig.caches.corejobs.put(replacing.rig.fake.objects["corejobs"][old])
    await replacing.reconcile(5)
    assert replacing.jobs() == [old]
    assert "is being restarted" in replacing.status()["message"]


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (409, 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'),
        (409, "the object has been modified"),
        (403, "exceeded quota: q, requested: count/corejobs.core4.io=1"),
        (422, "denied request: no jobs on Fridays"),
        (400, 'admission webhook "x" denied the request'),
        (429, "too many requests"),
        (500, "Internal error occurred: failed calling webhook"),
        (503, "away"),
    ],
)
async def test_no_refusal_loses_a_run(clock: Clock, code: int, message: str) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", code, message, times=20)
    await clock.reconcile(60)
    assert clock.jobs() == []
    assert clock.condition() == ("False", "EnqueueFailed")
    assert message in clock.status()["message"]
    assert "2026-11-24T12:01:00" in clock.status()["message"]
    tries = len(clock.rig.fake.requested("POST", "corejobs"))
    # News of the template are no reason to try at once.
    await clock.reconcile(0.1)
    assert len(clock.rig.fake.requested("POST", "corejobs")) == tries

    clock.rig.fake.allow_all()
    assert await clock.reconcile(4) == at(120)
    assert len(clock.jobs()) == 1
    assert ids.created_at(clock.jobs()[0]) == at(60)
    assert clock.condition() == ("True", "Scheduled")


async def test_at_the_next_time_the_one_before_is_given_up(clock: Clock) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", 503, times=3)
    await clock.reconcile(60)
    clock.rig.fake.allow_all()
    await clock.reconcile(60)

    assert [ids.created_at(name) for name in clock.jobs()] == [at(120)]


async def test_another_corejob_of_that_name_is_no_success(clock: Clock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    (name,) = clock.jobs()
    clock.rig.fake.remove("corejobs", name)
    clock.rig.fake.change("corejobtemplates", "a.job", {"status": {"lastScheduleTime": at_text(0)}})
    clock.rig.stale.add("corejobs")
    clock.rig.corejob(name, qualName="other.Job")
    await clock.reconcile(1)

    assert clock.condition() == ("False", "EnqueueFailed")
    assert f"another CoreJob named {name}" in clock.status()["message"]


async def test_one_that_somebody_enqueued_counts_but_not_with_args(clock: Clock) -> None:
    await clock.reconcile()
    clock.rig.corejob("mine", args={"x": 1})
    await clock.reconcile(60)
    assert len(clock.jobs()) == 2
    clock.finish()
    clock.rig.corejob("other", args={})

    await clock.reconcile(60)
    assert len(clock.jobs()) == 3


# --- crashes --------------------------------------------------------------------------------


async def crash_after_create(clock: Clock) -> None:
    clock.rig.fake.refuse("POST", "corejobs", 503, after=lambda: None)
    await clock.reconcile(60)
    assert clock.condition() == ("False", "EnqueueFailed")


async def crash_before_note(clock: Clock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503)
    with pytest.raises(UnavailableError):
        await clock.reconcile(60)


async def crash_after_note(clock: Clock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503, after=lambda: None)
    with pytest.raises(UnavailableError):
        await clock.reconcile(60)


@pytest.mark.parametrize("crash", [crash_after_create, crash_before_note, crash_after_note])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("ended", [False, True])
async def test_a_crash_makes_no_second_one(
    clock: Clock, crash: Callable[[Clock], Awaitable[None]], restart: bool, ended: bool
) -> None:
    await clock.reconcile()
    await crash(clock)
    if ended:
        clock.finish()
    if restart:
        clock.restart()
    await clock.reconcile(5)

    (name,) = clock.jobs()
    assert clock.status()["lastScheduleTime"] == at_text(60)
    assert clock.status()["lastJobId"] == name
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 0


# --- changes --------------------------------------------------------------------------------


async def test_another_schedule_is_seen_for_the_first_time(clock: Clock) -> None:
    await clock.reconcile()
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "*/2 * * * *"}})
    await clock.reconcile(3600)

    assert clock.jobs() == []
    assert clock.status()["schedule"] == "*/2 * * * *"
    assert clock.status()["lastScheduleTime"] == at_text(3600)


@pytest.mark.parametrize("nothing", [None, ""])
async def test_one_that_was_taken_off_and_is_put_back_has_missed_nothing(
    clock: Clock, nothing: str | None
) -> None:
    await clock.reconcile()
    for schedule in (nothing, "* * * * *"):
        clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
        await clock.reconcile(3600)
    assert clock.jobs() == []
    assert clock.times() == {"schedule": "* * * * *", "lastScheduleTime": at_text(7200)}

    await clock.reconcile(60)
    assert len(clock.jobs()) == 1


async def test_the_words_about_a_bad_schedule_go_with_it(clock: Clock) -> None:
    for schedule in ("60 * * * *", None):
        clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
        await clock.reconcile()

    assert clock.status() == {}


@pytest.mark.parametrize("schedule", [None, ""])
async def test_without_a_schedule_nothing_is_written(clock: Clock, schedule: str | None) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
    await clock.reconcile()

    assert clock.rig.fake.writes() == []


async def test_a_template_that_is_being_deleted_enqueues_nothing(clock: Clock) -> None:
    await clock.reconcile()
    meta = {"metadata": {"deletionTimestamp": at_text(0)}}
    clock.rig.fake.change("corejobtemplates", "a.job", meta)
    await clock.reconcile(60)

    assert clock.jobs() == []


async def test_a_bad_schedule_is_told_once_and_can_be_mended(clock: Clock) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "60 * * * *"}})
    for _ in range(3):
        await clock.reconcile(60)
    assert "[60 * * * *] can't be used" in clock.status()["message"]
    assert len(clock.rig.fake.writes()) == 1

    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "0 * * * *"}})
    await clock.reconcile()
    assert "message" not in clock.status()


async def test_a_template_that_is_gone_is_forgotten(clock: Clock) -> None:
    clock.rig.fake.watchers.clear()
    clock.rig.fake.remove("corejobtemplates", "a.job")
    await clock.reconcile()

    assert clock.rig.caches.templates.get("a.job") is None


# --- going on for ever ------------------------------------------------------------------------


async def test_a_new_template_is_seen_at_once_and_errors_do_not_end_it(clock: Clock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503)
    situation = asyncio.Event()

    def watch(plural: str, _kind: str, body: dict[str, Any]) -> None:
        if (body.get("status") or {}).get("schedule") == "@daily":
            situation.set()

    clock.rig.fake.watchers.append(watch)
    running = asyncio.create_task(clock.templates.run())
    try:
        clock.rig.template("b.Job", schedule="@daily")
        async with asyncio.timeout(45):
            await situation.wait()
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    "odd",
    [
        {"schedule": 5},
        {"schedule": ["* * * * *"]},
        {"schedule": {"a": 1}},
        {"schedule": "9" * 5000 + " * * * *"},
        {"schedule": "* * * * *", "timeZone": 7},
        {"schedule": "* * * * *", "timeZone": "\0"},
        {"schedule": "* * * * *", "properties": 7},
        {"schedule": None},
        {"template": [1, {"spec": "x"}]},
        {"template": {"spec": {"containers": [None, 5]}}},
        {"argsSchema": {"type": 5}},
        {"argsSchema": ["x"]},
        {"runtime": {"a": 1}},
    ],
)
async def test_one_odd_template_never_stops_the_others(clock: Clock, odd: dict[str, Any]) -> None:
    clock.rig.template("a.Odd", **odd)
    clock.rig.fake.change("corejobtemplates", "a.odd", {"status": {"lastScheduleTime": "nonsense"}})
    situation = asyncio.Event()

    def watch(_plural: str, _kind: str, body: dict[str, Any]) -> None:
        kinds = {one["type"] for one in (body.get("status") or {}).get("conditions") or ()}
        if body["metadata"]["name"] == "b.job" and kinds == {"Scheduled", "Valid"}:
            situation.set()

    clock.rig.fake.watchers.append(watch)
    running = asyncio.create_task(clock.templates.run())
    try:
        clock.rig.template("b.Job", schedule="@daily")
        async with asyncio.timeout(5):
            await situation.wait()
        assert not running.done()
        # Not at the expense of others, but it is said.
        listed = clock.rig.fake.objects["corejobtemplates"]["a.odd"]["status"]["conditions"]
        told = {one["type"]: one["status"] for one in listed}
        assert "False" in told.values() or told == {"Valid": "True"}, told
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_template_whose_writes_fail_for_ever_delays_no_other(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, tries = clock.rig.kube.patch, 0
    situation = asyncio.Event()

    async def refuse_one(resource: Resource, namespace: str, name: str, *rest: Any, **more: Any):
        nonlocal tries
        if name == "a.bad":
            tries += 1
            raise UnavailableError(503, "x", "away")
        return await patch(resource, namespace, name, *rest, **more)

    def watch(_plural: str, _kind: str, body: dict[str, Any]) -> None:
        if body["metadata"]["name"] == "z.job" and body.get("status"):
            situation.set()

    monkeypatch.setattr(clock.rig.kube, "patch", refuse_one)
    clock.rig.fake.watchers.append(watch)
    clock.rig.template("a.Bad", schedule="* * * * * *")
    running = asyncio.create_task(clock.templates.run())
    try:
        clock.rig.template("z.Job", schedule="@daily")
        async with asyncio.timeout(5):
            await situation.wait()
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # Once by itself and once for the verdict about it; then it pauses.
    assert 1 <= tries <= 3
