"""/healthz and /metrics."""

import time
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from corejob_operator.process import Operator

_SILENT_SWEEPS: Final = 5
"""So many sweeps without an answer, and the process counts as cut off from the API server."""


class Server:
    """The web server of the operator."""

    def __init__(self, operator: Operator, port: int, sweep: float) -> None:
        self._operator = operator
        self._port = port
        self._silent = sweep * _SILENT_SWEEPS
        app = web.Application()
        app.add_routes([web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)])
        app.add_routes([web.get("/metrics", self._metrics)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        # A pod's own network: probes and scrapes come from outside.
        await web.TCPSite(self._runner, "0.0.0.0", self._port).start()  # noqa: S104

    async def stop(self) -> None:
        """Close."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        """A watch that hears nothing is dead, whatever the process thinks; a restart mends it."""
        deaf = self._operator.sweep.deaf
        if deaf:
            return web.Response(status=503, text=f"deaf watches: {', '.join(sorted(deaf))}\n")
        if time.monotonic() - self._operator.last_contact > self._silent:
            return web.Response(status=503, text="no answer from Kubernetes for long\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        if not self._operator.ready:
            return web.Response(status=503, text="waiting for Kubernetes\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._operator.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
