"""The sweep takes over what the watches missed, and finds a watch that has gone deaf."""

import pytest
from tests.unit.operator.rig import Rig

from corejob import names
from corejob_kube.errors import UnavailableError
from corejob_operator.resync import Sweep


@pytest.fixture
def sweep(rig: Rig) -> Sweep:
    return Sweep(rig.kube, rig.world, "jobs", rig.metrics)


def repairs(rig: Rig) -> float:
    return float(rig.metrics.repairs._value.get())


async def test_the_first_one_lists_all_and_repairs_nothing(rig: Rig, sweep: Sweep) -> None:
    rig.fake.watchers.clear()
    rig.corejob("a")
    await sweep.run()

    assert rig.world.corejobs.get("a") is not None
    assert rig.world.template("a.Job") is not None
    assert (repairs(rig), sweep.deaf) == (0, frozenset())


async def test_it_lists_only_jobs_and_pods_of_ours_in_pages(rig: Rig, sweep: Sweep) -> None:
    rig.fake.watchers.clear()
    rig.fake.page = 2
    for number in range(5):
        rig.corejob(f"a{number}")
        rig.fake.put("jobs", {"metadata": {"name": f"other{number}"}})
    labels = {names.LABEL_COREJOB: "a0", names.LABEL_TRIAL: "1"}
    rig.fake.put("jobs", {"metadata": {"name": "a0-1", "labels": labels}})
    await sweep.run()

    assert len(rig.world.corejobs) == 5
    assert [child.name for child in rig.world.jobs_of("a0")] == ["a0-1"]
    assert len(rig.world.jobs) == 1


async def test_with_watches_that_hear_nothing_is_to_be_done(rig: Rig, sweep: Sweep) -> None:
    await sweep.run()
    for number in range(3):
        rig.corejob(f"a{number}")
        await sweep.run()

    assert (repairs(rig), sweep.deaf) == (0, frozenset())


async def test_what_a_watch_missed_is_taken_over_and_looked_at(rig: Rig, sweep: Sweep) -> None:
    gone = rig.corejob("gone")
    await sweep.run()
    await rig.settle()
    rig.fake.watchers.clear()
    rig.corejob("new")
    rig.fake.objects["corejobs"].pop("gone")
    assert gone["metadata"]["name"] == "gone"
    await sweep.run()

    assert rig.world.corejobs.get("new") is not None
    assert rig.world.corejobs.get("gone") is None
    assert repairs(rig) == 1
    assert len(rig.queue) == 2


async def test_one_sweep_may_be_ahead_of_the_watch_two_may_not(rig: Rig, sweep: Sweep) -> None:
    await sweep.run()
    rig.fake.watchers.clear()
    rig.corejob("a")
    await sweep.run()
    assert sweep.deaf == frozenset()

    await sweep.run()
    assert sweep.deaf == frozenset({"corejobs"})


async def test_a_watch_that_hears_again_is_not_deaf(rig: Rig, sweep: Sweep) -> None:
    await sweep.run()
    rig.fake.watchers.clear()
    rig.corejob("a")
    await sweep.run()
    await sweep.run()
    assert sweep.deaf
    rig.fake.watchers.append(rig.watch)
    rig.fake.change("corejobs", "a", {"metadata": {"labels": {"x": "y"}}})
    await sweep.run()

    assert sweep.deaf == frozenset()


async def test_a_quiet_cluster_is_not_deaf(rig: Rig, sweep: Sweep) -> None:
    rig.corejob("a")
    for _ in range(4):
        await sweep.run()

    assert sweep.deaf == frozenset()


async def test_a_server_that_is_away_is_an_error(rig: Rig, sweep: Sweep) -> None:
    rig.fake.refuse("GET", "jobs", 503)

    with pytest.raises(UnavailableError):
        await sweep.run()
