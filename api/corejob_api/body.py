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
_SMALL: Final = 2**16
"""A body of so many bytes at most has a budget of its own: long ones leave it alone."""
_BUDGET: Final = 32 * 2**20
_BUDGET_OF_SMALL: Final = 16 * 2**20
_BUDGET_OF_UNKNOWN: Final = 8 * 2**20
_SHARES: Final = 2
"""One sender has a half of a budget at most: the others are served beside whoever floods it."""
_PIECE: Final = 2**16
_MAX_PARTS: Final = 100
_LONG: Final = 2**15
"""Longer bodies are taken apart by a thread: a mebibyte of escapes or odd numbers takes 0.2 s."""
_CLOSE: Final = {"Connection": "close"}
"""What is still under way is not read."""


class Budget:
    """Bytes that bodies may have in memory at once while they are read; each sender has a share."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._share = most // _SHARES
        self._of_sender: dict[str, int] = {}

    @contextmanager
    def reserved(self, size: int, sender: str) -> Iterator[None]:
        """Have room for so many bytes.

        Raises:
            ApiError: 503, there is none now, or the sender has used up its share.
        """
        taken = self._of_sender.get(sender, 0)
        if size > self._left or taken + size > self._share:
            refusal = unavailable("too many requests with a body at once")
            refusal.headers.update(_CLOSE)
            raise refusal
        self._left -= size
        self._of_sender[sender] = taken + size
        try:
            yield
        finally:
            self._left += size
            self._of_sender[sender] -= size
            if not self._of_sender[sender]:
                del self._of_sender[sender]


class Bodies:
    """Reads bodies, each within a budget: small ones, long ones, and those of unknown senders."""

    def __init__(self) -> None:
        self._long = Budget(_BUDGET)
        self._small = Budget(_BUDGET_OF_SMALL)
        self._unknown = Budget(_BUDGET_OF_UNKNOWN)

    async def read(
        self, req: Request, *, most: int, user: str | None, address: str
    ) -> list[dict[str, Any]]:
        """Return the arguments of a body.

        Args:
            req: The request.
            most: How many bytes it may have where it goes to.
            user: The user that its headers or its query name truly; None: they name nobody.
            address: Where it comes from.

        Raises:
            ApiError: It is too long (413), it does not come (408), or too many come at once (503).
        """
        hint = ""
        if user is None and most > MAX_BODY_OF_UNKNOWN:
            most, hint = MAX_BODY_OF_UNKNOWN, "; sign in by a header to send more"
        length = req.content_length
        if length is None and req.get_header("Transfer-Encoding") is None:
            return []
        size = most if length is None else min(length, most)
        if user is None:
            budget, sender = self._unknown, address
        else:
            budget, sender = self._small if size <= _SMALL else self._long, user
        with budget.reserved(size, sender):
            body = await read(req, most, hint)
            if len(body) > _LONG:
                return await asyncio.to_thread(sources, req, body)
            return sources(req, body)


async def read(req: Request, most: int = MAX_BODY, hint: str = "") -> bytes:
    """Return the body, of at most so many bytes; nothing of one that its sender broke off.

    Raises:
        ApiError: It is too long (413), or it does not come (408).
    """
    # Not in one call: that holds all pieces and their sum at once.
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            while piece := await req.stream.read(_PIECE):
                body += piece
                if len(body) > most:
                    body.clear()
                    await _discard(req)
                    raise ApiError(413, f"the body is longer than {most} bytes{hint}", _CLOSE)
    except TimeoutError:
        text = f"the body did not come within {_READ_SECONDS:.0f} s"
        raise ApiError(408, text, _CLOSE) from None
    if len(body) < (req.content_length or 0):
        return b""  # nobody waits for the answer
    return bytes(body)


async def _discard(req: Request) -> None:
    left = _MAX_DISCARD
    while left > 0:
        chunk = await req.stream.read(_PIECE)
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
