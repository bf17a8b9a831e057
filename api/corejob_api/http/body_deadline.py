"""Deadline of a request's body, which Falcon would await without one before it does anything."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

READ_SECONDS: Final = 30.0
"""Time for the beginning of a body, and then for the rest of it."""
_LATE: Final = "core4.body_is_late"
_NOTHING_YET: Final = {"type": "http.request", "body": b"", "more_body": True}

Receive = Callable[[], Awaitable[Any]]


class BodyDeadline:
    """Begins a request whose body does not come, so that it is answered and not kept for ever.

    Args:
        app: An ASGI application, which checks `is_late` before it reads a body.
        seconds: The time to wait for the beginning of a body.
    """

    def __init__(self, app: Any, seconds: float = READ_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Pass an ASGI event to the application, with the first part of its body or none."""
        if scope["type"] == "http" and _has_body(scope):
            try:
                async with asyncio.timeout(self._seconds):
                    first = await receive()
            except TimeoutError:
                first, scope = _NOTHING_YET, {**scope, _LATE: True}
            receive = _beginning_with(first, receive)
        await self._app(scope, receive, send)


def is_late(scope: Any) -> bool:
    """True if the body of this request did not begin in time."""
    return _LATE in scope


def _has_body(scope: Any) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _beginning_with(first: Any, receive: Receive) -> Receive:
    events = iter([first])

    async def following() -> Any:
        return next(events, None) or await receive()

    return following
