"""The API server's address and our credentials for it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.client import Configuration

from corejob_kube import credentials, service_account
from corejob_kube.credentials import CredentialsError
from corejob_kube.service_account import ServiceAccount


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
    monkeypatch.setattr(service_account, "TOKEN", token)
    monkeypatch.setattr(service_account, "AUTHORITY", authority)
    return token


async def test_in_a_pod_it_is_the_service_account(pod: Path) -> None:
    found = await credentials.load()

    assert found.host == "https://10.96.0.1:443"
    assert Path(found.ssl_ca_cert or "").name == "ca.crt"
    assert found.verify_ssl
    assert await credentials.authorization(found) == "Bearer first"


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
    with pytest.raises(CredentialsError):
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


def test_a_replaced_token_is_read_again(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = service_account.load()
    pod.write_text("second\n", encoding="utf-8")
    assert account.authorization() == "Bearer first"
    monkeypatch.setattr(service_account, "_REREAD_S", 0.0)
    assert account.authorization() == "Bearer second"
    pod.unlink()  # the last one may be valid for an hour
    assert account.authorization() == "Bearer second"


@pytest.mark.parametrize("missing", ["token", "authority", "port"])
def test_a_pod_without_all_of_it_is_an_error(
    pod: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "token":
        pod.unlink()
    elif missing == "authority":
        service_account.AUTHORITY.unlink()
    else:
        monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    with pytest.raises(CredentialsError):
        service_account.load()


def test_the_token_is_not_shown(pod: Path) -> None:
    account = ServiceAccount("https://a", pod, "ca.crt")
    assert account.authorization() == "Bearer first"
    assert "first" not in repr(account)


def test_processes_start_without_the_official_package() -> None:
    """Its import takes longer than that of all else, and no pod needs it."""
    modules = "corejob_api.main, corejob_journal.recorder.main"
    program = f"import sys, {modules}; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
