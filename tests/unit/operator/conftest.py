"""A fake API server, and a reconciler on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import kube_config
from tests.support.kubeapi import KubeApi
from tests.unit.operator.fake_kube import FakeKube
from tests.unit.operator.rig import Rig

from corejob_kube.client import Kube
from corejob_kube.resources import COREJOBS, EVENTS, JOBS, LEASES, PODS, TEMPLATES


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


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeApi]:
    """A fake API server with watches, and a kubeconfig file that names it."""
    api = KubeApi((COREJOBS, TEMPLATES, JOBS, PODS, LEASES, EVENTS), role="operator")
    await api.start()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {"token": "mine"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    yield api
    await api.stop()
