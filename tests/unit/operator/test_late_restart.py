"""A restart of a failed job that meets the end of its last trial: carried out once, by a new job.

The API accepts it, since the job is `failed` as far as anybody knows (docs/rest.md).
"""

import pytest
from tests.unit.domain.builders import ended, started
from tests.unit.operator.rig import Rig

RESTART = "2026-11-24T12:00:00.000001Z"


@pytest.fixture
async def retried(rig: Rig) -> Rig:
    """A failed job whose last trial has been created, but not been seen to run."""
    rig.template(properties={"attempts": 2})
    rig.corejob("a")
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    rig.pod("a-1", ended(1), "Failed")
    await rig.settle()
    assert rig.status("a")["state"] == "failed"
    rig.fake.change("corejobs", "a", {"status": {"log": {"trial": 1, "complete": True}}})
    await rig.settle()
    await rig.passes(600)
    assert "a-2" in rig.jobs()
    assert rig.status("a")["state"] == "failed"
    return rig


def children(rig: Rig) -> list[str]:
    return [name for name in rig.fake.objects["corejobs"] if name != "a"]


async def test_it_comes_after_the_operator_has_read_the_job(retried: Rig) -> None:
    retried.stale = {"corejobs"}
    retried.fake.change("corejobs", "a", {"spec": {"restartAt": RESTART}})
    retried.pod("a-2", ended(1), "Failed")
    await retried.settle()
    retried.stale = set()
    for _ in range(2):
        status = retried.status("a")
        assert (status["state"], status["trial"]) == ("error", 2)
        (child,) = children(retried)
        assert status["childId"] == child
        assert retried.fake.objects["corejobs"][child]["spec"]["parentName"] == "a"
        retried.begin()
        await retried.settle()
    assert f"{child}-3" in retried.jobs()


async def test_it_comes_before_the_operator_reads_the_job(retried: Rig) -> None:
    """Then the trial that exists is the one that was asked for."""
    retried.fake.change("corejobs", "a", {"spec": {"restartAt": RESTART}})
    retried.pod("a-2", ended(1), "Failed")
    retried.begin()
    await retried.settle()
    status = retried.status("a")
    assert (status["state"], status["trial"]) == ("error", 2)
    assert children(retried) == []
    retried.begin()
    await retried.settle()
    assert children(retried) == []
