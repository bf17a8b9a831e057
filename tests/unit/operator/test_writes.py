"""Costs of a job: the operator's writes of its whole life, by verb and kind, exactly."""

from collections import Counter
from dataclasses import replace

import pytest
from tests.unit.domain.builders import ended, started
from tests.unit.operator.rig import Rig

STORED = {"log": {"trial": 1, "complete": True}, "journaledTime": "2026-11-24T12:00:00Z"}
"""The recorder's part of the status of a past job, which it writes at once."""
READ = {"log": {"trial": 1}}
AN_ORDINARY_JOB = {
    "POST jobs": 1,
    "PATCH corejobs/status": 2,
    "POST events": 2,
    "DELETE jobs": 1,
    "DELETE corejobs": 1,
    "PATCH corejobs": 1,
}


async def writes(rig: Rig) -> dict[str, int]:
    """Return the number of writes by verb and kind, with those of Events."""
    await rig.events()
    requests = [request for request in rig.fake.requests if request.method != "GET"]
    return dict(
        Counter(
            f"{request.method} {request.plural}" + (f"/{request.sub}" if request.sub else "")
            for request in requests
        )
    )


async def lives(rig: Rig, *, lasts: bool, slow_start: bool = False) -> None:
    """Play the life of a job to the last delete."""
    rig.event_recorder.start()
    rig.corejob("a")
    await rig.settle()
    if slow_start:
        await rig.lasts()
    rig.pod("a-1", {"waiting": {"reason": "ContainerCreating"}}, "Pending")
    await rig.settle()
    if lasts:
        rig.pod("a-1", started())
        await rig.settle()
        await rig.events()  # a second or more later
        rig.event_recorder.start()
    rig.pod("a-1", ended(0, reason="Completed"), "Succeeded")
    complete = {"type": "Complete", "status": "True"}
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [complete]}})
    await rig.settle()
    rig.fake.change("corejobs", "a", {"status": STORED})
    await rig.settle()
    await rig.passes(rig.settings.ttl)
    assert rig.fake.objects["corejobs"] == {}
    assert rig.fake.objects["jobs"] == {}
    assert rig.errors == []


async def test_an_ordinary_job(rig: Rig) -> None:
    await lives(rig, lasts=True)

    assert await writes(rig) == AN_ORDINARY_JOB


async def test_a_job_that_was_over_before_it_was_observed(rig: Rig) -> None:
    await lives(rig, lasts=False)

    assert await writes(rig) == AN_ORDINARY_JOB | {"PATCH corejobs/status": 1, "POST events": 1}


async def test_a_job_whose_start_lasts(rig: Rig) -> None:
    """`Starting` first says `waiting for the pod`, then what the pod waits for."""
    await lives(rig, lasts=True, slow_start=True)

    assert await writes(rig) == AN_ORDINARY_JOB | {"PATCH corejobs/status": 4}


async def test_job_and_corejob_go_at_once_if_nothing_keeps_them(rig: Rig) -> None:
    """The garbage collector deletes the Job; that of the fake API server does so, too."""
    rig.settings = replace(rig.settings, ttl=0)
    rig.begin()
    await lives(rig, lasts=True)

    counts = AN_ORDINARY_JOB.copy()
    del counts["DELETE jobs"]
    assert await writes(rig) == counts


@pytest.mark.parametrize(("read", "patches"), [(True, 2), (False, 3)])
async def test_a_kill(rig: Rig, read: bool, patches: int) -> None:
    """The pod is deleted first of all, once the recorder reads its log."""
    rig.corejob("a")
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    if read:
        rig.fake.change("corejobs", "a", {"status": READ})
        await rig.settle()
    before = len(rig.fake.requests)
    rig.fake.change("corejobs", "a", {"spec": {"kill": True}})
    await rig.settle()
    first = "DELETE pods/a-1-x" if read else "PATCH corejobs/a/status"
    assert rig.fake.requests[before].line == first

    rig.fake.change("corejobs", "a", {"status": READ})
    await rig.settle()
    rig.pod("a-1", ended(143), "Failed")
    await rig.settle()
    assert rig.status("a")["state"] == "killed"
    lines = [one.line for one in rig.fake.requests[before:] if one.method != "GET"]
    assert lines.count("DELETE pods/a-1-x") == 1
    assert lines.count("PATCH corejobs/a/status") == patches


async def test_a_kill_of_a_pod_that_has_just_started_is_one_reconcile(rig: Rig) -> None:
    rig.corejob("a")
    await rig.settle()
    rig.fake.change("corejobs", "a", {"status": READ})
    rig.stale.add("pods")
    rig.pod("a-1", started())
    rig.fake.change("corejobs", "a", {"spec": {"kill": True}})
    rig.caches.pods.put(rig.fake.objects["pods"]["a-1-x"])
    await rig.settle()

    assert rig.fake.writes()[1:3] == ["DELETE pods/a-1-x", "PATCH corejobs/a/status"]
