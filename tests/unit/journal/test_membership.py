"""A recorder and its Lease, when the API server hangs or Leases are malformed or expire."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.support.fake_apiserver.faults import ANY
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.loops import run
from tests.support.signals import DEADLINE

from corejob.names import LABEL_RECORDER
from corejob_journal.recorder.membership import DURATION_S, PREFIX, RENEW_S, Membership
from corejob_kube.client import Kube
from corejob_kube.errors import UnavailableError
from corejob_kube.leases import LeaseClient
from corejob_process import tasks
from corejob_process.clock import system_clock


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    made = FakeApiServer("recorder")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def kube(api: FakeApiServer) -> AsyncIterator[Kube]:
    async with kube_client(api.url) as client:
        yield client


def member(kube: Kube, **lease: Any) -> Membership:
    return Membership(kube, NAMESPACE, "one", alone=False, now=system_clock, **lease)


async def test_a_renewal_that_hangs_is_given_up_and_tried_again(
    api: FakeApiServer, kube: Kube
) -> None:
    api.hang(ANY, "leases", times=2)
    one = member(kube, duration=0.2, renew_every=0.01)
    async with asyncio.timeout(DEADLINE):
        await one.join()
    assert PREFIX + "one" in api.objects["leases"]
    await one.leave()


@pytest.mark.parametrize("spec", [{}, {"spec": None}, {"spec": {"holderIdentity": None}}])
async def test_a_lease_that_says_nothing_is_no_member_and_goes(
    api: FakeApiServer, kube: Kube, spec: dict[str, Any]
) -> None:
    meta = {"name": PREFIX + "odd", "labels": {LABEL_RECORDER: "member"}}
    api.put("leases", {"metadata": meta, **spec})
    one = member(kube)
    async with asyncio.timeout(DEADLINE):
        await one.join()
    assert one.owns("anything")
    await api.until(lambda: list(api.objects["leases"]) == [PREFIX + "one"])
    await one.leave()


# --- in simulated time ------------------------------------------------------------------------


class Leases:
    """Leases in memory, whose reads and writes take a moment.

    Attributes:
        refuses: True to refuse all renewals.
    """

    def __init__(self) -> None:
        self.refuses = False
        self._versions: dict[str, int] = {}

    async def list(self, _selector: str) -> list[dict[str, Any]]:
        await asyncio.sleep(0.01)
        return [
            {"metadata": {"name": name, "resourceVersion": str(version)}}
            for name, version in self._versions.items()
        ]

    async def renew(self, name: str, *_spec: object, **_more: object) -> None:
        await asyncio.sleep(0.01)
        if self.refuses:
            raise UnavailableError(503, "Unavailable", "no")
        self._versions[name] = self._versions.get(name, 0) + 1

    async def delete(self, name: str) -> None:
        del self._versions[name]

    async def has_pod(self, _name: str) -> bool:
        return True

    def member(self, identity: str) -> Membership:
        """Return a member that has such a Lease."""
        made = Membership(cast("Kube", None), NAMESPACE, identity, alone=False, now=system_clock)
        made._leases = cast("LeaseClient", self)
        return made


def test_one_that_is_killed_counts_as_dead_within_eight_seconds() -> None:
    """Its last renewal is seen up to 1.5 s late, and so is the Lease's end."""

    async def lived(phase: float) -> float:
        leases, changed = Leases(), asyncio.Event()
        one, two = leases.member("one"), leases.member("two")
        one.listen(changed.set)
        await one.join()
        await two.join()
        await changed.wait()
        changed.clear()
        await asyncio.sleep(phase)
        assert two._task is not None
        await tasks.cancel(two._task)  # the Lease stays
        killed = asyncio.get_running_loop().time()
        await changed.wait()
        await one.leave()
        return asyncio.get_running_loop().time() - killed

    seconds = [run(lived(number * RENEW_S / 10)) for number in range(21)]
    assert max(seconds) <= 8.0
    assert min(seconds) >= DURATION_S - RENEW_S


def test_while_nobody_can_renew_nobody_is_declared_dead() -> None:
    async def scenario(phase: float) -> None:
        leases = Leases()
        both = [leases.member("one"), leases.member("two")]
        for member in both:
            await member.join()
            # They take turns: whoever is first after the outage looks before the other can renew.
            await asyncio.sleep(RENEW_S / 2)
        keys = [str(number) for number in range(50)]

        def parted() -> bool:
            return all(both[0].owns(key) != both[1].owns(key) for key in keys)

        await asyncio.sleep(RENEW_S)
        assert parted()
        came_or_went: list[bool] = []
        for member in both:
            member.listen(lambda: came_or_went.append(True))
        leases.refuses = True
        await asyncio.sleep(3 * DURATION_S + phase)
        leases.refuses = False
        await asyncio.sleep(3 * DURATION_S)
        assert parted()
        assert came_or_went == []
        for member in both:
            await member.leave()

    for number in range(10):
        run(scenario(number * RENEW_S / 10))
