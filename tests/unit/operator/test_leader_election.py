"""One active operator: two processes and one Lease, with clocks that a test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.fake_apiserver.faults import ANY
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.domain.builders import NOW

from corejob_kube.client import Kube
from corejob_kube.resources import COREJOBS
from corejob_operator.fencing import Fenced
from corejob_operator.leader_election import (
    DURATION_S,
    LEASE,
    LeaderElection,
    LeaseTiming,
    NotLeadingError,
)

PATIENT = LeaseTiming(timeout=DEADLINE)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def one(kube: Kube, fake: FakeApiServer, clock: Clock) -> LeaderElection:
    fake.put("pods", {"metadata": {"name": "one"}})
    return LeaderElection(kube, NAMESPACE, "one", clock.now, monotonic=clock, timing=PATIENT)


@pytest.fixture
def two(kube: Kube, fake: FakeApiServer, clock: Clock) -> LeaderElection:
    fake.put("pods", {"metadata": {"name": "two"}})
    return LeaderElection(kube, NAMESPACE, "two", clock.now, monotonic=clock, timing=PATIENT)


def holder(fake: FakeApiServer) -> str:
    return str(fake.objects["leases"][LEASE]["spec"]["holderIdentity"])


async def test_the_first_makes_the_lease_and_the_second_waits(
    one: LeaderElection, two: LeaderElection, fake: FakeApiServer
) -> None:
    await one.turn()
    await two.turn()
    assert (one.leading.is_set(), one.lost.is_set()) == (True, False)
    assert (two.leading.is_set(), two.lost.is_set()) == (False, True)
    assert holder(fake) == "one"


async def test_it_is_renewed_and_so_never_runs_out(
    one: LeaderElection, two: LeaderElection, clock: Clock
) -> None:
    for _ in range(10):
        await one.turn()
        await two.turn()
        clock.seconds += DURATION_S - 1
    assert one.leading.is_set()
    assert not two.leading.is_set()


async def test_a_holder_that_does_not_renew_is_followed_after_the_duration(
    one: LeaderElection, two: LeaderElection, clock: Clock, fake: FakeApiServer
) -> None:
    await one.turn()
    await two.turn()
    clock.seconds += DURATION_S
    await two.turn()
    assert not two.leading.is_set()
    clock.seconds += 0.1
    await two.turn()
    assert two.leading.is_set()
    await one.turn()
    assert (one.leading.is_set(), one.lost.is_set()) == (False, True)
    assert holder(fake) == "two"


async def test_a_holder_whose_pod_is_gone_is_followed_at_once(
    one: LeaderElection, two: LeaderElection, fake: FakeApiServer
) -> None:
    await one.turn()
    fake.remove("pods", "one")
    await two.turn()
    assert two.leading.is_set()


async def test_a_restarted_container_leads_again_at_once(
    one: LeaderElection, kube: Kube, clock: Clock
) -> None:
    await one.turn()
    again = LeaderElection(kube, NAMESPACE, "one", clock.now, monotonic=clock)
    await again.turn()
    assert again.leading.is_set()


async def test_a_leader_without_an_answer_in_time_stops_acting(
    one: LeaderElection, clock: Clock, fake: FakeApiServer
) -> None:
    await one.turn()
    fake.refuse("GET", "leases", 503, times=2)
    clock.seconds += DURATION_S
    await one.turn()
    assert one.leading.is_set()
    clock.seconds += 0.1
    await one.turn()
    assert not one.leading.is_set()
    await one.turn()
    assert one.leading.is_set()


async def test_one_of_two_concurrent_tries_wins(
    one: LeaderElection, two: LeaderElection, fake: FakeApiServer
) -> None:
    await one.turn()
    await one.stop()
    assert holder(fake) == ""
    fake.refuse("PATCH", "leases", 409, times=1, after=lambda: None)
    await two.turn()  # its write succeeds but gets a 409: it must not believe that it won
    assert not two.leading.is_set()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_it_is_given_up_though_the_answer_to_its_last_write_was_lost(
    one: LeaderElection, fake: FakeApiServer, method: str
) -> None:
    if method == "PATCH":
        await one.turn()
    fake.refuse(method, "leases", 503, times=1, after=lambda: None)
    await one.turn()
    assert holder(fake) == "one"
    await one.stop()
    assert holder(fake) == ""


async def test_a_standby_gives_nothing_up(
    one: LeaderElection, two: LeaderElection, fake: FakeApiServer
) -> None:
    await two.stop()
    await one.turn()
    await two.turn()
    await two.stop()
    assert holder(fake) == "one"
    assert one.leading.is_set()


async def test_given_up_in_good_order_it_is_free_at_once(
    one: LeaderElection, two: LeaderElection
) -> None:
    one.start()
    async with asyncio.timeout(DEADLINE):
        await one.leading.wait()
    await one.stop()
    assert not one.leading.is_set()
    await two.turn()
    assert two.leading.is_set()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"spec": None},
        {"spec": {}},
        {"spec": {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None}},
        {"spec": {"holderIdentity": ""}},
        {"spec": []},
        {"spec": {"holderIdentity": 7, "renewTime": 7, "leaseDurationSeconds": "x"}},
    ],
)
async def test_a_lease_that_says_nothing_is_free(
    one: LeaderElection, fake: FakeApiServer, spec: dict[str, Any]
) -> None:
    fake.put("leases", {"metadata": {"name": LEASE}, **spec})
    await one.turn()
    assert one.leading.is_set()
    assert holder(fake) == "one"


@asynccontextmanager
async def running(fake: FakeApiServer) -> AsyncIterator[Kube]:
    """Run the server, and yield a client of it."""
    await fake.start()
    fake.put("pods", {"metadata": {"name": "one"}})
    try:
        async with kube_client(fake.url) as kube:
            yield kube
    finally:
        await fake.stop()


async def lost(leader: LeaderElection) -> None:
    async with asyncio.timeout(DEADLINE):
        await leader.lost.wait()


async def test_a_renewal_that_hangs_means_not_leading_when_the_lease_has_run_out() -> None:
    # The timer does not rely on the request's timeout.
    timing = LeaseTiming(duration=2.0, renew=0.05, timeout=DEADLINE * 10)
    fake = FakeApiServer("operator")
    async with running(fake) as kube:
        leader = LeaderElection(kube, NAMESPACE, "one", lambda: NOW, timing=timing)
        leader.start()
        try:
            async with asyncio.timeout(DEADLINE):
                await leader.leading.wait()
            fake.hang(ANY, "leases")
            await fake.until_hanging()
            await lost(leader)
            with pytest.raises(NotLeadingError):
                leader.check()
        finally:
            fake.answer_all()
            await leader.stop()


async def test_a_renewal_that_hangs_is_given_up_and_tried_again() -> None:
    timing = LeaseTiming(timeout=1.0)
    fake = FakeApiServer("operator")
    async with running(fake) as kube:
        leader = LeaderElection(kube, NAMESPACE, "one", lambda: NOW, timing=timing)
        fake.hang(ANY, "leases")
        await leader.turn()
        assert not leader.leading.is_set()
        fake.answer_all()
        async with asyncio.timeout(DEADLINE):
            while not leader.leading.is_set():
                await leader.turn()  # a busy machine may need longer than the timeout
        await leader.stop()


async def test_after_a_standstill_nothing_is_written_before_the_lease_is_renewed(
    one: LeaderElection, kube: Kube, fake: FakeApiServer, clock: Clock
) -> None:
    acting = Fenced(kube, one.check)
    name = fake.put("corejobs", {"metadata": {"name": "a"}})["metadata"]["name"]
    patch = {"spec": {"kill": True}}
    await one.turn()
    await acting.patch(COREJOBS, NAMESPACE, name, patch, manager="x")
    # The process was stopped: no timer ran, so it still believes that it leads.
    clock.seconds += DURATION_S + 60
    assert one.leading.is_set()
    fake.requests.clear()
    assert await acting.get(COREJOBS, NAMESPACE, name)
    for write in (
        lambda: acting.patch(COREJOBS, NAMESPACE, name, patch, manager="x"),
        lambda: acting.create(COREJOBS, NAMESPACE, {"metadata": {"name": "b"}}, manager="x"),
        lambda: acting.delete(COREJOBS, NAMESPACE, name),
    ):
        with pytest.raises(NotLeadingError):
            await write()
    assert fake.writes() == []
    assert one.lost.is_set()
    await one.turn()
    await acting.patch(COREJOBS, NAMESPACE, name, patch, manager="x")
    assert fake.writes()[-1] == f"PATCH corejobs/{name}"


async def test_a_write_that_was_sent_is_answered_before_its_worker_ends(
    one: LeaderElection, kube: Kube, fake: FakeApiServer
) -> None:
    """Else it might be carried out after the Lease is given back."""
    acting = Fenced(kube, one.check)
    fake.put("corejobs", {"metadata": {"name": "a"}})
    await one.turn()
    carry_out = fake.hold("PATCH", "corejobs")
    write = acting.patch(COREJOBS, NAMESPACE, "a", {"spec": {"kill": True}}, manager="x")
    worker = asyncio.create_task(write)
    await fake.until_held()
    worker.cancel()
    done, _ = await asyncio.wait({worker}, timeout=0.1)
    assert not done
    carry_out.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert fake.objects["corejobs"]["a"]["spec"]["kill"]
