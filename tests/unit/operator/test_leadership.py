"""One active operator: two processes and one Lease, with clocks that are set by hand."""

from datetime import datetime, timedelta

import pytest
from tests.unit.corejob.builders import NOW
from tests.unit.operator.fake_kube import NAMESPACE, FakeKube

from corejob_kube.client import Kube
from corejob_operator.leadership import DURATION_S, LEASE, Leadership


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
def one(kube: Kube, fake: FakeKube, clock: Clock) -> Leadership:
    fake.put("pods", {"metadata": {"name": "one"}})
    return Leadership(kube, NAMESPACE, "one", clock.now, monotonic=clock)


@pytest.fixture
def two(kube: Kube, fake: FakeKube, clock: Clock) -> Leadership:
    fake.put("pods", {"metadata": {"name": "two"}})
    return Leadership(kube, NAMESPACE, "two", clock.now, monotonic=clock)


def holder(fake: FakeKube) -> str:
    return str(fake.objects["leases"][LEASE]["spec"]["holderIdentity"])


async def test_the_first_makes_the_lease_and_the_second_waits(
    one: Leadership, two: Leadership, fake: FakeKube
) -> None:
    await one.turn()
    await two.turn()
    assert (one.held.is_set(), one.lost.is_set()) == (True, False)
    assert (two.held.is_set(), two.lost.is_set()) == (False, True)
    assert holder(fake) == "one"


async def test_it_is_renewed_and_so_never_runs_out(
    one: Leadership, two: Leadership, clock: Clock
) -> None:
    for _ in range(10):
        await one.turn()
        await two.turn()
        clock.seconds += DURATION_S - 1
    assert one.held.is_set()
    assert not two.held.is_set()


async def test_who_does_not_renew_is_followed_after_the_duration(
    one: Leadership, two: Leadership, clock: Clock, fake: FakeKube
) -> None:
    await one.turn()
    await two.turn()
    clock.seconds += DURATION_S
    await two.turn()
    assert not two.held.is_set()
    clock.seconds += 0.1
    await two.turn()
    assert two.held.is_set()
    await one.turn()
    assert (one.held.is_set(), one.lost.is_set()) == (False, True)
    assert holder(fake) == "two"


async def test_a_holder_whose_pod_is_gone_is_followed_at_once(
    one: Leadership, two: Leadership, fake: FakeKube
) -> None:
    await one.turn()
    fake.remove("pods", "one")
    await two.turn()
    assert two.held.is_set()


async def test_a_restarted_container_goes_on_at_once(
    one: Leadership, kube: Kube, clock: Clock
) -> None:
    await one.turn()
    again = Leadership(kube, NAMESPACE, "one", clock.now, monotonic=clock)
    await again.turn()
    assert again.held.is_set()


async def test_who_gets_no_answer_in_time_acts_no_more(
    one: Leadership, clock: Clock, fake: FakeKube
) -> None:
    await one.turn()
    fake.refuse("GET", "leases", 503, times=2)
    clock.seconds += DURATION_S
    await one.turn()
    assert one.held.is_set()
    clock.seconds += 0.1
    await one.turn()
    assert not one.held.is_set()
    await one.turn()
    assert one.held.is_set()


async def test_of_two_that_try_at_once_one_wins(
    one: Leadership, two: Leadership, fake: FakeKube
) -> None:
    await one.turn()
    await one.stop()
    assert holder(fake) == ""
    fake.refuse("PATCH", "leases", 409, times=1, after=lambda: None)
    await two.turn()  # its answer is lost to a conflict: it may not believe that it won
    assert not two.held.is_set()


async def test_given_up_in_good_order_it_is_free_at_once(one: Leadership, two: Leadership) -> None:
    one.start()
    await one.held.wait()
    await one.stop()
    assert not one.held.is_set()
    await two.turn()
    assert two.held.is_set()
