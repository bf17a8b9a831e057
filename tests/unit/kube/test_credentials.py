"""The API server's address and our credentials for it."""

from pathlib import Path

import pytest
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config

from corejob_kube import credentials


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a pod's environment nor a kubeconfig."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod's environment; return the file of its token."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first", encoding="utf-8")
    authority.write_text("a certificate", encoding="utf-8")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    return token


async def test_in_a_pod_it_is_the_service_account(pod: Path) -> None:
    found = await credentials.load()

    assert found.host == "https://10.96.0.1:443"
    assert Path(found.ssl_ca_cert).name == "ca.crt"
    assert await credentials.authorization(found) == "bearer first"  # in any case, RFC 9110


async def test_elsewhere_it_is_the_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    server, user = {"server": "https://example.com:6443"}, {"token": "mine"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": server}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = await credentials.load()

    assert found.host == "https://example.com:6443"
    assert await credentials.authorization(found) == "Bearer mine"


async def test_neither_is_an_error() -> None:
    with pytest.raises(ConfigException):
        await credentials.load()


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_token_is_renewed_by_its_hook(kind: str) -> None:
    configuration = Configuration()

    def plain(given: Configuration) -> None:
        given.api_key["BearerToken"] = "Bearer new"

    async def coroutine(given: Configuration) -> None:
        plain(given)

    configuration.refresh_api_key_hook = plain if kind == "plain" else coroutine

    assert await credentials.authorization(configuration) == "Bearer new"


async def test_without_a_token_there_is_no_header() -> None:
    assert await credentials.authorization(Configuration()) is None


async def test_in_a_cluster_of_ipv6_the_address_has_brackets(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00:10:96::1")
    assert (await credentials.load()).host == "https://[fd00:10:96::1]:443"
