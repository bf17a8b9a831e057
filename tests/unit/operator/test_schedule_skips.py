"""Schedules: a run is skipped, or replaces the previous one, while that is in the queue."""

import pytest
from prometheus_client import generate_latest
from tests.unit.domain.builders import at_text
from tests.unit.operator.schedule_clock import MINUTE, ScheduleClock

from corejob import ids

# --- skips are seen ---------------------------------------------------------------------------


def end(clock: ScheduleClock, name: str, state: str) -> None:
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
async def test_a_skip_is_in_status_event_and_metrics(
    clock: ScheduleClock, state: str, words: str
) -> None:
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


async def test_the_skip_is_cleared_once_the_job_has_left_the_queue(
    clock: ScheduleClock,
) -> None:
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


async def test_one_event_for_one_reason_and_another_each_hour(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.reconcile(60)
    end(clock, clock.jobs()[0], "error")
    for _ in range(130):
        await clock.reconcile(60)

    assert len(await clock.rig.events()) == 3
    assert clock.rig.metrics.scheduled.labels("skipped")._value.get() == 130


@pytest.mark.parametrize("how", ["removed", "restarted"])
async def test_a_job_that_comes_later_did_not_cause_the_skip(
    clock: ScheduleClock, how: str
) -> None:
    clock.rig.template(schedule="*/10 * * * *", uid="x")
    await clock.reconcile()
    await clock.reconcile(600)
    (name,) = clock.jobs()
    end(clock, name, "error")
    await clock.reconcile(600)
    assert clock.condition() == ("False", "Skipped")
    if how == "removed":
        clock.rig.fake.change("corejobs", name, {"spec": {"remove": True}})
        later = "mine"
    else:
        later = ids.new_id(clock.rig.now + MINUTE)
        clock.rig.fake.change("corejobs", name, {"spec": {"childId": later}})
    clock.rig.corejob(later, args={}, parentId=name, parentName=name)
    end(clock, later, "running")
    await clock.reconcile(60)
    assert clock.condition() == ("True", "Scheduled")
    assert "lastSkipJobIds" not in clock.status()

    await clock.reconcile(600)
    assert f"job {later} " in clock.status()["message"]
    assert "is still running" in clock.status()["message"]


async def test_of_several_jobs_each_keeps_the_skip(clock: ScheduleClock) -> None:
    for name in ("one", "two"):
        clock.rig.corejob(name, args={})
        end(clock, name, "error")
    await clock.reconcile()
    await clock.reconcile(60)
    assert "; 1 more of them are in the queue" in clock.status()["message"]
    for name, words in (("one", "job two ("), ("two", "")):
        clock.rig.fake.change("corejobs", name, {"spec": {"remove": True}})
        await clock.reconcile(1)
        assert words in clock.status().get("message", "")
    assert clock.condition() == ("True", "Scheduled")


async def test_a_job_that_goes_on_is_reported_once_and_again_when_it_has_stopped(
    clock: ScheduleClock,
) -> None:
    clock.rig.template(schedule="*/30 * * * *", uid="x")
    await clock.reconcile()
    await clock.reconcile(1800)
    (name,) = clock.jobs()
    end(clock, name, "running")
    await clock.reconcile(1800)
    for state in ("deferred", "running", "failed", "error"):
        end(clock, name, state)
        await clock.reconcile(10)
        assert f"job {name} " in clock.status()["message"]

    first, second = await clock.rig.events()
    assert "is still running" in first["note"]
    assert "ended in error" in second["note"]


async def test_the_metrics_of_a_template_go_with_it(clock: ScheduleClock) -> None:
    await clock.reconcile()
    for _ in range(2):
        await clock.reconcile(60)
    clock.rig.fake.remove("corejobtemplates", "a.job")
    assert await clock.templates.reconcile("a.job") is None

    text = generate_latest(clock.rig.metrics.registry).decode()
    assert "a.job" not in text


async def test_the_status_says_what_the_schedule_means_and_how_the_last_job_ended(
    clock: ScheduleClock,
) -> None:
    clock.rig.template(schedule="0 6 * * *", timeZone="Europe/Berlin", uid="x")
    await clock.reconcile()

    status = clock.status()
    assert status["scheduleMeaning"].startswith("next: 2026-11-25 06:00:00 +0100 Europe/Berlin")
    assert status["nextScheduleTime"] == "2026-11-25T05:00:00Z"
    assert status["timeZone"] == "Europe/Berlin"
    assert clock.condition() == ("True", "Scheduled")


async def test_a_changed_time_zone_counts_as_new(clock: ScheduleClock) -> None:
    await clock.reconcile()
    zone = {"spec": {"timeZone": "Asia/Kathmandu"}}
    clock.rig.fake.change("corejobtemplates", "a.job", zone)
    await clock.reconcile(3600)

    assert clock.jobs() == []
    assert clock.status()["lastScheduleTime"] == at_text(3600)


@pytest.mark.parametrize("zone", ["Europe/Belrin", "Local", "../x", "+01:00"])
async def test_a_bad_time_zone_is_named(clock: ScheduleClock, zone: str) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"timeZone": zone}})
    await clock.reconcile()

    assert clock.condition() == ("False", "BadSchedule")
    assert "unknown time zone" in clock.status()["message"]
    (event,) = await clock.rig.events()
    assert event["reason"] == "BadSchedule"


# --- replacing --------------------------------------------------------------------------------


@pytest.fixture
def replacing(clock: ScheduleClock) -> ScheduleClock:
    clock.rig.template(schedule="* * * * *", schedulePolicy="Replace", uid="x")
    return clock


@pytest.mark.parametrize("state", ["error", "killed", "inactive"])
async def test_a_stopped_job_is_replaced(replacing: ScheduleClock, state: str) -> None:
    await replacing.reconcile()
    await replacing.reconcile(60)
    (old,) = replacing.jobs()
    end(replacing, old, state)
    await replacing.reconcile(60)

    assert len(replacing.jobs()) == 2
    assert replacing.rig.fake.objects["corejobs"][old]["spec"]["remove"] is True
    assert replacing.condition() == ("True", "Scheduled")


@pytest.mark.parametrize("state", ["running", "pending", "failed", "deferred"])
async def test_a_waiting_or_running_job_is_not_replaced(
    replacing: ScheduleClock, state: str
) -> None:
    await replacing.reconcile()
    await replacing.reconcile(60)
    (old,) = replacing.jobs()
    end(replacing, old, state)
    await replacing.reconcile(60)

    assert replacing.jobs() == [old]
    assert "remove" not in replacing.rig.fake.objects["corejobs"][old]["spec"]
    assert replacing.condition() == ("False", "Skipped")


async def test_a_crash_between_removing_and_enqueuing_loses_no_run(
    replacing: ScheduleClock,
) -> None:
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


async def test_a_job_that_a_user_restarts_concurrently_is_not_removed(
    replacing: ScheduleClock,
) -> None:
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

    # The cache has the restart, but not yet the job that restarts it.
    replacing.rig.stale.clear()
    replacing.rig.caches.corejobs.put(replacing.rig.fake.objects["corejobs"][old])
    await replacing.reconcile(5)
    assert replacing.jobs() == [old]
    assert "is being restarted" in replacing.status()["message"]
