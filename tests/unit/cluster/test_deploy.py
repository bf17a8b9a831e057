"""The chart's values for a cluster, and the command line around them."""

import shutil
import socket
from dataclasses import dataclass
from typing import Any

import pytest
from tests.cluster import binaries, cli, deploy, docker, existing, packages
from tests.cluster.commands import run, run_visibly
from tests.cluster.deploy import chart_values
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.local import LocalCluster
from tests.unit.journal import postgres


@dataclass
class FakeProvider:
    name: str = "local"
    image_pull_policy: str = "IfNotPresent"
    node_port: int | None = None


def fake_provider(**values) -> Any:
    """Return a provider with only the attributes that a deployment reads first."""
    return FakeProvider(**values)


def test_a_local_cluster_gets_a_node_port_and_a_volume():
    values = chart_values(
        fake_provider(), "localhost/core4:abc", node_port=5001, volume="core4-journal"
    )
    assert values["image"] == {
        "repository": "localhost/core4",
        "tag": "abc",
        "pullPolicy": "IfNotPresent",
    }
    assert values["service"] == {"type": "NodePort", "nodePort": 5001}
    assert values["persistence"] == {
        "storageClass": "core4-local",
        "volumeName": "core4-journal",
    }


def test_a_named_cluster_gets_neither():
    values = chart_values(fake_provider(), "host:5000/core4:1", node_port=None, volume=None)
    assert values["image"]["repository"] == "host:5000/core4"
    assert values["service"] == {"type": "ClusterIP"}
    assert "persistence" not in values


@pytest.fixture
def taken_port(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(deploy, "SERVICE_PORT", port)
        yield port


@pytest.mark.parametrize("own", [True, False])
def test_a_taken_address_of_the_service_is_named_before_anything_is_built(
    monkeypatch, tmp_path, taken_port, own
):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path))
    provider = fake_provider(node_port=taken_port if own else None)
    with pytest.raises(ClusterError, match=f"in use: {taken_port}"):
        deploy.deploy(provider)


def test_a_named_cluster_that_is_gone_is_an_error_with_its_words(monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.touch()
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'connection refused' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    monkeypatch.setattr(binaries, "kubectl", lambda: kubectl)
    with pytest.raises(ClusterError, match=r"(?s)does not answer: start it.*connection refused"):
        existing.ExistingCluster(str(config)).up()


DELETED = "secret/sh.helm.release.v1.core4.v1\n"
NONE = "No resources found\n"


@pytest.mark.parametrize(
    ("name", "output", "forgotten", "tried"),
    [
        ("local", DELETED, True, True),
        ("local", NONE, False, True),
        ("kind", DELETED, True, True),
        ("kubeconfig", DELETED, False, False),
    ],
)
def test_a_change_of_the_release_that_was_cut_off_is_forgotten(
    monkeypatch, capsys, name, output, forgotten, tried
):
    calls = []

    def kubectl(_, *arguments):
        calls.append(arguments)
        return output

    monkeypatch.setattr(deploy, "kubectl", kubectl)
    deploy._forget_cut_off(fake_provider(name=name), "space", "core4")
    said = capsys.readouterr().err
    assert ("core4 in namespace space was cut off" in said) is forgotten
    assert bool(calls) is tried
    for words in calls:
        assert words[:3] == ("delete", "secrets", "--namespace=space")
        assert "name=core4,status in (pending-install," in words[3]


def test_the_journal_of_a_local_cluster_that_was_not_stopped_is_kept(monkeypatch, tmp_path, capsys):
    layout = Layout(tmp_path / "cluster")
    layout.make()
    journal = layout.volumes / "core4" / "journal.db"
    journal.parent.mkdir()
    journal.write_text("lines")
    (layout.data / "etcd").mkdir()
    monkeypatch.setattr(LocalCluster, "_clean", lambda self: shutil.rmtree(self._layout.data))
    cluster = LocalCluster(layout)
    cluster._clear_for_restart()
    assert journal.read_text() == "lines"
    assert not (layout.data / "etcd").exists()
    assert "its jobs are lost, its journal is kept" in capsys.readouterr().err
    # The state after an `up` that was interrupted between the two steps.
    layout.volumes.rename(layout.saved_volumes)
    shutil.rmtree(layout.data)
    layout.make()
    cluster._clear_for_restart()
    assert journal.read_text() == "lines"


def test_nothing_is_said_of_the_journal_of_a_cluster_that_had_none(monkeypatch, tmp_path, capsys):
    layout = Layout(tmp_path / "cluster")
    layout.make()
    monkeypatch.setattr(LocalCluster, "_clean", lambda self: shutil.rmtree(self._layout.data))
    LocalCluster(layout)._clear_for_restart()
    assert capsys.readouterr().err == ""
    assert not layout.data.exists()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("status", 3, "==> kind cluster: can't be asked: no engine\n"),
        ("up", 1, "error: the kind cluster can't be used now:\n  kind: no engine\n"),
    ],
)
def test_an_error_is_one_message(monkeypatch, tmp_path, capsys, command, code, said):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path))
    monkeypatch.setattr(docker, "unavailable", lambda: "no engine")
    assert cli.main(["--provider", "kind", command]) == code
    assert capsys.readouterr().err == said


def test_a_failed_command_shows_its_output():
    with pytest.raises(ClusterError, match=r"exit code 3 of: sh.*\n    words"):
        run(["sh", "-c", "echo words; exit 3"])
    with pytest.raises(ClusterError, match=r"exit code 4 of: sh.*\n    words"):
        run_visibly("task", ["sh", "-c", "echo words; exit 4"])


def test_a_missing_program_is_named():
    for call in (run, lambda argv: run_visibly("task", argv)):
        with pytest.raises(ClusterError, match="no-such-program is not installed"):
            call(["no-such-program"])


def test_a_command_that_hangs_is_ended():
    with pytest.raises(ClusterError, match="no end after"):
        run(["sleep", "60"], timeout=0.1)


def test_missing_packages_are_named_where_they_cannot_be_installed(monkeypatch):
    monkeypatch.setattr(packages, "missing", list)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="apt-get install containerd iproute2"):
        packages.ensure(["ip", "ctr", "containerd"])


def test_a_package_that_another_process_installed_is_not_installed_again(monkeypatch, tmp_path):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path))
    looks = [["ctr"], [], []]
    installed: list[list[str]] = []
    monkeypatch.setattr(packages, "missing", lambda _: looks.pop(0))
    monkeypatch.setattr(packages, "_install", installed.append)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name, **_: name)
    packages.ensure(["ctr"])
    looks += [["ctr"], ["ctr"], []]
    packages.ensure(["ctr"])
    assert installed == [["containerd"]]


def test_a_missing_postgresql_is_explained(monkeypatch):
    monkeypatch.setattr(packages, "missing", list)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"PostgreSQL 15 or later.*apt-get install postgresql"):
        postgres.programs()


def test_the_newest_postgresql_of_debian_is_taken_or_that_in_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.postgres_folder(tmp_path) is None
    for name in ("13/bin", "path"):
        _program(tmp_path / name / "initdb")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert packages.postgres_folder(tmp_path) == tmp_path / "path"
    for name in ("15/bin", "17/bin"):
        _program(tmp_path / name / "initdb")
    assert packages.postgres_folder(tmp_path) == tmp_path / "17/bin"


def _program(path):
    path.parent.mkdir(parents=True)
    path.touch(mode=0o755)
