"""Schedules: never doubled, whatever crashes; skipped when still in the queue; noted for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.corejob.builders import NOW, at, at_text
from tests.unit.operator.rig import Rig

from corejob_kube.errors import UnavailableError
from corejob_operator.schedule import Scheduler

MINUTE = timedelta(minutes=1)


class Clock:
    """A scheduler whose time is set by hand."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.restart()

    def restart(self) -> None:
        """Nothing but the cluster is kept."""
        self.rig.begin()
        self.scheduler = Scheduler(
            kube=self.rig.kube,
            world=self.rig.world,
            settings=self.rig.settings,
            metrics=self.rig.metrics,
            now=self.rig.time,
        )

    async def look(self, seconds: float = 0) -> datetime:
        """Time passes, then the template is looked at; when to look again."""
        self.rig.now += timedelta(seconds=seconds)
        body = self.rig.world.templates.get("a.job")
        assert body is not None
        return await self.scheduler.look(body)

    def status(self) -> dict[str, Any]:
        return dict(self.rig.fake.objects["corejobtemplates"]["a.job"].get("status") or {})

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
    assert await clock.look() == NOW + MINUTE
    assert clock.jobs() == []
    assert clock.status() == {"schedule": "* * * * *", "lastScheduleTime": at_text(0)}


async def test_it_is_enqueued_at_its_time_without_args(clock: Clock) -> None:
    await clock.look()
    await clock.look(59)
    assert clock.jobs() == []
    assert await clock.look(1) == at(120)

    (name,) = clock.jobs()
    spec = clock.rig.fake.objects["corejobs"][name]["spec"]
    assert spec == {"qualName": "a.Job", "username": "scheduler", "hostname": "core4-operator"}
    assert clock.status()["lastJobId"] == name
    assert clock.status()["lastScheduleTime"] == at_text(60)


async def test_each_time_is_another_job(clock: Clock) -> None:
    await clock.look()
    for count in (1, 2, 3):
        await clock.look(60)
        clock.finish()
        assert len(clock.jobs()) == count


async def test_looking_often_enqueues_once(clock: Clock) -> None:
    await clock.look()
    await clock.look(60)
    clock.finish()
    writes = len(clock.rig.fake.requests)
    for _ in range(5):
        await clock.look(1)

    assert len(clock.jobs()) == 1
    assert len(clock.rig.fake.requests) == writes


async def test_after_a_downtime_one_is_caught_up(clock: Clock) -> None:
    await clock.look()
    clock.restart()
    await clock.look(3 * 24 * 3600 + 5)
    assert len(clock.jobs()) == 1
    clock.finish()

    await clock.look(10)
    assert len(clock.jobs()) == 1


async def test_what_is_still_in_the_queue_is_skipped_for_good(clock: Clock) -> None:
    await clock.look()
    await clock.look(60)
    await clock.look(60)
    assert len(clock.jobs()) == 1
    assert clock.status()["lastScheduleTime"] == at_text(120)
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 1

    clock.finish()
    await clock.look(30)
    assert len(clock.jobs()) == 1


async def test_one_that_somebody_enqueued_counts_but_not_with_args(clock: Clock) -> None:
    await clock.look()
    clock.rig.corejob("mine", args={"x": 1})
    await clock.look(60)
    assert len(clock.jobs()) == 2
    clock.finish()
    clock.rig.corejob("other", args={})

    await clock.look(60)
    assert len(clock.jobs()) == 3


# --- crashes --------------------------------------------------------------------------------


async def crash_after_create(clock: Clock) -> None:
    clock.rig.fake.refuse("POST", "corejobs", 503, after=lambda: None)
    with pytest.raises(UnavailableError):
        await clock.look(60)


async def crash_before_note(clock: Clock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503)
    with pytest.raises(UnavailableError):
        await clock.look(60)


async def crash_after_note(clock: Clock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503, after=lambda: None)
    with pytest.raises(UnavailableError):
        await clock.look(60)


@pytest.mark.parametrize("crash", [crash_after_create, crash_before_note, crash_after_note])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("ended", [False, True])
async def test_a_crash_makes_no_second_one(
    clock: Clock, crash: Callable[[Clock], Awaitable[None]], restart: bool, ended: bool
) -> None:
    await clock.look()
    await crash(clock)
    if ended:
        clock.finish()
    if restart:
        clock.restart()
    await clock.look(5)

    (name,) = clock.jobs()
    assert clock.status()["lastScheduleTime"] == at_text(60)
    assert clock.status()["lastJobId"] == name
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 0


# --- changes --------------------------------------------------------------------------------


async def test_another_schedule_is_seen_for_the_first_time(clock: Clock) -> None:
    await clock.look()
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "*/2 * * * *"}})
    await clock.look(3600)

    assert clock.jobs() == []
    assert clock.status()["schedule"] == "*/2 * * * *"
    assert clock.status()["lastScheduleTime"] == at_text(3600)


@pytest.mark.parametrize("nothing", [None, ""])
async def test_one_that_was_taken_off_and_is_put_back_has_missed_nothing(
    clock: Clock, nothing: str | None
) -> None:
    await clock.look()
    for schedule in (nothing, "* * * * *"):
        clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
        await clock.look(3600)
    assert clock.jobs() == []
    assert clock.status() == {"schedule": "* * * * *", "lastScheduleTime": at_text(7200)}

    await clock.look(60)
    assert len(clock.jobs()) == 1


async def test_the_words_about_a_bad_schedule_go_with_it(clock: Clock) -> None:
    for schedule in ("60 * * * *", None):
        clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
        await clock.look()

    assert clock.status() == {}


@pytest.mark.parametrize("schedule", [None, ""])
async def test_without_a_schedule_nothing_is_written(clock: Clock, schedule: str | None) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
    await clock.look()

    assert clock.rig.fake.writes() == []


async def test_a_template_that_is_being_deleted_enqueues_nothing(clock: Clock) -> None:
    await clock.look()
    meta = {"metadata": {"deletionTimestamp": at_text(0)}}
    clock.rig.fake.change("corejobtemplates", "a.job", meta)
    await clock.look(60)

    assert clock.jobs() == []


async def test_a_bad_schedule_is_told_once_and_can_be_mended(clock: Clock) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "60 * * * *"}})
    for _ in range(3):
        await clock.look(60)
    assert "[60 * * * *] can't be used" in clock.status()["message"]
    assert len(clock.rig.fake.writes()) == 1

    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "0 * * * *"}})
    await clock.look()
    assert "message" not in clock.status()


async def test_a_template_that_is_gone_is_forgotten(clock: Clock) -> None:
    clock.rig.fake.watchers.clear()
    clock.rig.fake.remove("corejobtemplates", "a.job")
    await clock.look()

    assert clock.rig.world.templates.get("a.job") is None


# --- going on for ever ------------------------------------------------------------------------


async def test_a_new_template_is_seen_at_once_and_errors_do_not_end_it(clock: Clock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503)
    seen = asyncio.Event()

    def watch(plural: str, _kind: str, body: dict[str, Any]) -> None:
        if (body.get("status") or {}).get("schedule") == "@daily":
            seen.set()

    clock.rig.fake.watchers.append(watch)
    running = asyncio.create_task(clock.scheduler.run())
    try:
        clock.rig.template("b.Job", schedule="@daily")
        async with asyncio.timeout(5):
            await seen.wait()
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
