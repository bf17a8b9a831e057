"""A node without a kubelet and a pod on it that seems to run, as after the loss of a machine.

The node is only an object; the test writes the pod's status in place of a kubelet. The scheduler,
the node controller and the pod garbage collector are real.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from tests.support import corejobs
from tests.support.kubectl import Kubectl, polled

_TAINT: Final = {"key": "e2e", "value": "ghost", "effect": "NoSchedule"}
TOLERATIONS: Final = [{"operator": "Exists"}]
"""Tolerates all taints, since the node controller adds its own when heartbeats are missing."""


@contextmanager
def ghost_node(kubectl: Kubectl, name: str) -> Iterator[str]:
    """Create a node, and delete it at the end. Its taint keeps other pods away."""
    labels = {"kubernetes.io/hostname": name}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [_TAINT]},
    }
    kubectl("delete", "node", name, "--ignore-not-found")
    kubectl("create", "-f", "-", stdin=json.dumps(node))
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    patch_status(kubectl, "node", name, {"capacity": room, "allocatable": room})
    _beat(kubectl, name)
    try:
        yield name
    finally:
        kubectl("delete", "node", name, "--ignore-not-found")


def pod_spec(node: str) -> dict[str, Any]:
    """Return the fields of a pod's spec that bind it to the node."""
    return {"tolerations": TOLERATIONS, "nodeSelector": {"kubernetes.io/hostname": node}}


def say_it_runs(kubectl: Kubectl, corejob: str, node: str) -> str:
    """Wait until a CoreJob's pod is bound to the node, report it as running, return its name."""
    bound = polled(
        lambda: corejobs.pods(kubectl, corejob),
        lambda found: bool(found and found[0]["spec"].get("nodeName")),
        what="the pod is bound to the node",
    )[0]
    assert bound["spec"]["nodeName"] == node
    started = bound["metadata"]["creationTimestamp"]
    running = {
        "name": "job",
        "image": bound["spec"]["containers"][0]["image"],
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": started}},
    }
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": started}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    name: str = bound["metadata"]["name"]
    status = {
        "phase": "Running",
        "startTime": started,
        "conditions": conditions,
        "containerStatuses": [running],
    }
    patch_status(kubectl, "pod", name, status)
    # The node controller marks a node's pods once, after 40 s without a heartbeat.
    _beat(kubectl, node)
    return name


def _beat(kubectl: Kubectl, node: str) -> None:
    """Write a heartbeat of the node."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
    patch_status(kubectl, "node", node, {"conditions": [ready]})


def patch_status(kubectl: Kubectl, kind: str, name: str, fields: dict[str, Any]) -> None:
    """Write a status, as a kubelet does."""
    patch = json.dumps({"status": fields})
    kubectl("patch", kind, name, "--subresource=status", "--type=merge", "--patch", patch)
