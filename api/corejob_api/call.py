"""What belongs to one request: its id, its user and its arguments."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from falcon.asgi import Request

from corejob_api.arguments import Arguments
from corejob_api.errors import ApiError
from corejob_api.users import User
from corejob_kube import sockets, tasks

T = TypeVar("T")

_CLIENT_GONE: Final = 499
"""No status of HTTP; nobody sees it but the metrics."""


class ApiRequest(Request):
    """A request that lets a stream see when its client is gone."""

    @property
    def receive(self) -> Callable[[], Awaitable[Any]]:
        """The next event of the connection (ASGI); to be used once the body is read."""
        return self._receive


@dataclass(slots=True)
class Call:
    """One request on its way through the service.

    Attributes:
        id: Request id, the `_id` of its answer.
        started: When it came, by the monotonic clock.
        user: Who is signed in; None on public resources.
        token_expires: When the user's token ends, if they signed in by one.
        route: The path of its route, for the metrics.
    """

    id: str
    started: float
    user: User | None = None
    token_expires: datetime | None = None
    arguments: Arguments = field(default_factory=Arguments)
    route: str = ""


def of(req: Request) -> Call:
    """The call that a request is."""
    found: Call = req.context.call
    return found


def user_of(req: Request) -> User:
    """Who is signed in; only for resources that are not public."""
    user = of(req).user
    if user is None:
        raise RuntimeError("a public resource has no user")
    return user


async def while_connected(req: ApiRequest, work: Coroutine[Any, Any, T]) -> T:
    """What some work returns, which is cancelled once its client is gone.

    Only for what changes nothing, and once the body is read.

    Raises:
        ApiError: The client is gone.
    """
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(req))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(_CLIENT_GONE, "the client is gone")
        return working.result()
    finally:
        await tasks.cancel(gone, working)


async def _disconnected(req: ApiRequest) -> None:
    while (await req.receive())["type"] != "http.disconnect":
        pass


def client_host(req: Request, trusted_proxies: int) -> str:
    """Where a request comes from, as the outermost of the trusted proxies says."""
    header = req.get_header("X-Forwarded-For")
    if trusted_proxies and header:
        hosts = [host.strip() for host in header.split(",")]
        return hosts[-min(trusted_proxies, len(hosts))][:253]
    return sockets.plain(str(req.remote_addr))
