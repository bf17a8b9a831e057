"""Jobs and pods have separate watches: the outcome does not depend on which one lags."""

import pytest
from tests.unit.domain.builders import ended, started
from tests.unit.operator.rig import Rig

FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}


@pytest.fixture
async def rig(rig: Rig) -> Rig:
    """A running job whose log is being read."""
    rig.corejob("a", attempts=1)
    await rig.settle()
    rig.pod("a-1", started())
    rig.fake.change("corejobs", "a", {"status": {"log": {"trial": 1}}})
    await rig.settle()
    return rig


def delete_pod(rig: Rig) -> None:
    meta = rig.fake.objects["pods"]["a-1-x"]["metadata"]
    meta["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    rig.fake.change("pods", "a-1-x", {"status": {"containerStatuses": [container(143)]}})


def container(code: int) -> dict[str, object]:
    return {"name": "job", "state": ended(code)}


async def test_a_job_has_failed_and_the_watch_of_pods_is_behind(rig: Rig) -> None:
    rig.fake.remove("pods", "a-1-x")
    await rig.settle()
    rig.stale.add("pods")
    rig.pod("a-1", ended(1, message='{"lastError": {"exception": "boom"}}'), "Failed")
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [FAILED]}})
    await rig.settle()

    assert (rig.status("a")["reason"], rig.status("a")["message"]) == ("CodeError", "boom")


@pytest.mark.parametrize("gone", [False, True])
async def test_a_job_was_deleted_and_the_watch_of_jobs_is_behind(rig: Rig, gone: bool) -> None:
    rig.stale.add("jobs")
    if gone:
        del rig.fake.objects["jobs"]["a-1"]
    else:
        rig.fake.change("jobs", "a-1", {"metadata": {"deletionTimestamp": "2026-11-24T12:00:00Z"}})
    delete_pod(rig)
    await rig.settle()

    assert (rig.status("a")["state"], rig.status("a")["reason"]) == ("killed", "JobDeleted")


async def test_a_pod_was_deleted(rig: Rig) -> None:
    delete_pod(rig)
    await rig.settle()

    assert (rig.status("a")["state"], rig.status("a")["reason"]) == ("killed", "PodDeleted")


async def test_nothing_is_read_for_a_kill(rig: Rig) -> None:
    rig.fake.change("corejobs", "a", {"spec": {"kill": True}})
    delete_pod(rig)
    await rig.settle()

    assert rig.status("a")["reason"] == "Killed"
    assert rig.fake.requested("GET", "jobs") == []
