"""A recorder and its Lease, while the API server hangs or Leases are odd."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration
from tests.support.kubeapi import DEADLINE, NAMESPACE, KubeApi

from corejob.names import LABEL_RECORDER
from corejob_journal.recorder import membership as module
from corejob_journal.recorder.membership import PREFIX, Membership
from corejob_kube.client import Kube
from corejob_kube.resources import LEASES, PODS
from corejob_process.clock import system_clock


class Hanging(KubeApi):
    """Gives no answer at all to so many requests about Leases."""

    def __init__(self) -> None:
        super().__init__((LEASES, PODS), role="recorder")
        self.hangs = 0

    async def answer(
        self, request: web.Request, plural: str, name: str, sub: str
    ) -> web.StreamResponse:
        if plural == LEASES.plural and self.hangs:
            self.hangs -= 1
            await asyncio.Event().wait()
        return await super().answer(request, plural, name, sub)


@pytest.fixture
async def api() -> AsyncIterator[Hanging]:
    made = Hanging()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def kube(api: Hanging) -> AsyncIterator[Kube]:
    configuration = Configuration()
    configuration.host = api.url
    async with Kube(configuration, user_agent="test") as client:
        yield client


def member(kube: Kube) -> Membership:
    return Membership(kube, NAMESPACE, "one", alone=False, now=system_clock)


async def test_a_renewal_that_hangs_is_given_up_and_tried_again(
    api: Hanging, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DURATION_S", 0.2)
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    api.hangs = 2
    one = member(kube)
    async with asyncio.timeout(DEADLINE):
        await one.join()
    assert PREFIX + "one" in api.objects["leases"]
    await one.leave()


@pytest.mark.parametrize("spec", [{}, {"spec": None}, {"spec": {"holderIdentity": None}}])
async def test_a_lease_that_says_nothing_is_no_member_and_goes(
    api: Hanging, kube: Kube, spec: dict[str, Any]
) -> None:
    meta = {"name": PREFIX + "odd", "labels": {LABEL_RECORDER: "member"}}
    await api.put("leases", {"metadata": meta, **spec})
    one = member(kube)
    async with asyncio.timeout(DEADLINE):
        await one.join()
    assert one.owns("anything")
    await api.until(lambda: list(api.objects["leases"]) == [PREFIX + "one"])
    await one.leave()
