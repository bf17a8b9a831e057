"""Schedules whose requests, answers or status writes are lost: no run twice, none unsaid."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from tests.support.signals import DEADLINE
from tests.unit.domain.builders import at_text
from tests.unit.operator.schedule_clock import ScheduleClock

from corejob_kube.errors import KubeError

HOUR = 3600


def times(clock: ScheduleClock, outcome: str) -> float:
    metric = clock.rig.metrics.schedule_times.labels("a.job", outcome)
    return float(metric._value.get())


# --- late runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["the next time comes", "the zone changes"])
async def test_a_late_run_is_not_refused_as_the_job_of_another_time(
    clock: ScheduleClock, then: str
) -> None:
    clock.rig.template(schedule="0 * * * *", uid="x")
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", 503, times=9)
    await clock.reconcile(HOUR)
    clock.rig.fake.allow_all()
    await clock.reconcile(HOUR - 5)
    (name,) = clock.jobs()
    created = {"metadata": {"creationTimestamp": at_text(2 * HOUR - 5)}}
    clock.rig.fake.change("corejobs", name, created)
    if then == "the next time comes":
        await clock.reconcile(6)
        assert f"job {name} is still waiting to start" in clock.status()["message"]
    else:
        zone = {"spec": {"timeZone": "Asia/Kathmandu"}}
        clock.rig.fake.change("corejobtemplates", "a.job", zone)
        await clock.reconcile(1)

    await clock.rig.settle()
    await clock.rig.lasts()
    assert clock.rig.jobs() == [f"{name}-1"]
    assert clock.rig.status(name)["state"] == "pending"


async def test_a_run_whose_answer_was_lost_counts_before_the_next_time_is_skipped(
    clock: ScheduleClock,
) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", 503, after=lambda: None)
    await clock.reconcile(60)
    assert clock.condition() == ("False", "EnqueueFailed")
    (name,) = clock.jobs()
    clock.rig.fake.allow_all()

    again = await clock.reconcile(60)
    assert again <= clock.rig.now
    assert clock.times() == {
        "schedule": "* * * * *",
        "lastScheduleTime": at_text(60),
        "lastJobId": name,
    }
    await clock.reconcile()
    assert clock.status()["message"].startswith(f"skipped at 2026-11-24T12:02:00 UTC: job {name}")
    assert clock.status()["lastJobId"] == name
    assert (times(clock, "enqueued"), times(clock, "skipped")) == (1, 1)


# --- missed times -----------------------------------------------------------------------------


async def test_a_run_that_is_given_up_is_named(clock: ScheduleClock) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("POST", "corejobs", 503, "no room", times=9)
    await clock.reconcile(60)
    clock.rig.fake.allow_all()
    await clock.reconcile(60)

    _refused, missed = await clock.rig.events()
    assert (missed["type"], missed["reason"]) == ("Warning", "MissSchedule")
    assert missed["note"] == (
        "missed 2026-11-24T12:01:00 UTC (no room): "
        "only the latest time counts, 2026-11-24T12:02:00 UTC"
    )


async def test_times_without_an_operator_are_named_once_an_hour(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    clock.finish()
    clock.restart()
    for pause in (180, 180, HOUR):
        await clock.reconcile(pause)
        clock.finish()

    first, second = await clock.rig.events()
    assert first["note"].startswith("missed 2026-11-24T12:02:00 to 2026-11-24T12:03:00 UTC: ")
    assert second["note"].startswith("missed 2026-11-24T12:08:00 to 2026-11-24T13:06:00 UTC: ")


async def test_times_that_are_kept_miss_nothing(clock: ScheduleClock) -> None:
    for _ in range(5):
        await clock.reconcile(60)
        clock.finish()

    assert await clock.rig.events() == []


# --- a status that can't be written -------------------------------------------------------------


async def test_a_run_is_created_once_though_its_status_can_not_be_written(
    clock: ScheduleClock,
) -> None:
    await clock.reconcile()
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 500, times=99)
    for seconds in (60, 20, 20):
        with pytest.raises(KubeError):
            await clock.reconcile(seconds)
        for name in clock.jobs():
            clock.rig.fake.remove("corejobs", name)
    assert len(clock.rig.fake.requested("POST", "corejobs")) == 1
    assert times(clock, "enqueued") == 1

    clock.rig.fake.allow_all()
    await clock.reconcile(1)
    assert clock.status()["lastScheduleTime"] == at_text(60)
    await clock.reconcile(60)
    assert times(clock, "enqueued") == 2


async def test_a_skip_is_told_once_though_its_status_can_not_be_written(
    clock: ScheduleClock,
) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 500, times=99)
    for seconds in (60, 20, 20):
        with pytest.raises(KubeError):
            await clock.reconcile(seconds)

    assert times(clock, "skipped") == 1
    assert [event["reason"] for event in await clock.rig.events()] == ["Skipped"]


# --- duplicates -------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [False, True], ids=["in the queue", "gone"])
async def test_a_run_that_is_refused_as_a_duplicate_is_a_skip(
    clock: ScheduleClock, gone: bool
) -> None:
    """The cache did not have the other job yet when the time fell due."""
    await clock.reconcile()
    clock.rig.now += timedelta(seconds=59)
    clock.rig.stale.add("corejobs")
    clock.rig.corejob("mine", args={})
    await clock.reconcile(1)
    clock.rig.stale.clear()
    for body in clock.rig.fake.objects["corejobs"].values():
        clock.rig.caches.corejobs.put(body)
    await clock.rig.settle()
    (run,) = set(clock.jobs()) - {"mine"}
    assert clock.rig.status(run)["reason"] == "Duplicate"
    if gone:
        clock.rig.fake.remove("corejobs", "mine")
    await clock.reconcile(1)

    assert clock.condition() == ("False", "Skipped")
    assert clock.status()["message"].startswith("skipped at 2026-11-24T12:01:00 UTC: job")
    assert clock.status()["lastSkipTime"] == at_text(60)
    assert "lastJobId" not in clock.status()
    assert times(clock, "skipped") == 1
    await clock.reconcile(1)
    assert times(clock, "skipped") == 1
    assert clock.condition() == (("True", "Scheduled") if gone else ("False", "Skipped"))
    assert [event["reason"] for event in await clock.rig.events()].count("Skipped") == 1


# --- the last job -------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [None, "60 * * * *"], ids=["removed", "bad"])
async def test_the_last_job_is_watched_to_its_end_without_a_schedule(
    clock: ScheduleClock, schedule: str | None
) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
    await clock.reconcile()
    await clock.templates.queue.get()
    clock.templates.queue.done("a.job")
    clock.finish()

    assert await clock.templates.queue.get() == "a.job"
    await clock.reconcile()
    assert clock.status()["lastJobState"] == "complete"


# --- a former leader ----------------------------------------------------------------------------


async def lead(clock: ScheduleClock) -> None:
    """Lead until the template's schedule has been reconciled, then lose the Lease."""
    running = asyncio.create_task(clock.templates.run())
    async with asyncio.timeout(DEADLINE):
        while len(clock.templates.queue) or not clock.rig.caches.templates:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_former_leader_says_nothing_of_what_is_blocked(clock: ScheduleClock) -> None:
    await clock.reconcile()
    for _ in range(2):
        await clock.reconcile(60)
    assert clock.rig.metrics.schedule_blocked.labels("a.job")._value.get() == 1
    await lead(clock)

    text = generate_latest(clock.rig.metrics.registry).decode()
    assert "schedule_blocked{" not in text
    assert 'outcome="skipped",template="a.job"' in text
    clock.rig.fake.remove("corejobtemplates", "a.job")
    clock.rig.template("b.Job")
    await lead(clock)
    assert "a.job" not in generate_latest(clock.rig.metrics.registry).decode()
