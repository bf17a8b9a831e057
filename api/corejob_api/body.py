"""Reading the body of a request, and no more of it than is meant (contract section 1)."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from falcon import HTTPError
from falcon.asgi import Request
from falcon.media import MultipartFormHandler

from corejob_api import arguments
from corejob_api.errors import ApiError, unavailable

MAX_BODY: Final = 2**20
"""Where a job's args are sent."""
MAX_BODY_WITH_FILTER: Final = 2**19
"""Room for the longest list of `$in`."""
MAX_BODY_OF_OTHERS: Final = 2**16
_MAX_DISCARD: Final = 32 * 2**20
"""How much of a body that is too long is still read, so that its sender gets to see the answer."""
_READ_SECONDS: Final = 30.0
MAX_BODY_OF_UNKNOWN: Final = 2**16
"""Of a request that nobody has signed in by its headers; its body may yet say who it is."""
_BUDGET: Final = 64 * 2**20
_BUDGET_OF_UNKNOWN: Final = 8 * 2**20
_MAX_PARTS: Final = 100
_LONG: Final = 2**15
"""Longer bodies are taken apart by a thread: a mebibyte of escapes or odd numbers takes 0.2 s."""
_CLOSE: Final = {"Connection": "close"}
"""What is still under way is not read."""


class Budget:
    """Bytes that bodies may have in memory at once while they are read."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Have room for so many bytes.

        Raises:
            ApiError: 503, there is none now.
        """
        if size > self._left:
            refusal = unavailable("too many requests with a body at once")
            refusal.headers.update(_CLOSE)
            raise refusal
        self._left -= size
        try:
            yield
        finally:
            self._left += size


class Bodies:
    """Reads bodies, each within a budget. Who is not known yet takes nothing from who is."""

    def __init__(self, known: int = _BUDGET, unknown: int = _BUDGET_OF_UNKNOWN) -> None:
        self._known = Budget(known)
        self._unknown = Budget(unknown)

    async def read(self, req: Request, *, most: int, known: bool) -> list[dict[str, Any]]:
        """The arguments of a body.

        Args:
            req: The request.
            most: How many bytes it may have where it goes to.
            known: Whether its headers say truly who sends it.

        Raises:
            ApiError: It is too long (413), it does not come (408), or too many come at once (503).
        """
        hint = ""
        if not known and most > MAX_BODY_OF_UNKNOWN:
            most, hint = MAX_BODY_OF_UNKNOWN, "; sign in by a header to send more"
        budget = self._known if known else self._unknown
        length = req.content_length
        if length is None and req.get_header("Transfer-Encoding") is None:
            return []
        with budget.reserved(most if length is None else min(length, most)):
            body = await read(req, most, hint)
            if len(body) > _LONG:
                return await asyncio.to_thread(sources, req, body)
            return sources(req, body)


async def read(req: Request, most: int = MAX_BODY, hint: str = "") -> bytes:
    """The body, of at most so many bytes.

    Raises:
        ApiError: It is too long (413), or it does not come (408).
    """
    try:
        async with asyncio.timeout(_READ_SECONDS):
            body = await req.stream.read(most + 1)
            if len(body) > most:
                await _discard(req)
                raise ApiError(413, f"the body is longer than {most} bytes{hint}", _CLOSE)
    except TimeoutError:
        text = f"the body did not come within {_READ_SECONDS:.0f} s"
        raise ApiError(408, text, _CLOSE) from None
    return body


async def _discard(req: Request) -> None:
    left = _MAX_DISCARD
    while left > 0:
        chunk = await req.stream.read(2**16)
        if not chunk:
            return
        left -= len(chunk)


def sources(req: Request, body: bytes) -> list[dict[str, Any]]:
    """The arguments of a body, whatever its Content-Type says; one that can't be read has none."""
    if not body:
        return []
    found = arguments.from_json(body)
    if found is not None:
        return [found]
    kind = (req.content_type or "").lower()
    if kind.startswith("application/x-www-form-urlencoded"):
        return [arguments.from_query(body.decode("utf-8", "replace"))]
    if kind.startswith("multipart/form-data"):
        return [_multipart(req.content_type or "", body)]
    return []


def _multipart(content_type: str, body: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    handler = MultipartFormHandler()
    handler.parse_options.max_body_part_count = _MAX_PARTS
    handler.parse_options.max_body_part_buffer_size = MAX_BODY
    try:
        for part in handler.deserialize(io.BytesIO(body), content_type, len(body)):
            if part.name is not None:
                fields[part.name] = part.get_data().decode("utf-8", "replace")
    except (HTTPError, ValueError):
        return {}
    return fields
