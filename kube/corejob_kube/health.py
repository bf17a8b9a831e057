"""/healthz, /readyz and /metrics of a process that serves nothing else."""

from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from corejob_kube import sockets


class Health(Protocol):
    """How a process is doing; troubles are told in words for people."""

    def deadly(self) -> str | None:
        """What only a restart mends; None: nothing."""

    async def trouble(self) -> str | None:
        """Why the process can't do its work now; None: it can."""

    def registry(self) -> CollectorRegistry:
        """What Prometheus gets to know."""


class HealthServer:
    """The web server for the kubelet's probes and for Prometheus."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        self._health = health
        self._host = host
        self._port = port
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        await web.SockSite(self._runner, sockets.listening(self._host, self._port)).start()

    async def stop(self) -> None:
        """Close."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _say(self._health.deadly())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _say(await self._health.trouble())

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._health.registry())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _say(trouble: str | None) -> web.Response:
    return web.Response(status=200 if trouble is None else 503, text=f"{trouble or 'ok'}\n")
