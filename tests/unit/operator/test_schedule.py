"""Schedules: each time is enqueued once, despite refusals and crashes."""

from collections.abc import Awaitable, Callable

import pytest
from tests.unit.domain.builders import NOW, at, at_text
from tests.unit.operator.schedule_clock import MINUTE, ScheduleClock

from corejob import ids
from corejob_kube.errors import UnavailableError

# --- due ------------------------------------------------------------------------------------


async def test_the_first_sight_is_noted_and_enqueues_nothing(clock: ScheduleClock) -> None:
    assert await clock.reconcile() == NOW + MINUTE
    assert clock.jobs() == []
    assert clock.times() == {"schedule": "* * * * *", "lastScheduleTime": at_text(0)}


async def test_it_is_enqueued_at_its_time_without_args(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.reconcile(59)
    assert clock.jobs() == []
    assert await clock.reconcile(1) == at(120)

    (name,) = clock.jobs()
    spec = clock.rig.fake.objects["corejobs"][name]["spec"]
    assert spec == {"qualName": "a.Job", "username": "scheduler", "hostname": "core4-operator"}
    assert clock.status()["lastJobId"] == name
    assert clock.status()["lastScheduleTime"] == at_text(60)


async def test_each_time_is_another_job(clock: ScheduleClock) -> None:
    await clock.reconcile()
    for count in (1, 2, 3):
        await clock.reconcile(60)
        clock.finish()
        assert len(clock.jobs()) == count


async def test_looking_often_enqueues_once(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    clock.finish()
    writes = len(clock.rig.fake.requests)
    for _ in range(5):
        await clock.reconcile(1)

    assert len(clock.jobs()) == 1
    # The end of the last job is written once.
    assert clock.status()["lastJobState"] == "complete"
    assert len(clock.rig.fake.requests) == writes + 1


async def test_after_a_downtime_one_run_is_caught_up(clock: ScheduleClock) -> None:
    await clock.reconcile()
    clock.restart()
    await clock.reconcile(3 * 24 * 3600 + 5)
    assert len(clock.jobs()) == 1
    clock.finish()

    await clock.reconcile(10)
    assert len(clock.jobs()) == 1


async def test_a_run_is_skipped_for_good_while_the_last_is_in_the_queue(
    clock: ScheduleClock,
) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    await clock.reconcile(60)
    assert len(clock.jobs()) == 1
    assert clock.status()["lastScheduleTime"] == at_text(120)
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 1

    clock.finish()
    await clock.reconcile(30)
    assert len(clock.jobs()) == 1


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
async def test_no_refusal_loses_a_run(clock: ScheduleClock, code: int, message: str) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", code, message, times=20)
    await clock.reconcile(60)
    assert clock.jobs() == []
    assert clock.condition() == ("False", "EnqueueFailed")
    assert message in clock.status()["message"]
    assert "2026-11-24T12:01:00" in clock.status()["message"]
    tries = len(clock.rig.fake.requested("POST", "corejobs"))
    # A change of the template does not trigger an immediate retry.
    await clock.reconcile(0.1)
    assert len(clock.rig.fake.requested("POST", "corejobs")) == tries

    clock.rig.fake.allow_all()
    assert await clock.reconcile(4) == at(120)
    assert len(clock.jobs()) == 1
    assert ids.created_at(clock.jobs()[0]) == at(60)
    assert clock.condition() == ("True", "Scheduled")


async def test_at_the_next_time_the_refused_run_is_given_up(clock: ScheduleClock) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", 503, times=3)
    await clock.reconcile(60)
    clock.rig.fake.allow_all()
    await clock.reconcile(60)

    assert [ids.created_at(name) for name in clock.jobs()] == [at(120)]


async def test_another_corejob_of_that_name_is_no_success(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    (name,) = clock.jobs()
    clock.rig.fake.remove("corejobs", name)
    clock.rig.fake.change("corejobtemplates", "a.job", {"status": {"lastScheduleTime": at_text(0)}})
    clock.restart()
    clock.rig.stale.add("corejobs")
    clock.rig.corejob(name, qualName="other.Job")
    await clock.reconcile(1)

    assert clock.condition() == ("False", "EnqueueFailed")
    assert f"another CoreJob named {name}" in clock.status()["message"]


async def test_an_equal_job_of_a_user_counts_but_not_with_args(clock: ScheduleClock) -> None:
    await clock.reconcile()
    clock.rig.corejob("mine", args={"x": 1})
    await clock.reconcile(60)
    assert len(clock.jobs()) == 2
    clock.finish()
    clock.rig.corejob("other", args={})

    await clock.reconcile(60)
    assert len(clock.jobs()) == 3


# --- crashes --------------------------------------------------------------------------------


async def crash_after_create(clock: ScheduleClock) -> None:
    clock.rig.fake.refuse("POST", "corejobs", 503, after=lambda: None)
    await clock.reconcile(60)
    assert clock.condition() == ("False", "EnqueueFailed")


async def crash_before_note(clock: ScheduleClock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503)
    with pytest.raises(UnavailableError):
        await clock.reconcile(60)


async def crash_after_note(clock: ScheduleClock) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503, after=lambda: None)
    with pytest.raises(UnavailableError):
        await clock.reconcile(60)


@pytest.mark.parametrize("crash", [crash_after_create, crash_before_note, crash_after_note])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("ended", [False, True])
async def test_a_crash_makes_no_second_one(
    clock: ScheduleClock,
    crash: Callable[[ScheduleClock], Awaitable[None]],
    restart: bool,
    ended: bool,
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
