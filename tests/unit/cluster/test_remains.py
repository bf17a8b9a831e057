"""Remains of the local cluster: what is ours, what is another cluster's, and what is put back."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cluster import cleaning, docker, local, network, node, processes, remains
from tests.cluster.component import Component
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.local import LocalCluster

OTHER = "/tmp/other/cluster"
# Node agents: two of a local cluster with another cache, and those of a system and of kind.
THEIRS = [
    (11, ["containerd", "--config", f"{OTHER}/config/containerd.toml"]),
    (12, ["/bin/kubelet", f"--config={OTHER}/config/kubelet.json"]),
]
FOREIGN = [
    (13, ["/usr/bin/containerd", "--config", "/etc/containerd/config.toml"]),
    (14, ["/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml"]),
]


@pytest.fixture
def machine(monkeypatch):
    """The processes of the machine, for a test to change."""
    running: list[tuple[int, list[str]]] = []
    monkeypatch.setattr(processes, "all_processes", lambda: iter(running))
    monkeypatch.setattr(remains, "_shares_network", lambda _: True)
    return running


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path / "cache" / "cluster")
    made.make()
    return made


def test_mounts_are_found_whatever_characters_their_path_has(tmp_path, monkeypatch):
    folder = tmp_path / "Jörg's cache"
    escaped = str(folder).replace(" ", r"\040")
    lines = [f"1 2 0:1 / {place} rw - tmpfs none rw" for place in (escaped, f"{escaped}/ü", "/x")]
    table = tmp_path / "mountinfo"
    table.write_text("\n".join([*lines, ""]), encoding="utf-8")
    monkeypatch.setattr(remains, "_MOUNTS", table)
    assert remains.mounts_below(folder) == [folder / "ü", folder]


def test_a_process_of_another_folder_with_the_same_end_is_not_ours(machine):
    machine += [
        (1, ["etcd", "--data-dir=/cache/cluster/etcd"]),
        (2, ["etcd", "--data-dir=/tmp/cache/cluster/etcd"]),
        (3, ["etcd", "--data-dir", "/cache/cluster/etcd"]),
        (4, ["etcd", "--listen=unix:///cache/cluster/socket"]),
        (5, ["etcd", "--data-dir=/cache/cluster2/etcd"]),
    ]
    assert remains.find_processes(Path("/cache/cluster")) == [1, 3, 4]


def test_a_process_in_a_container_with_the_same_path_is_not_ours(tmp_path, monkeypatch):
    for pid, root in (("1", Path("/")), ("2", tmp_path)):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(b"etcd\0--data-dir=/cache/cluster/etcd\0")
        (tmp_path / pid / "root").symlink_to(root)
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert remains.find_processes(Path("/cache/cluster")) == [1]


def test_a_local_cluster_in_another_network_is_left_alone(machine, monkeypatch):
    machine += THEIRS
    monkeypatch.setattr(remains, "_shares_network", lambda _: False)
    assert remains.other_clusters(Path("/cache/cluster")) == []


def test_a_local_cluster_of_another_cache_is_found(machine):
    machine += [*THEIRS, *FOREIGN]
    assert remains.other_clusters(Path("/cache/cluster")) == [Path(OTHER)]
    assert remains.other_clusters(Path(OTHER)) == []


def test_a_local_cluster_of_another_cache_is_named_before_anything_is_deleted(machine, layout):
    machine += THEIRS
    (layout.data / "old").touch()
    with pytest.raises(ClusterError, match="CORE4_CACHE=/tmp/other uses it"):
        LocalCluster(layout)._require_alone()
    assert (layout.data / "old").exists()


@pytest.mark.parametrize("shared", [True, False])
def test_the_network_and_the_pods_of_another_cluster_are_left_alone(
    machine, layout, monkeypatch, capsys, shared
):
    machine += THEIRS if shared else []
    done = []
    for module, name in (
        (network, "remove_links"),
        (network, "remove_rules"),
        (network, "restore_sysctls"),
        (remains, "remove_cgroups"),
        (remains, "_cgroup_processes"),
    ):
        monkeypatch.setattr(module, name, lambda *_, name=name: done.append(name))
    results = layout.data.parent / "results"
    results.mkdir()
    (results / "core4-local-abc-eth0").touch()
    for name in ("_CNI_RESULTS", "_LOG_LINKS", "_DEVICE_PLUGINS"):
        monkeypatch.setattr(remains, name, layout.data.parent / name)
    monkeypatch.setattr(remains, "_CNI_RESULTS", results)
    LocalCluster(layout)._clean()
    assert not layout.data.exists()
    if shared:
        assert done == []
        assert list(results.iterdir())
        assert f"{OTHER} uses them" in capsys.readouterr().err
    else:
        assert len(done) == 5
        assert not results.exists()


def test_a_running_cluster_whose_record_cannot_be_read_is_not_cleared(machine, layout):
    cluster = LocalCluster(layout)
    layout.state.write_text('{"processes": [{"of": "another version"}]}')
    assert not cluster._alive()
    machine.append((os.getpid(), ["etcd", f"--data-dir={layout.data}/etcd"]))
    assert cluster._alive()


def test_the_end_of_a_simulation_ends_no_process_with_a_reused_pid(layout, monkeypatch, tmp_path):
    ours = processes.spawn("kwok", ("sleep", "60"), tmp_path / "log")
    theirs = processes.spawn("podlogs", ("sleep", "60"), tmp_path / "log")
    try:
        state = processes.StateFile(layout.state)
        state.add(ours)
        state.add(replace(theirs, start=theirs.start - 1))

        def refused(*_, **__):
            raise ClusterError("the API server has ended")

        monkeypatch.setattr(LocalCluster, "_kubectl", refused)
        with pytest.raises(ClusterError):
            LocalCluster(layout)._end_simulation()
        assert theirs.alive()
        assert not ours.alive()
        assert state.read() == {}
    finally:
        processes.kill([ours.pid, theirs.pid])


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A folder in the place of /proc/sys, with the settings of a fresh machine."""
    place = tmp_path / "sys"
    monkeypatch.setattr(network, "_PROC_SYS", place)
    for name in network._SYSCTLS:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("0\n")
    return place


def change(kernel):
    for name in network._SYSCTLS:
        (kernel / name).write_text("1")


def test_all_kernel_settings_that_the_cluster_changes_are_put_back(kernel, layout):
    assert {"kernel/panic", "vm/overcommit_memory", "net/ipv4/ip_forward"} < set(network._SYSCTLS)
    network.save_sysctls(layout)
    change(kernel)
    # One that can't be written does not keep the others from it.
    (kernel / network._SYSCTLS[0]).unlink()
    (kernel / network._SYSCTLS[0]).mkdir()
    network.restore_sysctls(layout)
    assert [(kernel / name).read_text() for name in network._SYSCTLS[1:]] == ["0"] * 7


def test_the_settings_of_an_earlier_boot_are_not_put_back(kernel, layout, monkeypatch):
    network.save_sysctls(layout)
    change(kernel)
    monkeypatch.setattr(processes, "boot_id", lambda: "another")
    network.restore_sysctls(layout)
    assert {(kernel / name).read_text() for name in network._SYSCTLS} == {"1"}


def test_the_settings_that_an_earlier_version_has_saved_are_put_back(kernel, layout):
    layout.sysctls.write_text(json.dumps({"net/ipv4/ip_forward": "0"}))
    change(kernel)
    network.restore_sysctls(layout)
    assert (kernel / "net/ipv4/ip_forward").read_text() == "0"


def test_a_component_whose_port_is_taken_says_by_whom(layout, monkeypatch):
    component = node.proxy(layout, Path("/programs"))
    monkeypatch.setattr(local, "_FREE_SECONDS", 0)
    monkeypatch.setattr(Component, "fingerprint", lambda _: "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ClusterError, match=rf"kube-proxy .*{port} \(python.*process"):
            LocalCluster(layout)._start_one(replace(component, ports=(port,)))


def test_a_folder_that_goes_while_it_is_deleted_is_no_error(tmp_path, monkeypatch):
    folder = tmp_path / "cluster.trash-1"
    (folder / "gone").mkdir(parents=True)
    places = [folder, folder / "never"]
    monkeypatch.setattr(os, "walk", lambda _: ((str(place), [], []) for place in places))
    cleaning._delete(folder)
    assert not folder.exists()


def test_clean_says_what_is_left_in_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(docker, "unavailable", lambda: "no engine")
    for name in ("nodeimage", "bin", "thesis"):
        (tmp_path / "cache" / name).mkdir(parents=True)
    cleaning.clean()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["thesis"]
    said = capsys.readouterr().err
    assert "left in it: thesis" in said
    assert f"{tmp_path / 'cache'} is deleted\n" not in said
