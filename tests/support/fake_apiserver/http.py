"""Listen on a free port of this machine, and connect to it."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import kube_config

from corejob_kube.client import Kube

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Handlers that still run when the server stops are cancelled after this time.
_SHUTDOWN_S = 0.1


class HttpServer:
    """Passes all requests to one handler."""

    def __init__(self, handler: Handler) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)

    async def start(self) -> str:
        """Listen, and return the URL."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close all connections."""
        await self._runner.cleanup()


def kube_client(url: str, **options: Any) -> Kube:
    """Return a client of a server, with options of `Kube`; `async with` opens it."""
    configuration = Configuration()
    configuration.host = url
    return Kube(configuration, user_agent="test", **options)


def write_kubeconfig(folder: Path, url: str) -> Path:
    """Write a kubeconfig file for a server, and return its path."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "mine"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def use_kubeconfig(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process connect to the server of a kubeconfig file."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
