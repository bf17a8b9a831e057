"""The choice of a provider."""

from dataclasses import dataclass

import pytest
from tests.cluster import docker, existing, providers
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.local import LocalCluster


@dataclass
class FakeProvider:
    name: str
    lacks: str | None = None

    def unavailable(self):
        return self.lacks


def choose(name=None, environ=None, **lacks):
    names = ("kubeconfig", "kind", "local")
    factories = [lambda name=name: FakeProvider(name, lacks.get(name)) for name in names]
    return providers.choose(name, factories=factories, environ=environ or {}).name


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


def test_an_ordinary_kubeconfig_is_never_used(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    monkeypatch.delenv(existing.VARIABLE, raising=False)
    assert "CORE4_KUBECONFIG" in existing.ExistingCluster().unavailable()


def test_a_named_kubeconfig_must_exist(monkeypatch, tmp_path):
    path = tmp_path / "config"
    monkeypatch.setenv(existing.VARIABLE, str(path))
    assert str(path) in existing.ExistingCluster().unavailable()
    path.touch()
    assert existing.ExistingCluster().unavailable() is None


def test_the_local_cluster_needs_linux_and_root(monkeypatch, tmp_path):
    local = LocalCluster(Layout(tmp_path))
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert "Linux" in local.unavailable()
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "root" in local.unavailable()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert local.unavailable() is None


def test_a_docker_client_without_an_engine_is_not_enough(monkeypatch, tmp_path):
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    docker.unavailable.cache_clear()
    try:
        assert "engine" in docker.unavailable()
    finally:
        docker.unavailable.cache_clear()
