"""A recorder and its Lease, when the API server hangs or Leases are malformed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.fake_apiserver.faults import ANY
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE

from corejob.names import LABEL_RECORDER
from corejob_journal.recorder.membership import PREFIX, Membership
from corejob_kube.client import Kube
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
