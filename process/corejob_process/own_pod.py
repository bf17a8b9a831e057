"""Namespace and name of the process's own pod, where no environment variable gives them."""

import socket
from pathlib import Path
from typing import Final

NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace(file: Path = NAMESPACE_FILE) -> str:
    """Return the namespace of the pod.

    Args:
        file: The file in which the kubelet writes it.

    Raises:
        ValueError: The process does not run in a pod.
    """
    name = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    if not name:
        raise ValueError("CORE4_NAMESPACE is not set: name the namespace to serve")
    return name


def hostname() -> str:
    """Return the name of the host, which is that of the pod, cut at 63 characters."""
    return socket.gethostname()
