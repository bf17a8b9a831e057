"""Duplicates: the job that stays in the queue, also after a crash between two writes."""

from typing import Any

import pytest
from tests.unit.domain.builders import at_text, corejob_body, ended, started
from tests.unit.operator.rig import Rig

from corejob_operator.duplicates import duplicate_before

CHILD = "6743cccccccccccccccccccc"
# State of the younger job after a crash: the operator had admitted it, but not seen the older.
ACCEPTED = {"state": "pending", "trial": 0}


async def test_the_younger_of_two_equal_jobs_is_refused(rig: Rig) -> None:
    old = {"creationTimestamp": "2026-11-24T11:00:00Z"}
    new = {"creationTimestamp": "2026-11-24T11:00:01Z"}
    rig.corejob("b", has_finalizer=False, args={}, metadata=old)
    rig.corejob("a", has_finalizer=False, args={}, metadata=new)
    await rig.settle()

    assert rig.jobs() == ["b-1"]
    refused = rig.status("a")
    assert (refused["state"], refused["reason"]) == ("error", "Duplicate")
    assert "job [a.Job] exists with args {}" in refused["message"]
    assert refused["removedTime"]
    assert rig.reconciler.admitter.admission.active() == 1


async def test_an_equal_job_is_admitted_once_the_other_is_past(rig: Rig) -> None:
    rig.corejob("a", args={})
    await rig.settle()
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    rig.corejob("b", args={})
    await rig.settle()

    assert "b-1" in rig.jobs()


@pytest.mark.parametrize(
    ("spec", "duplicate", "ends"),
    [
        pytest.param(
            {"kill": True, "childId": CHILD},
            {"parentName": "a", "parentId": "e" * 24},
            ("killed", "Killed"),
            id="restarted",
        ),
        pytest.param({"remove": True}, {}, ("pending", "Removed"), id="removed"),
        pytest.param({"kill": True, "remove": True}, {}, ("killed", "Killed"), id="both"),
    ],
)
async def test_a_job_that_has_left_the_queue_is_no_duplicate(
    rig: Rig, spec: dict[str, Any], duplicate: dict[str, Any], ends: tuple[str, str | None]
) -> None:
    rig.corejob("a", args={}, **spec)
    rig.corejob(CHILD, args={}, status=ACCEPTED, **duplicate)
    rig.begin()
    await rig.settle()

    left = rig.status("a")
    assert (left["state"], left.get("reason")) == ends
    assert rig.jobs() == [f"{CHILD}-1"]


async def test_a_job_that_has_a_pod_was_admitted_whatever_its_status_says(rig: Rig) -> None:
    rig.corejob("a", args={})
    await rig.settle()
    rig.pod("a-1", started())
    rig.fake.objects["corejobs"]["a"].pop("status", None)
    rig.corejob(
        "b", args={}, has_finalizer=False, metadata={"creationTimestamp": "2026-11-24T11:00:00Z"}
    )
    rig.begin()
    await rig.settle()

    assert rig.status("a")["state"] == "running"
    assert rig.status("b")["reason"] == "Duplicate"
    assert rig.jobs() == ["a-1"]


# --- one of two equal CoreJobs ----------------------------------------------------------------


def equal_job(name: str, created: int = 0, *, uid: str = "", **more: Any) -> dict[str, Any]:
    meta = {"creationTimestamp": at_text(created), "uid": uid or f"uid-{name}"}
    return corejob_body(name=name, metadata=meta, **more)


def admitted(*names: str) -> Any:
    return lambda body: body["metadata"]["name"] in names


def test_without_a_duplicate_it_is_admitted() -> None:
    assert duplicate_before(equal_job("b"), [], admitted()) is None


def test_the_older_of_two_new_jobs_has_precedence() -> None:
    old, new = equal_job("z", 0), equal_job("a", 1)

    assert duplicate_before(new, [old], admitted()) == "z"
    assert duplicate_before(old, [new], admitted()) is None


def test_within_one_second_exactly_one_has_precedence() -> None:
    one, other = equal_job("a", uid="1"), equal_job("b", uid="2")
    results = [
        duplicate_before(one, [other], admitted()),
        duplicate_before(other, [one], admitted()),
    ]

    assert sorted(map(str, results)) == ["None", "a"]


def test_an_admitted_job_stays_admitted() -> None:
    old, new = equal_job("z", 0), equal_job("a", 1)

    assert duplicate_before(old, [new], admitted("a")) == "a"


@pytest.mark.parametrize("state", ["pending", "running", "failed", "killed", "error", "inactive"])
def test_all_that_is_in_the_queue_counts(state: str) -> None:
    other = equal_job("a", status={"state": state, "trial": 1})

    assert duplicate_before(equal_job("b", 1), [other], admitted("a")) == "a"


def test_past_jobs_do_not_count() -> None:
    past = [
        equal_job("a", status={"state": "complete", "trial": 1}),
        equal_job(
            "c", status={"state": "error", "trial": 1, "removedTime": at_text(0)}, remove=True
        ),
        equal_job("d", status={"state": "killed", "trial": 1, "childId": "e" * 24}),
    ]

    assert duplicate_before(equal_job("b", 1), past, admitted("a", "c", "d")) is None
