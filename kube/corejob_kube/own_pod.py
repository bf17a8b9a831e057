"""What a process knows of the pod that it runs in: the chart tells it by environment variables."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace(environ: Mapping[str, str]) -> str:
    """The namespace to serve: CORE4_NAMESPACE, else that of the pod.

    Raises:
        ValueError: There is neither.
    """
    given = environ.get("CORE4_NAMESPACE", "")
    if not given and _NAMESPACE_FILE.exists():
        given = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    if not given:
        raise ValueError("CORE4_NAMESPACE is not set: name the namespace to serve")
    return given


def name(environ: Mapping[str, str]) -> str:
    """The pod's name: CORE4_POD_NAME; outside of a pod the host's.

    In a pod the host's name is not always the pod's: Kubernetes cuts it at 63 characters.
    """
    return environ.get("CORE4_POD_NAME") or socket.gethostname()
