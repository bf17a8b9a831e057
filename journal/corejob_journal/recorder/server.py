"""/healthz, /readyz and /metrics."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from corejob_journal.recorder.supervisor import Supervisor

_PING_S: Final = 3.0
_DEAF_S: Final = 300.0
"""The API server sends each watch a bookmark about once a minute."""


class Server:
    """The web server. The supervisor is None until the store was opened."""

    def __init__(self, host: str, port: int, supervisor: Callable[[], Supervisor | None]) -> None:
        self._host = host
        self._port = port
        self._supervisor = supervisor
        self._began = time.monotonic()
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
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Close."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        """A watch that hears nothing for long is dead, whatever the process thinks."""
        supervisor = self._supervisor()
        if supervisor is not None:
            for informer in (supervisor.jobs, supervisor.pods):
                if time.monotonic() - max(informer.last_seen, self._began) > _DEAF_S:
                    return web.Response(status=503, text="a watch is silent\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        supervisor = self._supervisor()
        if supervisor is None:
            return web.Response(status=503, text="waiting for the store\n")
        if not (supervisor.jobs.is_synced and supervisor.pods.is_synced):
            return web.Response(status=503, text="waiting for Kubernetes\n")
        trouble = supervisor.commits.trouble or await _store_trouble(supervisor)
        if trouble is not None:
            return web.Response(status=503, text=f"{trouble}\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        supervisor = self._supervisor()
        body = generate_latest(supervisor.metrics.registry) if supervisor is not None else b""
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _store_trouble(supervisor: Supervisor) -> str | None:
    """What ails the store; a recorder that has nothing to write would not notice by itself."""
    try:
        async with asyncio.timeout(_PING_S):
            await supervisor.commits.ping()
    except TimeoutError:
        return supervisor.commits.trouble or "the store does not answer"
    return None
