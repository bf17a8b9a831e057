"""The process `core4-api`."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from typing import Final

import uvicorn
import uvloop

from corejob_api.app import Api, create_app
from corejob_api.http import connections
from corejob_api.http.body_deadline import BodyDeadline
from corejob_api.http.connection_limit import ConnectionLimit
from corejob_api.http.targets import AbsoluteTargets
from corejob_api.http.versions import SupportedVersions
from corejob_api.settings import ApiSettings
from corejob_journal.store import Store
from corejob_kube.client import Kube
from corejob_process import json_logs, tasks
from corejob_process.garbage_collection import collect_rarely
from corejob_process.health import HealthServer
from corejob_process.settings import load
from corejob_process.supervision import Supervision, TaskEndedError, exit_now

log = logging.getLogger(__name__)

_GRACE_S: Final = 5
_MOST_CONNECTIONS: Final = 12_000
"""Maximum number of connections; more are answered 503. The pod may open 20,000 files."""
_IDLE_S: Final = 75
"""Longer than clients and proxies keep idle connections, so that the server never closes first."""


class Server(uvicorn.Server):
    """Uvicorn server; ends streams before it waits for open requests, drops vanished clients.

    Attributes:
        supervision: The application's long-lived tasks.
        was_stopped: True if it was told to end.
    """

    def __init__(self, config: uvicorn.Config, app: Api) -> None:
        super().__init__(config)
        self._api = app
        self.supervision = app.service.supervision
        self.was_stopped = False
        self._heads = connections.HeaderDeadline()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals in the event loop, so that everything is closed before the exit."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    async def on_tick(self, counter: int) -> bool:
        """Drop vanished clients and those with slow request heads; called every 0.1 s."""
        connections.drop_vanished(self.server_state.connections, counter)
        self._heads.close_slow(self.server_state.connections, counter, time.monotonic())
        return await super().on_tick(counter)

    def stop(self) -> None:
        """Start the shutdown; streams end at once and their clients reconnect."""
        self.was_stopped = True
        self._api.service.hub.end_streams()
        self.should_exit = True


def server(app: Api, *, most_connections: int = _MOST_CONNECTIONS) -> Server:
    """Return the HTTP server of an application; `serve(sockets=…)` runs it.

    Args:
        app: The application.
        most_connections: Maximum number of connections; more are answered 503.
    """
    # Not uvicorn's own limit, whose 503 has neither envelope nor Retry-After nor CORS.
    limited = ConnectionLimit(
        BodyDeadline(app), lambda: len(made.server_state.connections), most_connections
    )
    config = uvicorn.Config(
        SupportedVersions(AbsoluteTargets(limited)),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    made = Server(config, app)
    return made


async def serve(settings: ApiSettings) -> None:
    """Serve until a signal arrives.

    Raises:
        ValueError: A setting is invalid.
        OSError: A port is in use, or a file can't be read.
        CredentialsError: There is no cluster configuration.
    """
    store = await Store.open(settings.store_url)
    try:
        async with await Kube.load(user_agent="core4-api") as kube:
            supervision = Supervision(last_resort=exit_now)
            app = create_app(settings, kube, store, supervision=supervision)
            # A separate port, so that health checks work while the API has no free connections.
            health = HealthServer(app.service.health, settings.host, settings.health_port)
            with connections.listen(settings.host, settings.port) as sock:
                await health.start()
                log.info("serving on port %d", settings.port)
                collect_rarely()
                try:
                    await run(server(app), sock)
                finally:
                    await health.stop()
    finally:
        await store.close()


async def run(running: Server, sock: socket.socket) -> None:
    """Serve until the server is told to stop.

    Raises:
        TaskEndedError: An essential task has ended.
    """
    supervision = running.supervision
    failing = asyncio.create_task(supervision.failed.wait(), name="failing")
    failing.add_done_callback(lambda task: None if task.cancelled() else running.stop())
    try:
        await running.serve(sockets=[sock])
    finally:
        await tasks.cancel(failing)
    supervision.check()
    if not running.was_stopped:
        raise TaskEndedError("the HTTP server ended unexpectedly")


def main() -> int:
    """Run the API; its settings come from the environment."""
    try:
        settings = load(ApiSettings, os.environ)
        json_logs.configure(settings.log_level)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        uvloop.run(serve(settings))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"core4-api: {error}\n")
        return 2
    except TaskEndedError as error:
        log.critical("the process exits, to be restarted: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
