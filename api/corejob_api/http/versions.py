"""Supported HTTP versions and methods; without these checks Falcon logs a traceback for others."""

from typing import Any, Final

_SUPPORTED: Final = frozenset({"1.0", "1.1", "2", "3"})
"""Versions in ASGI's form; 2 and 3 come from servers other than uvicorn."""
_RESERVED: Final = "WEBSOCKET"
"""Falcon's own method: it refuses this before any middleware, whose work the answer needs."""
_HEADERS: Final = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"connection", b"close"),
]
_BODY: Final = b"only HTTP/1.0 and HTTP/1.1 are supported\n"


class SupportedVersions:
    """Answers 505 to a request of an unsupported version; passes all else to the application.

    Args:
        app: An ASGI application.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer an ASGI event."""
        if scope["type"] == "http" and scope["http_version"] not in _SUPPORTED:
            await send({"type": "http.response.start", "status": 505, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _BODY})
            return
        if scope["type"] == "http" and scope["method"] == _RESERVED:
            # Methods are case-sensitive, so this is one that nobody knows: 405, as for all others.
            scope = {**scope, "method": _RESERVED.lower()}
        await self._app(scope, receive, send)
