"""A fake API server, and a reconciler on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.fake_apiserver.http import kube_client, use_kubeconfig, write_kubeconfig
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.operator.rig import Rig
from tests.unit.operator.schedule_clock import ScheduleClock

from corejob_kube.client import Kube


@pytest.fixture
async def fake() -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer("operator")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def kube(fake: FakeApiServer) -> AsyncIterator[Kube]:
    async with kube_client(fake.url) as client:
        yield client


@pytest.fixture
def rig(fake: FakeApiServer, kube: Kube) -> Rig:
    made = Rig(fake, kube)
    made.template()
    return made


@pytest.fixture
def clock(rig: Rig) -> ScheduleClock:
    """The scheduler, with a template that is due each minute."""
    rig.template(schedule="* * * * *", uid="x")
    return ScheduleClock(rig)


@pytest.fixture
def api(fake: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApiServer:
    """The fake API server, to which the kubeconfig file of this machine points."""
    use_kubeconfig(write_kubeconfig(tmp_path, fake.url), monkeypatch)
    return fake
