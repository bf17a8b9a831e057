"""CoreJobs whose name is the id of another job, or of none."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.domain.builders import NOW, ended, started
from tests.unit.operator.rig import Rig

from corejob import ids, model, timestamps
from corejob_operator.foreign_id import MARGIN
from corejob_operator.schedule import scheduled_id

CREATED = {"creationTimestamp": "2026-11-24T11:00:00Z"}


def hex_name(seconds: float = 0.0) -> str:
    """Return the id of a job that was created `seconds` after `CREATED`."""
    return ids.derived_id(NOW - timedelta(hours=1) + timedelta(seconds=seconds), "any")


def is_refused(rig: Rig, name: str) -> bool:
    status = rig.status(name)
    return (status["state"], status["reason"]) == ("error", "Duplicate")


async def test_a_name_that_is_the_id_of_a_job_of_another_time_is_refused(rig: Rig) -> None:
    margin = MARGIN.total_seconds()
    late, early, fine = hex_name(-margin - 1), hex_name(margin + 1), hex_name(-margin + 1)
    for name in (late, early, fine):
        rig.corejob(name, metadata=CREATED)
    await rig.settle()

    assert rig.jobs() == [f"{fine}-1"]
    assert is_refused(rig, late)
    assert is_refused(rig, early)
    assert "the id of a job of 2026-11-24T10:54:59" in rig.status(late)["message"]
    # The other job keeps its id, log and record.
    body = rig.fake.objects["corejobs"][late]
    own = ids.derived_id(NOW - timedelta(hours=1), body["metadata"]["uid"])
    assert rig.status(late)["id"] == own
    assert rig.status(late)["removedTime"]


@pytest.mark.parametrize("younger_first", [False, True])
async def test_a_name_that_is_the_id_of_a_live_job_is_refused(
    rig: Rig, younger_first: bool
) -> None:
    victim = {"uid": "uid-of-the-victim", **CREATED}
    job_id = ids.derived_id(NOW - timedelta(hours=1), victim["uid"])
    younger = {"uid": "uid-of-the-other", "creationTimestamp": "2026-11-24T11:00:01Z"}
    both: list[tuple[str, dict[str, Any]]] = [("nightly", victim), (job_id, younger)]
    for name, metadata in reversed(both) if younger_first else both:
        rig.corejob(name, metadata=metadata)
    await rig.settle()

    assert rig.jobs() == ["nightly-1"]
    await rig.lasts()
    assert rig.status("nightly")["id"] == job_id
    assert is_refused(rig, job_id)
    assert rig.status(job_id)["id"] != job_id
    assert "CoreJob nightly's" in rig.status(job_id)["message"]


async def test_a_running_job_is_not_refused_for_a_younger_one_of_its_id(rig: Rig) -> None:
    rig.corejob("nightly", metadata=CREATED)
    await rig.settle()
    rig.pod("nightly-1", started())
    await rig.settle()
    rig.corejob(rig.status("nightly")["id"], metadata=CREATED)
    rig.begin()
    await rig.settle()
    rig.pod("nightly-1", ended(0), "Succeeded")
    await rig.settle()

    assert rig.status("nightly")["state"] == "complete"
    assert rig.jobs() == ["nightly-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"args": {"n": "another"}},
        {"qualName": "b.Job"},
        {"parentName": "other"},
        {"parentId": "0" * 24},
    ],
)
async def test_only_the_restart_itself_takes_the_id_that_is_kept_for_it(
    rig: Rig, change: dict[str, Any]
) -> None:
    rig.template("b.Job")
    child = hex_name()
    rig.corejob("a", metadata=CREATED, childId=child, status={"state": "killed", "trial": 1})
    parent_id = model.parse(rig.fake.objects["corejobs"]["a"]).id
    lineage = {"args": {"n": "a"}, "parentName": "a", "parentId": parent_id}
    rig.corejob(child, metadata=CREATED, **{**lineage, **change})
    await rig.settle()

    assert is_refused(rig, child)


async def test_a_restart_that_the_operator_makes_late_has_its_id(rig: Rig) -> None:
    child = hex_name(-7200)
    killed = {"state": "killed", "trial": 1, "endTime": "2026-11-24T11:30:00Z"}
    rig.corejob("a", metadata=CREATED, childId=child, status=killed)
    await rig.settle()

    assert rig.jobs() == [f"{child}-2"]


@pytest.mark.parametrize("dealt_with", [False, True])
async def test_the_run_of_a_schedule_may_be_late_but_does_not_come_again(
    rig: Rig, dealt_with: bool
) -> None:
    run_at = NOW - timedelta(hours=3)
    template = rig.caches.template_body("a.Job")
    assert template is not None
    name = scheduled_id(template, run_at)
    last = run_at + timedelta(hours=1) if dealt_with else run_at
    status = {"status": {"lastScheduleTime": timestamps.render(last)}}
    rig.fake.change("corejobtemplates", "a.job", status)
    rig.corejob(name, metadata=CREATED)
    await rig.settle()

    assert rig.jobs() == ([] if dealt_with else [f"{name}-1"])


async def test_the_recorder_knows_the_ids_of_past_jobs(rig: Rig) -> None:
    """The recorder ends such a job, whether it runs or has not started yet."""
    name = hex_name()
    rig.corejob(name, metadata=CREATED)
    await rig.settle()
    rig.pod(f"{name}-1", started())
    await rig.settle()
    stored_log = {
        "trial": 1,
        "complete": True,
        "lost": True,
        "reason": "Duplicate",
        "message": "taken",
    }
    rig.fake.change("corejobs", name, {"status": {"log": stored_log}})
    await rig.settle()

    assert is_refused(rig, name)
    assert rig.status(name)["message"] == "taken"
    assert rig.status(name)["id"] != name
    assert rig.jobs() == []


@pytest.mark.parametrize("code", [413, 422])
@pytest.mark.parametrize("kill", [False, True])
async def test_a_job_ends_whatever_its_texts_are(rig: Rig, code: int, kill: bool) -> None:
    rig.corejob("a")
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    rig.fake.change("corejobs", "a", {"spec": {"kill": kill}})
    rig.pod("a-1", ended(1), "Failed")
    rig.fake.refuse("PATCH", "corejobs", code, "no such text")
    await rig.settle()

    status = rig.status("a")
    assert status["state"] == ("killed" if kill else "error")
    assert status["message"].endswith("no such text")
    assert "lastError" not in status
    assert rig.errors == []


async def test_a_status_that_is_refused_whatever_it_says_is_tried_again(rig: Rig) -> None:
    rig.corejob("a")
    rig.fake.refuse("PATCH", "corejobs", 422, "no", times=2)
    await rig.settle()
    await rig.lasts()

    assert [error.status for error in rig.errors] == [422]
