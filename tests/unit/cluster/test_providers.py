"""The choice of a provider."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cluster import docker, existing, providers, started
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.local import LocalCluster


@dataclass
class FakeProvider:
    name: str
    lacks: str | None = None

    remains: bool = False

    def unavailable(self):
        return self.lacks

    def left(self):
        return self.remains


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path / "cache"))


def factories(lacks, left=()):
    names = ("kubeconfig", "kind", "local")
    return [lambda name=name: FakeProvider(name, lacks.get(name), name in left) for name in names]


def choose(name=None, environ=None, left=(), **lacks):
    return providers.choose(name, factories=factories(lacks, left), environ=environ or {}).name


def running(name=None, environ=None, left=(), **lacks):
    found = providers.running(name, factories=factories(lacks, left), environ=environ or {})
    return [provider.name for provider in found]


def was_started(name, kubeconfig=""):
    started.add(started.ClusterRecord(name, kubeconfig))


def test_the_first_that_lacks_nothing_is_taken():
    assert choose() == "kubeconfig"
    assert choose(kubeconfig="no file") == "kind"
    assert choose(kubeconfig="no file", kind="no engine") == "local"


def test_a_named_provider_is_taken_although_others_come_first():
    assert choose("local") == "local"
    assert choose(environ={"CORE4_CLUSTER": "kind"}) == "kind"
    assert choose("local", environ={"CORE4_CLUSTER": "kind"}) == "local"
    assert choose("auto", environ={"CORE4_CLUSTER": "kind"}) == "kubeconfig"


def test_the_error_says_what_each_lacks():
    with pytest.raises(ClusterError) as caught:
        choose(kubeconfig="no file", kind="no engine", local="no root")
    assert all(word in str(caught.value) for word in ("no file", "no engine", "no root"))


def test_a_named_provider_that_cannot_be_used_is_an_error_although_others_could():
    with pytest.raises(ClusterError, match="kind: no engine"):
        choose("kind", kind="no engine")


def test_an_unknown_name_is_an_error():
    with pytest.raises(ClusterError, match="no provider is called 'minikube'"):
        choose("minikube")


def test_the_cluster_that_was_started_is_taken_although_another_would_be():
    was_started("local")
    assert choose() == "local"
    assert choose("kind") == "kind"
    was_started("kind")
    assert choose() == "kind"
    started.remove("kind")
    assert choose() == "local"


def test_a_cluster_that_was_started_and_is_out_of_reach_is_not_replaced_by_another():
    was_started("kind")
    with pytest.raises(ClusterError, match=r"(?s)kind: no engine.*CORE4_CLUSTER=kubeconfig\|local"):
        choose(kind="no engine")
    assert choose(environ={"CORE4_CLUSTER": "local"}, kind="no engine") == "local"


def test_a_cluster_of_an_earlier_build_is_found_by_its_remains():
    assert choose(left=["local"]) == "local"
    assert running(left=["local"]) == ["local"]


def test_a_named_kubeconfig_that_is_not_there_leads_to_no_other_cluster():
    environ = {existing.VARIABLE: "/no/such/file"}
    with pytest.raises(ClusterError, match="kubeconfig: no file"):
        choose(environ=environ, kubeconfig="no file")
    was_started("local")
    assert choose(environ=environ) == "kubeconfig"


def test_without_its_variable_a_kubeconfig_is_for_down_and_status_only():
    was_started("kubeconfig", "/some/config")
    assert choose(kubeconfig="no variable") == "kind"
    (found,) = providers.running(factories=factories({}), environ={})
    assert found.kubeconfig == Path("/some/config")


def test_all_that_were_started_are_known_the_latest_last():
    assert running() == []
    was_started("local")
    was_started("kind")
    assert running() == ["local", "kind"]
    was_started("local")
    assert running(left=["kubeconfig"]) == ["kubeconfig", "kind", "local"]
    assert running("kind") == ["kind"]
    assert running(environ={"CORE4_CLUSTER": "kubeconfig"}) == ["kubeconfig"]
    with pytest.raises(ClusterError, match="no provider is called 'minikube'"):
        running("minikube")


@pytest.mark.parametrize("text", ["", "{", '[{"no": "provider"}]', "[3]"])
def test_a_record_that_cannot_be_read_is_none(text, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "started.json").write_text(text)
    assert started.read() == []
    assert running(left=["local"]) == ["local"]
    was_started("kind")
    assert choose() == "kind"


def test_an_ordinary_kubeconfig_is_never_used(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    monkeypatch.delenv(existing.VARIABLE, raising=False)
    assert "CORE4_KUBECONFIG" in (existing.ExistingCluster().unavailable() or "")


def test_a_named_kubeconfig_must_exist(monkeypatch, tmp_path):
    path = tmp_path / "config"
    monkeypatch.setenv(existing.VARIABLE, str(path))
    assert str(path) in (existing.ExistingCluster().unavailable() or "")
    path.touch()
    assert existing.ExistingCluster().unavailable() is None


def test_the_local_cluster_needs_linux_and_root(monkeypatch, tmp_path):
    local = LocalCluster(Layout(tmp_path))
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert "Linux" in (local.unavailable() or "")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "root" in (local.unavailable() or "")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert local.unavailable() is None


def test_a_docker_client_without_an_engine_is_not_enough(monkeypatch, tmp_path):
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho 'permission denied: the socket' >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    docker.unavailable.cache_clear()
    try:
        assert "no Docker engine answers" in (docker.unavailable() or "")
        assert "permission denied: the socket" in (docker.unavailable() or "")
    finally:
        docker.unavailable.cache_clear()
