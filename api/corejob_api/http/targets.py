"""Accept the absolute form of a request's target, `GET http://host/path`, as HTTP/1.1 demands.

Proxies get it, and some clients send it to servers (RFC 9112, 3.2.2).
"""

import re
from typing import Any, Final
from urllib.parse import unquote

_ABSOLUTE: Final = re.compile(rb"https?://([^/]*)(/.*)?", re.IGNORECASE | re.DOTALL)


class AbsoluteTargets:
    """Changes targets in absolute form to the usual one; passes all else to the application.

    Args:
        app: An ASGI application.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass an ASGI event to the application."""
        if scope["type"] == "http" and not scope["path"].startswith("/"):
            scope = _in_origin_form(scope)
        await self._app(scope, receive, send)


def _in_origin_form(scope: dict[str, Any]) -> dict[str, Any]:
    match = _ABSOLUTE.fullmatch(scope.get("raw_path") or b"")
    if match is None:
        return scope
    host, path = match[1], match[2] or b"/"
    # The target's host counts, whatever the header says (RFC 9112, 3.2.2).
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "headers": [(b"host", host), *headers],
    }
