"""Write kubeconfig files, and send simple requests without a client library."""

import base64
import json
import ssl
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from tests.cluster import cache
from tests.cluster.layout import API_PORT, NODE, Layout

SERVER = f"https://127.0.0.1:{API_PORT}"

# Seconds for an answer of a health URL.
_HEALTH_SECONDS = 2.0


def document(pki: Path, identity: str) -> dict[str, Any]:
    """Return a kubeconfig with embedded certificates and keys, so that it can be copied."""

    def embedded(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode("ascii")

    cluster = {"server": SERVER, "certificate-authority-data": embedded("ca.crt")}
    user = {
        "client-certificate-data": embedded(f"{identity}.crt"),
        "client-key-data": embedded(f"{identity}.key"),
    }
    name = "core4-local"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": identity}}],
        "current-context": name,
    }


def write(path: Path, pki: Path, identity: str) -> None:
    """Write a kubeconfig (JSON is YAML) that only its owner can read."""
    cache.write(path, json.dumps(document(pki, identity), indent=1), mode=0o600)


def healthy(url: str) -> bool:
    """True if a component's health URL answers 200; its certificate is not verified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with opened(url, timeout=_HEALTH_SECONDS, context=context) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


def opened(url: str, *, timeout: float, context: ssl.SSLContext | None = None) -> HTTPResponse:
    """Send a GET request to this machine, without a proxy, and return the response.

    A proxy of the environment would look for the address on its own machine.
    """
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    response: HTTPResponse = urllib.request.build_opener(*handlers).open(url, timeout=timeout)
    return response


class AdminClient:
    """Sends GET requests to the local cluster's API server as its administrator."""

    def __init__(self, layout: Layout) -> None:
        self._pki = layout.pki

    def get(self, path: str) -> bytes | None:
        """Return the response's body; None if the request fails."""
        try:
            context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
            context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
            with opened(SERVER + path, timeout=5, context=context) as response:
                return bytes(response.read())
        except (OSError, HTTPException):
            return None

    def ready(self) -> bool:
        """True if the API server is ready."""
        return self.get("/readyz") is not None

    def node_ready(self, name: str = NODE) -> bool:
        """True if a node is ready and the default service account exists, as pods need both."""
        body = self.get(f"/api/v1/nodes/{name}")
        if body is None or self.get("/api/v1/namespaces/default/serviceaccounts/default") is None:
            return False
        conditions = json.loads(body).get("status", {}).get("conditions", [])
        return any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
