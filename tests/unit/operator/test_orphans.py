"""A Job that was deleted without its pod (`kubectl delete job --cascade=orphan`)."""

from typing import Any

import pytest
from tests.unit.domain.builders import ended, started, waiting
from tests.unit.operator.rig import Rig

JOB_TRACKING = "batch.kubernetes.io/job-tracking"
STOPPING = "its Job was deleted by somebody else, but not its pod: stopping the pod"


def orphan(rig: Rig) -> None:
    """Delete the Job as the garbage collector does: first the pod loses its owner."""
    rig.fake.change("pods", "a-1-x", {"metadata": {"ownerReferences": None}})
    rig.fake.remove("jobs", "a-1", orphan=True)


def told(rig: Rig) -> tuple[Any, ...]:
    status = rig.status("a")
    return status["state"], status["reason"]


@pytest.fixture
async def begun(rig: Rig) -> Rig:
    """A job whose pod is being created; a finalizer keeps the pod when it is deleted."""
    rig.corejob("a", attempts=3)
    await rig.settle()
    rig.pod("a-1", waiting("ContainerCreating"), "Pending")
    rig.fake.change("pods", "a-1-x", {"metadata": {"finalizers": [JOB_TRACKING]}})
    await rig.lasts()
    await rig.settle()
    return rig


async def run(rig: Rig, state: dict[str, Any], phase: str = "Running") -> None:
    status = {"phase": phase, "containerStatuses": [{"name": "job", "state": state}]}
    rig.fake.change("pods", "a-1-x", {"status": status})
    await rig.settle()


@pytest.mark.parametrize("restarted", [False, True], ids=["the operator has seen it", "restarted"])
async def test_its_running_pod_is_stopped(begun: Rig, restarted: bool) -> None:
    rig = begun
    await run(rig, started())
    orphan(rig)
    if restarted:
        rig.begin()
    await rig.settle()
    assert told(rig) == ("running", "Terminating")
    assert "deletionTimestamp" in rig.fake.objects["pods"]["a-1-x"]["metadata"]

    await run(rig, ended(143), "Failed")
    assert told(rig) == ("killed", "JobDeleted")


async def test_the_message_says_that_it_is_stopped(begun: Rig) -> None:
    await run(begun, started())
    orphan(begun)
    await begun.reconciler.reconcile(await begun.queue.get())

    assert begun.status("a")["message"] == STOPPING


async def test_a_pod_that_has_not_started_is_stopped(begun: Rig) -> None:
    rig = begun
    orphan(rig)
    await rig.settle()
    assert told(rig) == ("pending", "JobDeleted")
    assert "deletionTimestamp" in rig.fake.objects["pods"]["a-1-x"]["metadata"]

    rig.fake.remove("pods", "a-1-x")
    await rig.settle()
    assert told(rig) == ("killed", "JobDeleted")


async def test_the_end_of_an_orphan_is_that_of_the_job(begun: Rig) -> None:
    await run(begun, started())
    orphan(begun)
    await run(begun, ended(0), "Succeeded")

    assert told(begun) == ("complete", "Completed")


async def test_the_last_state_of_an_orphan_tells_its_end(begun: Rig) -> None:
    await run(begun, started())
    orphan(begun)
    status = {"phase": "Failed", "containerStatuses": [{"name": "job", "state": ended(3)}]}
    begun.fake.change("pods", "a-1-x", {"status": status})
    begun.fake.remove("pods", "a-1-x")
    await begun.settle()

    assert (begun.status("a")["state"], begun.status("a")["exitCode"]) == ("failed", 3)


async def test_a_restart_waits_for_the_orphan(begun: Rig) -> None:
    rig = begun
    await run(rig, started())
    orphan(rig)
    rig.fake.change("corejobs", "a", {"spec": {"kill": True}})
    await rig.passes(rig.settings.attach_wait)
    rig.fake.change("corejobs", "a", {"spec": {"restartAt": "2026-11-24T12:00:00Z"}})
    await rig.settle()
    assert rig.jobs() == []

    await run(rig, ended(143), "Failed")
    (child,) = [name for name in rig.fake.objects["corejobs"] if name != "a"]
    assert rig.jobs() == [f"{child}-2"]


async def test_a_copy_of_a_pod_is_not_one_of_ours(begun: Rig) -> None:
    rig = begun
    await run(rig, started())
    body = rig.fake.objects["pods"]["a-1-x"]
    meta = {key: body["metadata"][key] for key in ("labels", "annotations")}
    rig.fake.put("pods", {**body, "metadata": {"name": "a-1-copy", **meta}})
    rig.fake.remove("jobs", "a-1")
    await rig.settle()

    assert "deletionTimestamp" not in rig.fake.objects["pods"]["a-1-copy"]["metadata"]
