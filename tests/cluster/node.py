"""The node's processes: containerd, kubelet and kube-proxy, and their configuration."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.cluster import cache, kubeconfig, network
from tests.cluster.component import Component, flags
from tests.cluster.containerd import Containerd
from tests.cluster.layout import (
    BRIDGE,
    CGROUP,
    CLUSTER_CIDR,
    CNI_NETWORK,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NODE,
    POD_SUBNET,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    Layout,
)

PAUSE_IMAGE = "localhost/pause:1"


def containerd_config(layout: Layout, cni_folder: Path) -> str:
    """Return containerd's configuration, which shares nothing with the system's containerd."""
    return f"""version = 2
root = "{layout.containerd}/root"
state = "{layout.containerd}/state"
oom_score = 0
[grpc]
  address = "{layout.socket}"
[plugins."io.containerd.internal.v1.opt"]
  # Else containerd creates /opt/containerd.
  path = "{layout.containerd}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Else runc dies where root lacks CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder}"
    conf_dir = "{layout.cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{layout.containerd}/runc"
"""


def cni_config(layout: Layout) -> dict[str, Any]:
    """Return the CNI configuration: a bridge, address leases in the data folder, host ports."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(layout.data / "leases"),
            "ranges": [[{"subnet": POD_SUBNET}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": CNI_NETWORK, "plugins": [bridge, ports]}


def kubelet_config(layout: Layout, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the kubelet's configuration; `settings` take precedence."""
    evict = ("memory.available", "nodefs.available", "imagefs.available", "nodefs.inodesFree")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "clusterDNS": network.name_servers(),
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "enforceNodeAllocatable": [],
        # Pods must not be evicted on a laptop with a nearly full disk, and deleted images can't be
        # pulled again.
        "evictionHard": {name: "100Mi" if "memory" in name else "1%" for name in evict},
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": KUBELET_HEALTH_PORT,
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        "kubeAPIBurst": 400,
        "kubeAPIQPS": 200,
        "maxPods": 200,
        "podLogsDir": str(layout.pod_logs),
        "port": KUBELET_PORT,
        "serializeImagePulls": False,
        "tlsCertFile": str(layout.pki / "node.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "node.key"),
        "volumePluginDir": str(layout.data / "volume-plugins"),
        **(settings or {}),
    }


def proxy_config(layout: Layout) -> dict[str, Any]:
    """Return kube-proxy's configuration; node ports are open on loopback only."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.config / "proxy.conf")},
        "clusterCIDR": CLUSTER_CIDR,
        # 0 leaves the kernel's settings unchanged, since they may be read-only.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "hostnameOverride": NODE,
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        "mode": "iptables",
        "nodePortAddresses": ["127.0.0.0/8"],
    }


def write_config(layout: Layout, cni_folder: Path, kubelet_settings: Mapping[str, Any]) -> None:
    """Write all configuration files of the node's processes."""
    for name in ("node", "proxy"):
        kubeconfig.write(layout.config / f"{name}.conf", layout.pki, name)
    toml = containerd_config(layout, cni_folder)
    cache.write(layout.config / "containerd.toml", toml)
    documents = {
        layout.cni / "10-bridge.conflist": cni_config(layout),
        layout.config / "kubelet.json": kubelet_config(layout, kubelet_settings),
        layout.config / "proxy.json": proxy_config(layout),
    }
    for path, content in documents.items():
        cache.write(path, json.dumps(content, indent=1))


def containerd(layout: Layout) -> Component:
    """Return the container runtime."""
    config = layout.config / "containerd.toml"
    return Component(
        "containerd",
        ("containerd", "--config", str(config)),
        Containerd(layout.socket).answers,
        files=(config, layout.cni / "10-bridge.conflist"),
    )


def kubelet(layout: Layout, programs: Path, node_ip: str) -> Component:
    """Return the kubelet."""
    config = layout.config / "kubelet.json"
    arguments = flags(
        cert_dir=layout.data / "kubelet/pki",
        config=config,
        hostname_override=NODE,
        kubeconfig=layout.config / "node.conf",
        node_ip=node_ip,
        root_dir=layout.data / "kubelet",
    )
    return Component(
        "kubelet",
        (str(programs / "kubelet"), *arguments),
        partial(kubeconfig.healthy, f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz"),
        files=(config, layout.config / "node.conf", layout.pki / "node.crt"),
        ports=(KUBELET_PORT, KUBELET_HEALTH_PORT),
    )


def proxy(layout: Layout, programs: Path) -> Component:
    """Return kube-proxy, which serves the addresses and node ports of Services."""
    config = layout.config / "proxy.json"
    return Component(
        "kube-proxy",
        (str(programs / "kube-proxy"), f"--config={config}"),
        partial(kubeconfig.healthy, f"http://127.0.0.1:{PROXY_HEALTH_PORT}/healthz"),
        files=(config, layout.config / "proxy.conf"),
        ports=(PROXY_HEALTH_PORT, PROXY_METRICS_PORT),
    )
