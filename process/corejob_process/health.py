"""The endpoints /healthz, /readyz and /metrics of a process, on a separate port."""

import asyncio
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from corejob_process import sockets

_MOST_CONNECTIONS: Final = 256
"""Maximum of open connections; a further one closes the oldest, so that probes always connect."""


class Health(Protocol):
    """Liveness, readiness and metrics of a process; problems are texts for people."""

    def liveness_problem(self) -> str | None:
        """Return the reason to restart the process, or None."""

    async def readiness_problem(self, without: str = "", /) -> str | None:
        """Return why the process is not ready, or None if it is.

        Args:
            without: A part whose problems don't count; an unknown name has no effect.
        """

    def registry(self) -> CollectorRegistry:
        """Return the registry of the Prometheus metrics."""


class HealthServer:
    """The web server for the kubelet's probes and for Prometheus.

    Attributes:
        port: Its port; if it was given as 0, the actual port is known after `start`.
    """

    def __init__(self, health: Health, host: str, port: int) -> None:
        self._health = health
        self._host = host
        self.port = port
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: The port is taken, or the address is not one of this host.
        """
        sock = sockets.listening(self._host, self.port)
        self.port = int(sock.getsockname()[1])
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, sock=sock)

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        """Return the protocol of a new connection; close the oldest ones above the limit."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("a connection before the start")
        open_ones = server.connections
        for oldest in open_ones[: len(open_ones) - _MOST_CONNECTIONS + 1]:
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _response(self._health.liveness_problem())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _response(await self._health.readiness_problem(request.query.get("without", "")))

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._health.registry())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _response(problem: str | None) -> web.Response:
    return web.Response(status=200 if problem is None else 503, text=f"{problem or 'ok'}\n")
