"""The control plane's processes and their flags."""

import json
from functools import partial
from pathlib import Path

from tests.cluster import cache, kubeconfig
from tests.cluster.component import Component, flags
from tests.cluster.layout import (
    API_PORT,
    CLUSTER_CIDR,
    CONTROLLER_MANAGER_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    NODE_PORTS,
    SCHEDULER_PORT,
    SERVICE_CIDR,
    Layout,
)

# With the defaults (20 calls a second) a benchmark would only measure this limit.
_CLIENT = flags(kube_api_qps=1000, kube_api_burst=2000, leader_elect=False)
_ETCD = f"http://127.0.0.1:{ETCD_PORT}"
# Records each write by its user, object and answer: tests and benchmarks count them.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "namespaces": ["kube-node-lease", "kube-system"]},
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            "omitManagedFields": True,
        },
    ],
}
_AUDIT_MB = 1000


def write_config(layout: Layout) -> None:
    """Write the kubeconfigs of the administrator and of the control plane's components."""
    kubeconfig.write(layout.kubeconfig, layout.pki, "admin")
    for name in ("controller-manager", "scheduler"):
        kubeconfig.write(_config(layout, name), layout.pki, name)
    cache.write(_audit_policy(layout), json.dumps(_AUDIT_POLICY, indent=1))


def etcd(layout: Layout, programs: Path) -> Component:
    """Return the component etcd.

    It runs without fsync: a killed etcd loses no data by that. Only a machine that stops does, and
    after that the cluster starts from scratch anyway.
    """
    peers = f"http://127.0.0.1:{ETCD_PEER_PORT}"
    arguments = flags(
        data_dir=layout.data / "etcd",
        listen_client_urls=_ETCD,
        advertise_client_urls=_ETCD,
        listen_peer_urls=peers,
        initial_advertise_peer_urls=peers,
        initial_cluster=f"default={peers}",
        quota_backend_bytes=8 * 1024**3,
        unsafe_no_fsync=True,
    )
    return Component(
        "etcd",
        (str(programs / "etcd"), *arguments),
        partial(kubeconfig.healthy, f"{_ETCD}/health"),
        ports=(ETCD_PORT, ETCD_PEER_PORT),
    )


def apiserver(layout: Layout, programs: Path, node_ip: str) -> Component:
    """Return the API server. It listens on all addresses, since pods use the node's address."""
    pki = layout.pki
    arguments = flags(
        advertise_address=node_ip,
        allow_privileged=True,
        audit_log_maxbackup=1,
        audit_log_maxsize=_AUDIT_MB,
        audit_log_path=layout.audit_log,
        audit_policy_file=_audit_policy(layout),
        authorization_mode="Node,RBAC",
        client_ca_file=pki / "ca.crt",
        enable_admission_plugins="NodeRestriction",
        etcd_servers=_ETCD,
        kubelet_certificate_authority=pki / "ca.crt",
        kubelet_client_certificate=pki / "admin.crt",
        kubelet_client_key=pki / "admin.key",
        # The node's name is localhost, so logs and exec use the loopback interface.
        kubelet_preferred_address_types="Hostname,InternalIP",
        secure_port=API_PORT,
        service_account_issuer="https://kubernetes.default.svc",
        service_account_key_file=pki / "sa.key",
        service_account_signing_key_file=pki / "sa.key",
        service_cluster_ip_range=SERVICE_CIDR,
        service_node_port_range=NODE_PORTS,
        tls_cert_file=pki / "apiserver.crt",
        tls_private_key_file=pki / "apiserver.key",
    )
    return Component(
        "kube-apiserver",
        (str(programs / "kube-apiserver"), *arguments),
        kubeconfig.AdminClient(layout).ready,
        files=(pki / "ca.crt", pki / "apiserver.crt", _audit_policy(layout)),
        ports=(API_PORT,),
    )


def controller_manager(layout: Layout, programs: Path) -> Component:
    """Return the controller manager, whose controllers have a service account each."""
    arguments = flags(
        bind_address="127.0.0.1",
        cluster_cidr=CLUSTER_CIDR,
        flex_volume_plugin_dir=layout.data / "volume-plugins",
        kubeconfig=_config(layout, "controller-manager"),
        root_ca_file=layout.pki / "ca.crt",
        secure_port=CONTROLLER_MANAGER_PORT,
        service_account_private_key_file=layout.pki / "sa.key",
        service_cluster_ip_range=SERVICE_CIDR,
        use_service_account_credentials=True,
    )
    return Component(
        "kube-controller-manager",
        (str(programs / "kube-controller-manager"), *arguments, *_CLIENT),
        partial(kubeconfig.healthy, f"https://127.0.0.1:{CONTROLLER_MANAGER_PORT}/healthz"),
        files=(_config(layout, "controller-manager"),),
        ports=(CONTROLLER_MANAGER_PORT,),
    )


def scheduler(layout: Layout, programs: Path) -> Component:
    """Return the scheduler."""
    arguments = flags(
        bind_address="127.0.0.1",
        kubeconfig=_config(layout, "scheduler"),
        secure_port=SCHEDULER_PORT,
    )
    return Component(
        "kube-scheduler",
        (str(programs / "kube-scheduler"), *arguments, *_CLIENT),
        partial(kubeconfig.healthy, f"https://127.0.0.1:{SCHEDULER_PORT}/healthz"),
        files=(_config(layout, "scheduler"),),
        ports=(SCHEDULER_PORT,),
    )


def _audit_policy(layout: Layout) -> Path:
    return layout.config / "audit.json"


def _config(layout: Layout, name: str) -> Path:
    return layout.config / f"{name}.conf"
