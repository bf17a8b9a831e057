"""The state of one request: its id, its user and its arguments."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from falcon.asgi import Request

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import client_gone
from corejob_process import sockets, tasks

T = TypeVar("T")


class Principal(Protocol):
    """The authenticated user, as far as HTTP needs to know it."""

    @property
    def name(self) -> str:
        """The user's name."""

    def may_call(self, method: str) -> bool:
        """True if the user may call the API with a method."""


class ApiRequest(Request):
    """A request that exposes ASGI's `receive`, so that a stream can detect a disconnect.

    Attributes:
        has_disconnected: True once `receive` has reported that the client has disconnected. Falcon
            reads a disconnect as the end of the body.
    """

    def __init__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], **more: Any
    ) -> None:
        super().__init__(scope, self._noting_disconnect, **more)
        self._connection = receive
        self.has_disconnected = False

    async def _noting_disconnect(self) -> Any:
        event = await self._connection()
        if event["type"] == "http.disconnect":
            self.has_disconnected = True
        return event

    @property
    def receive(self) -> Callable[[], Awaitable[Any]]:
        """The ASGI callable that returns the connection's next event; use it after the body."""
        return self._receive


@dataclass(slots=True)
class Call:
    """One request and its state.

    Attributes:
        id: Request id, the `_id` of its answer.
        started: Time of arrival, by the monotonic clock, in seconds.
        user: The signed-in user; None on public resources.
        token_expires: Expiry of the token that the user signed in with; None if they used another
            method.
        route: The path of the request's route, for the metrics.
    """

    id: str
    started: float
    user: Principal | None = None
    token_expires: datetime | None = None
    arguments: Arguments = field(default_factory=Arguments)
    route: str = ""


def of(req: Request) -> Call:
    """Return the call of a request."""
    current: Call = req.context.call
    return current


async def while_connected(req: ApiRequest, work: Coroutine[Any, Any, T]) -> T:
    """Await `work` and return its result; cancel it if the client disconnects.

    Use it for read-only work, after the body has been read.

    Raises:
        ApiError: 499, the client has disconnected.
    """
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(req))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise client_gone()
        return working.result()
    finally:
        await tasks.cancel(gone, working)


async def _disconnected(req: ApiRequest) -> None:
    while (await req.receive())["type"] != "http.disconnect":
        pass


def client_host(req: Request, trusted_proxies: int) -> str:
    """Return the client's host, as the outermost trusted proxy reports it in X-Forwarded-For.

    Without trusted proxies or without that header it is the peer of the connection.
    """
    header = req.get_header("X-Forwarded-For")
    if trusted_proxies and header:
        hosts = [host.strip() for host in header.split(",")]
        return hosts[-min(trusted_proxies, len(hosts))][:253]
    return sockets.plain(str(req.remote_addr))
