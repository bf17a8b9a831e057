"""Schedules that are changed, removed or invalid, none of which stops the others."""

import asyncio
from typing import Any

import pytest
from tests.support.signals import DEADLINE
from tests.unit.domain.builders import at_text
from tests.unit.operator.schedule_clock import ScheduleClock

from corejob_kube.errors import UnavailableError
from corejob_kube.resources import Resource

# --- changes --------------------------------------------------------------------------------


async def test_a_changed_schedule_counts_as_new(clock: ScheduleClock) -> None:
    await clock.reconcile()
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "*/2 * * * *"}})
    await clock.reconcile(3600)

    assert clock.jobs() == []
    assert clock.status()["schedule"] == "*/2 * * * *"
    assert clock.status()["lastScheduleTime"] == at_text(3600)


@pytest.mark.parametrize("nothing", [None, ""])
async def test_a_schedule_that_is_set_again_has_missed_nothing(
    clock: ScheduleClock, nothing: str | None
) -> None:
    await clock.reconcile()
    for schedule in (nothing, "* * * * *"):
        clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
        await clock.reconcile(3600)
    assert clock.jobs() == []
    assert clock.times() == {"schedule": "* * * * *", "lastScheduleTime": at_text(7200)}

    await clock.reconcile(60)
    assert len(clock.jobs()) == 1


async def test_the_message_about_a_bad_schedule_goes_with_it(clock: ScheduleClock) -> None:
    for schedule in ("60 * * * *", None):
        clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
        await clock.reconcile()

    assert clock.status() == {}


@pytest.mark.parametrize("schedule", [None, ""])
async def test_without_a_schedule_nothing_is_written(
    clock: ScheduleClock, schedule: str | None
) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": schedule}})
    await clock.reconcile()

    assert clock.rig.fake.writes() == []


async def test_a_template_that_is_being_deleted_enqueues_nothing(clock: ScheduleClock) -> None:
    await clock.reconcile()
    meta = {"metadata": {"deletionTimestamp": at_text(0)}}
    clock.rig.fake.change("corejobtemplates", "a.job", meta)
    await clock.reconcile(60)

    assert clock.jobs() == []


async def test_a_bad_schedule_is_reported_once_and_can_be_corrected(clock: ScheduleClock) -> None:
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "60 * * * *"}})
    for _ in range(3):
        await clock.reconcile(60)
    assert "[60 * * * *] can't be used" in clock.status()["message"]
    assert len(clock.rig.fake.writes()) == 1

    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": "0 * * * *"}})
    await clock.reconcile()
    assert "message" not in clock.status()


async def test_a_template_that_is_gone_is_forgotten(clock: ScheduleClock) -> None:
    clock.rig.fake.watchers.clear()
    clock.rig.fake.remove("corejobtemplates", "a.job")
    await clock.reconcile()

    assert clock.rig.caches.templates.get("a.job") is None


# --- robustness -------------------------------------------------------------------------------


async def test_a_new_template_is_reconciled_at_once_and_errors_do_not_end_it(
    clock: ScheduleClock,
) -> None:
    clock.rig.fake.refuse("PATCH", "corejobtemplates", 503)
    situation = asyncio.Event()

    def watch(plural: str, _kind: str, body: dict[str, Any]) -> None:
        if (body.get("status") or {}).get("schedule") == "@daily":
            situation.set()

    clock.rig.fake.watchers.append(watch)
    running = asyncio.create_task(clock.templates.run())
    try:
        clock.rig.template("b.Job", schedule="@daily")
        async with asyncio.timeout(DEADLINE):
            await situation.wait()
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def is_told(clock: ScheduleClock, name: str) -> bool:
    """True if a condition says that the template is invalid, or valid without a schedule."""
    status = clock.rig.fake.objects["corejobtemplates"][name]["status"]
    told = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    return "False" in told.values() or told == {"Valid": "True"}


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
async def test_an_odd_template_never_stops_the_others(
    clock: ScheduleClock, odd: dict[str, Any]
) -> None:
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
        async with asyncio.timeout(DEADLINE):
            await situation.wait()
        assert not running.done()
        # The other templates go on, and the status reports the invalid one.
        await clock.rig.fake.until(lambda: is_told(clock, "a.odd"))
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_template_whose_writes_fail_for_ever_delays_no_other(
    clock: ScheduleClock, monkeypatch: pytest.MonkeyPatch
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
    loop = asyncio.get_running_loop()
    began = loop.time()
    running = asyncio.create_task(clock.templates.run())
    try:
        clock.rig.template("z.Job", schedule="@daily")
        async with asyncio.timeout(DEADLINE):
            await situation.wait()
        lasted = loop.time() - began
    finally:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # Once by itself and once for the write of its condition; then it backs off.
    assert 1 <= tries <= 3 + 10 * lasted
