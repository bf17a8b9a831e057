"""Simulated nodes of the local cluster: kwok sets the status of their pods, and nothing runs.

Pods on these nodes start and end without a container, so a run of thousands of jobs measures the
control plane and the service instead of the container runtime. Pods that complete leave a log of
five lines. Ordinary pods never land there: the nodes are tainted.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.cluster import kubeconfig
from tests.cluster.component import Component, flags
from tests.cluster.layout import LOG_LONG_PORT, LOG_SHORT_PORT, SIMULATED_CIDR, Layout

COMPLETE: Final = "complete"
"""Behaviour of pods that complete at once."""
RUN: Final = "run"
"""Behaviour of pods that run until they are deleted."""
NAMES: Final = ("kwok", "podlogs")
"""Names of the processes."""

_STAGES: Final = Path(__file__).parent / "stages.yaml"
_BEHAVIOUR: Final = "core4.io/simulated"
_TAINT: Final = "kwok.x-k8s.io/node"
_MANAGED: Final = {"type": "kwok"}
_LOG_PORTS: Final = {COMPLETE: LOG_SHORT_PORT, RUN: LOG_LONG_PORT}


def nodes() -> list[dict[str, Any]]:
    """Return the nodes as documents, one for each behaviour."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": _name(behaviour),
                "labels": {**_MANAGED, _BEHAVIOUR: behaviour},
                "annotations": {"core4.io/log-port": str(port)},
            },
            "spec": {"taints": [{"key": _TAINT, "value": behaviour, "effect": "NoSchedule"}]},
        }
        for behaviour, port in _LOG_PORTS.items()
    ]


def placement(behaviour: str) -> dict[str, Any]:
    """Return the part of a pod's spec that places it on the node of a behaviour."""
    return {
        "nodeSelector": {_BEHAVIOUR: behaviour},
        "tolerations": [{"key": _TAINT, "operator": "Exists", "effect": "NoSchedule"}],
    }


def controller(layout: Layout, program: Path) -> Component:
    """Return kwok, which is ready as soon as its nodes are."""
    arguments = flags(
        cidr=SIMULATED_CIDR,
        config=_STAGES,
        kubeconfig=layout.kubeconfig,
        manage_nodes_with_label_selector=",".join(f"{k}={v}" for k, v in _MANAGED.items()),
        node_lease_duration_seconds=40,
        v="WARN",
    )
    api = kubeconfig.AdminClient(layout)
    return Component(
        "kwok",
        (str(program), *arguments),
        lambda: all(api.node_ready(_name(behaviour)) for behaviour in _LOG_PORTS),
        files=(_STAGES,),
    )


def logs(layout: Layout, program: Path) -> Component:
    """Return the server of the pods' logs, with the certificate of the kubelet."""
    arguments = flags(
        cert=layout.pki / "node.crt",
        key=layout.pki / "node.key",
        short=f"127.0.0.1:{LOG_SHORT_PORT}",
        long=f"127.0.0.1:{LOG_LONG_PORT}",
    )
    return Component(
        "podlogs",
        (str(program), *arguments),
        partial(kubeconfig.healthy, f"https://127.0.0.1:{LOG_SHORT_PORT}/healthz"),
        files=(layout.pki / "node.crt",),
        ports=(LOG_SHORT_PORT, LOG_LONG_PORT),
    )


def document() -> str:
    """Return the nodes as one JSON document for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes()})


def _name(behaviour: str) -> str:
    return f"simulated-{behaviour}"
