"""A fake API server, and a reconciler on it."""

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client import Configuration
from tests.unit.operator.fake_kube import FakeKube
from tests.unit.operator.rig import Rig

from corejob_kube.client import Kube


@pytest.fixture
async def fake() -> AsyncIterator[FakeKube]:
    server = FakeKube()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def kube(fake: FakeKube) -> AsyncIterator[Kube]:
    configuration = Configuration()
    configuration.host = fake.url
    async with Kube(configuration, user_agent="test") as client:
        yield client


@pytest.fixture
def rig(fake: FakeKube, kube: Kube) -> Rig:
    made = Rig(fake, kube)
    made.template()
    return made
