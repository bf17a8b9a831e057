"""Commands for all clusters that were started: one that fails does not keep the others from it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.cluster import binaries, cleaning, cli, portforward, processes, providers, started
from tests.cluster.errors import ClusterError
from tests.cluster.existing import ExistingCluster
from tests.cluster.provider import ClusterStatus


@dataclass
class FakeProvider:
    name: str
    faulty: bool = False
    lacks: str | None = None
    stopped: bool = False
    kubeconfig: str = "config"
    built: list[str] = field(default_factory=list)

    def unavailable(self):
        return self.lacks

    def down(self):
        self._fail()
        self.stopped = True

    def status(self):
        self._fail()
        return ClusterStatus(running=True, lines=[f"{self.name} is well"])

    def binary(self, name):
        self.built.append(name)
        raise ClusterError("not built")

    def _fail(self):
        if self.faulty:
            raise ClusterError(f"the engine of {self.name} hangs")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path / "cache"))
    for name in ("CORE4_CLUSTER", "CORE4_KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cleaning, "kept", list)


@pytest.fixture
def clusters(monkeypatch):
    """Two clusters that were started, of which the latest fails."""
    made: list[Any] = [FakeProvider("local"), FakeProvider("kind", faulty=True)]
    for provider in made:
        started.add(started.ClusterRecord(provider.name, ""))
    monkeypatch.setattr(providers, "running", lambda _: made)
    return made


def test_a_cluster_that_cannot_be_stopped_does_not_keep_the_others_running(clusters, capsys):
    assert cli.main(["down"]) == 1
    assert clusters[0].stopped
    said = capsys.readouterr().err
    assert "these can't be stopped:\n  kind: the engine of kind hangs" in said
    assert [item.provider for item in started.read()] == ["kind"]


def test_clean_keeps_the_record_of_a_cluster_that_cannot_be_stopped(clusters, monkeypatch, capsys):
    cleaned = []
    monkeypatch.setattr(cleaning, "clean", lambda: cleaned.append(1))
    assert cli.main(["clean"]) == 1
    assert clusters[0].stopped
    assert not cleaned
    assert "run `make clean-all` again" in capsys.readouterr().err
    clusters[1].faulty, clusters[1].lacks = False, "no engine"
    assert cli.main(["clean"]) == 0
    assert cleaned


def test_a_cluster_that_cannot_be_asked_does_not_hide_the_others(clusters, capsys):
    clusters.reverse()
    assert cli.main(["status"]) == 0
    said = capsys.readouterr()
    assert "kind cluster: can't be asked: the engine of kind hangs" in said.err
    assert "local is well" in said.out


def test_a_cluster_that_was_not_started_is_not_called_so(monkeypatch, capsys):
    lacking = FakeProvider("kind", lacks="no docker program")
    monkeypatch.setattr(providers, "running", lambda _: [lacking])
    assert cli.main(["--provider", "kind", "down"]) == 1
    said = capsys.readouterr().err
    assert "kind: no docker program" in said
    assert "started here" not in said


def test_a_dump_where_nothing_was_started_builds_nothing(monkeypatch, capsys):
    other = FakeProvider("local")
    monkeypatch.setattr(providers, "choose", lambda _: other)
    monkeypatch.setattr(providers, "running", lambda _: [])
    assert cli.main(["dump"]) == 0
    assert "no cluster was started here" in capsys.readouterr().err
    assert not other.built


def test_a_dump_shows_each_cluster_that_was_started(clusters, capsys):
    clusters[1].faulty = False
    assert cli.main(["dump"]) == 0
    said = capsys.readouterr().err
    assert "local is well" in said
    assert "kind is well" in said


def test_a_forwarding_ends_with_down_although_the_kubeconfig_is_gone(tmp_path, capsys):
    item = processes.spawn("port-forward", ("sleep", "60"), tmp_path / "log")
    try:
        portforward._state().add(item)
        started.add(started.ClusterRecord("kubeconfig", str(tmp_path / "gone")))
        assert cli.main(["down"]) == 0
        assert not item.alive()
        assert started.read() == []
        assert f"the cluster of {tmp_path / 'gone'} is left as it is" in capsys.readouterr().err
    finally:
        processes.kill([item.pid])


def test_the_status_of_a_named_cluster_builds_no_program(monkeypatch, tmp_path):
    def build():
        raise AssertionError("built")

    monkeypatch.setattr(binaries, "kubectl", build)
    status = ExistingCluster(str(tmp_path / "config")).status()
    assert not status.running
    assert "not built yet" in status.lines[0]


def test_a_program_of_an_interrupted_build_is_not_a_built_one(tmp_path):
    place = tmp_path / "cache" / "bin"
    for name in ("kubectl-1.tmp", "kubectl-2"):
        (place / name).mkdir(parents=True)
    (place / "kubectl-1.tmp" / "kubectl").touch()
    assert binaries.built("kubectl") is None
    (place / "kubectl-2" / "kubectl").touch()
    assert binaries.built("kubectl") == place / "kubectl-2" / "kubectl"
