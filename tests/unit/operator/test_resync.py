"""The resync updates the caches with what the watches missed, and finds stale watches."""

import pytest
from tests.unit.operator.rig import Rig

from corejob import names
from corejob_kube.errors import UnavailableError
from corejob_operator.resync import Resync


@pytest.fixture
def resync(rig: Rig) -> Resync:
    return Resync(rig.kube, rig.caches, "jobs", rig.metrics)


def repairs(rig: Rig) -> float:
    return float(rig.metrics.repairs._value.get())


async def test_the_first_resync_lists_all_and_repairs_nothing(rig: Rig, resync: Resync) -> None:
    rig.fake.watchers.clear()
    rig.corejob("a")
    await resync.run()

    assert rig.caches.corejobs.get("a") is not None
    assert rig.caches.template("a.Job") is not None
    assert (repairs(rig), resync.stale) == (0, frozenset())


async def test_it_lists_only_jobs_and_pods_of_ours_in_pages(rig: Rig, resync: Resync) -> None:
    rig.fake.watchers.clear()
    rig.fake.page = 2
    for number in range(5):
        rig.corejob(f"a{number}")
        rig.fake.put("jobs", {"metadata": {"name": f"other{number}"}})
    labels = {names.LABEL_COREJOB: "a0", names.LABEL_TRIAL: "1"}
    rig.fake.put("jobs", {"metadata": {"name": "a0-1", "labels": labels}})
    await resync.run()

    assert len(rig.caches.corejobs) == 5
    assert [child.name for child in rig.caches.jobs_of("a0")] == ["a0-1"]
    assert len(rig.caches.jobs) == 1


async def test_nothing_is_repaired_while_the_watches_deliver(rig: Rig, resync: Resync) -> None:
    await resync.run()
    for number in range(3):
        rig.corejob(f"a{number}")
        await resync.run()

    assert (repairs(rig), resync.stale) == (0, frozenset())


async def test_a_missed_change_reaches_the_cache_and_the_queue(rig: Rig, resync: Resync) -> None:
    gone = rig.corejob("gone")
    await resync.run()
    await rig.settle()
    rig.fake.watchers.clear()
    rig.corejob("new")
    rig.fake.objects["corejobs"].pop("gone")
    assert gone["metadata"]["name"] == "gone"
    await resync.run()

    assert rig.caches.corejobs.get("new") is not None
    assert rig.caches.corejobs.get("gone") is None
    assert repairs(rig) == 1
    assert len(rig.queue) == 2


async def test_a_watch_may_lag_behind_one_resync_but_not_two(rig: Rig, resync: Resync) -> None:
    await resync.run()
    rig.fake.watchers.clear()
    rig.corejob("a")
    await resync.run()
    assert resync.stale == frozenset()

    await resync.run()
    assert resync.stale == frozenset({"corejobs"})


async def test_a_watch_that_delivers_again_is_not_stale(rig: Rig, resync: Resync) -> None:
    await resync.run()
    rig.fake.watchers.clear()
    rig.corejob("a")
    await resync.run()
    await resync.run()
    assert resync.stale
    rig.fake.watchers.append(rig.watch)
    rig.fake.change("corejobs", "a", {"metadata": {"labels": {"x": "y"}}})
    await resync.run()

    assert resync.stale == frozenset()


async def test_no_watch_of_a_quiet_cluster_is_stale(rig: Rig, resync: Resync) -> None:
    rig.corejob("a")
    for _ in range(4):
        await resync.run()

    assert resync.stale == frozenset()


async def test_a_server_that_is_away_is_an_error(rig: Rig, resync: Resync) -> None:
    rig.fake.refuse("GET", "jobs", 503)

    with pytest.raises(UnavailableError):
        await resync.run()
