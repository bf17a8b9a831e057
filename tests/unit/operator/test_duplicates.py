"""Equal jobs: who may be in the queue, also after an operator that died between two writes."""

from typing import Any

import pytest
from tests.unit.domain.builders import ended, started
from tests.unit.operator.rig import Rig

CHILD = "6743cccccccccccccccccccc"
# The younger of the two in what a crash leaves: the operator had come to it, not to the older.
ACCEPTED = {"state": "pending", "trial": 0}


async def test_the_younger_of_two_equal_ones_is_refused(rig: Rig) -> None:
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
    assert rig.reconciler.admission.active() == 1


async def test_an_equal_one_is_let_in_once_the_other_is_past(rig: Rig) -> None:
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
async def test_one_that_has_left_the_queue_is_nobodys_duplicate(
    rig: Rig, spec: dict[str, Any], duplicate: dict[str, Any], ends: tuple[str, str | None]
) -> None:
    rig.corejob("a", args={}, **spec)
    rig.corejob(CHILD, args={}, status=ACCEPTED, **duplicate)
    rig.begin()
    await rig.settle()

    left = rig.status("a")
    assert (left["state"], left.get("reason")) == ends
    assert rig.jobs() == [f"{CHILD}-1"]


async def test_one_whose_pod_is_there_was_let_in_whatever_its_status_says(rig: Rig) -> None:
    rig.corejob("a", args={})
    await rig.settle()
    rig.pod("a-1", started())
    rig.fake.objects["corejobs"]["a"].pop("status")
    rig.corejob(
        "b", args={}, has_finalizer=False, metadata={"creationTimestamp": "2026-11-24T11:00:00Z"}
    )
    rig.begin()
    await rig.settle()

    assert rig.status("a")["state"] == "running"
    assert rig.status("b")["reason"] == "Duplicate"
    assert rig.jobs() == ["a-1"]
