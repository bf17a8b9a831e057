"""Refuse requests while too many connections are open, so that the process keeps free files.

Two parts: the outer one needs the server, which knows the connections; the inner one answers as
the application answers all errors, with envelope, CORS and metrics.
"""

from collections.abc import Callable
from typing import Any, Final

from falcon.asgi import Request, Response

from corejob_api.http.errors import unavailable

_MARK: Final = "core4.beyond_limit"
"""Entry in the ASGI scope of a request beyond the limit: the limit."""


class ConnectionLimit:
    """Marks the requests that arrive while more than `most` connections are open.

    Args:
        app: An ASGI application, whose middleware has `RefuseBeyondLimit`.
        open_connections: Returns the number of open connections.
        most: Maximum number of connections.
    """

    def __init__(self, app: Any, open_connections: Callable[[], int], most: int) -> None:
        self._app = app
        self._open_connections = open_connections
        self._most = most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass an ASGI event to the application, marked if it is beyond the limit."""
        if scope["type"] == "http" and self._open_connections() > self._most:
            scope = {**scope, _MARK: self._most}
            # Falcon waits for the first event. A client that sends no body would keep its
            # connection, and the limit would be none.
            receive = _no_body
        await self._app(scope, receive, send)


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


class RefuseBeyondLimit:
    """Middleware that answers marked requests with 503 and closes their connections.

    Must come after the one for CORS, so that a browser shows the error to its page.
    """

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Refuse a marked request.

        Raises:
            ApiError: 503, too many connections are open.
        """
        most = req.scope.get(_MARK)
        if most is not None:
            raise unavailable(
                f"the service has all of the {most} connections that it takes: try again later, "
                "and close connections that you don't use"
            )

    async def process_response(
        self, req: Request, resp: Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Close the connection of a marked request, that of an OPTIONS too."""
        if _MARK in req.scope:
            resp.set_header("Connection", "close")
