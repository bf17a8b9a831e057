"""Namespace and name of the process's own pod; the chart sets them as environment variables."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace(environ: Mapping[str, str]) -> str:
    """Return the namespace to serve: CORE4_NAMESPACE, else that of the pod.

    Raises:
        ValueError: CORE4_NAMESPACE is not set outside of a pod.
    """
    given = environ.get("CORE4_NAMESPACE", "")
    if not given and _NAMESPACE_FILE.exists():
        given = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    if not given:
        raise ValueError("CORE4_NAMESPACE is not set: name the namespace to serve")
    return given


def name(environ: Mapping[str, str]) -> str:
    """Return the pod's name, CORE4_POD_NAME, or the host's name outside of a pod.

    In a pod the two may differ: Kubernetes cuts the host's name at 63 characters.
    """
    return environ.get("CORE4_POD_NAME") or socket.gethostname()
