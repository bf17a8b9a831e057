"""Command lines and configuration files of the local cluster."""

import json
from pathlib import Path

import pytest
import yaml
from tests.cluster import controlplane, kwok, node, pki
from tests.cluster.component import Component, flags
from tests.cluster.kind import NODE_PORT, cluster_config
from tests.cluster.layout import NODE_PORTS, SERVICE_PORT, Layout

PROGRAMS = Path("/programs")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "cluster")


@pytest.fixture
def components(layout):
    return [
        node.containerd(layout),
        controlplane.etcd(layout, PROGRAMS),
        controlplane.apiserver(layout, PROGRAMS, "198.51.100.7"),
        controlplane.controller_manager(layout, PROGRAMS),
        controlplane.scheduler(layout, PROGRAMS),
        node.kubelet(layout, PROGRAMS, "198.51.100.7"),
        node.proxy(layout, PROGRAMS),
        kwok.controller(layout, PROGRAMS / "kwok"),
        kwok.logs(layout, PROGRAMS / "podlogs"),
    ]


def test_flags_are_spelled_as_kubernetes_does():
    assert flags(data_dir=Path("/x"), leader_elect=False, kube_api_qps=1000) == (
        "--data-dir=/x",
        "--leader-elect=false",
        "--kube-api-qps=1000",
    )


def test_no_two_components_share_a_port_and_none_is_a_node_port(components):
    ports = [port for component in components for port in component.ports]
    first = int(NODE_PORTS.split("-")[0])
    assert len(ports) == len(set(ports))
    assert all(port < first <= SERVICE_PORT for port in ports)


def test_every_component_names_the_data_folder(components, layout):
    # The data folder identifies a process whose record is lost.
    for component in components:
        assert any(f"{layout.data}/" in argument for argument in component.argv)


def test_the_controllers_are_not_throttled(components):
    for component in components[3:5]:
        assert {"--kube-api-qps=1000", "--kube-api-burst=2000"} <= set(component.argv)


def test_the_stages_of_simulated_pods_know_their_placement(layout):
    arguments = dict(part.split("=", 1) for part in kwok.controller(layout, PROGRAMS).argv[1:])
    stages = list(yaml.safe_load_all(Path(arguments["--config"]).read_text()))
    complete = next(stage for stage in stages if stage["metadata"]["name"] == "pod-complete")
    selectors = {term["key"]: term for term in complete["spec"]["selector"]["matchExpressions"]}
    ((label, value),) = kwok.placement(kwok.COMPLETE)["nodeSelector"].items()
    assert selectors[f'.spec.nodeSelector["{label}"]']["values"] == [value]


def test_only_pods_that_ask_for_it_are_simulated():
    for document in kwok.nodes():
        taint, labels = document["spec"]["taints"][0], document["metadata"]["labels"]
        assert taint["effect"] == "NoSchedule"
        placed = kwok.placement(taint["value"])
        assert placed["nodeSelector"].items() <= labels.items()
        assert placed["tolerations"][0]["key"] == taint["key"]


def test_a_fingerprint_changes_with_the_command_and_with_its_files(tmp_path):
    path = tmp_path / "config"
    path.write_text("1")

    def fingerprint(*argv):
        return Component("name", argv, lambda: True, files=(path,)).fingerprint()

    before = fingerprint("a", "b")
    assert fingerprint("a", "b") == before
    assert fingerprint("a", "c") != before
    path.write_text("2")
    assert fingerprint("a", "b") != before


def test_containerd_shares_nothing_with_the_system(layout):
    config = node.containerd_config(layout, Path("/cni"))
    assert "/run/containerd" not in config
    assert "/var/lib/containerd" not in config
    # The default of this path is outside the data folder.
    assert '[plugins."io.containerd.internal.v1.opt"]' in config
    assert f'path = "{layout.containerd}/opt"' in config
    assert "restrict_oom_score_adj = true" in config


def test_the_configuration_is_json(layout):
    for content in (node.cni_config(layout), node.kubelet_config(layout), cluster_config()):
        assert json.loads(json.dumps(content)) == content
    assert node.kubelet_config(layout)["failCgroupV1"] is False


def test_node_ports_answer_on_loopback_only(layout):
    assert node.proxy_config(layout)["nodePortAddresses"] == ["127.0.0.0/8"]
    mapping = cluster_config()["nodes"][0]["extraPortMappings"][0]
    assert mapping["listenAddress"] == "127.0.0.1"
    assert (mapping["hostPort"], mapping["containerPort"]) == (SERVICE_PORT, NODE_PORT)


def test_the_api_server_is_certified_for_every_way_to_it():
    server = next(row for row in pki.identities("198.51.100.7") if row.name == "apiserver")
    text = pki.extensions(server)
    for address in ("DNS:localhost", "IP:127.0.0.1", "IP:10.96.0.1", "IP:198.51.100.7"):
        assert address in text
    assert "subjectAltName" not in pki.extensions(pki.CertificateRequest("admin", "/CN=admin"))


def test_a_socket_path_that_the_kernel_refuses_is_noticed():
    assert Layout(Path("/var/cache/core4-kubernetes/cluster")).socket_fits()
    assert not Layout(Path("/") / ("x" * 90)).socket_fits()
