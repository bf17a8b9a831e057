"""Read request bodies, with limits on size, time and memory (docs/rest.md, "Requests")."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from falcon.asgi import Request

from corejob_api.http import arguments, multipart
from corejob_api.http.body_deadline import READ_SECONDS, is_late
from corejob_api.http.call import ApiRequest
from corejob_api.http.errors import ApiError, client_gone, unavailable

MAX_BODY: Final = 2**20
"""Maximum bytes of a body with a job's args."""
MAX_BODY_WITH_FILTER: Final = 2**19
"""Maximum bytes of a body with a filter; fits the longest list of `$in`."""
MAX_BODY_OF_OTHERS: Final = 2**16
_MAX_DISCARD: Final = 32 * 2**20
"""Bytes of an oversized body that are read and discarded, so that its sender gets the answer."""
MAX_BODY_OF_UNKNOWN: Final = 2**16
"""Maximum bytes of a body before authentication; the credentials may be in the body itself."""
_SMALL: Final = 2**16
"""Maximum bytes of a small body; small bodies have a budget that long ones can't use up."""
_BUDGET: Final = 32 * 2**20
_BUDGET_OF_SMALL: Final = 16 * 2**20
_BUDGET_OF_UNKNOWN: Final = 8 * 2**20
_SHARES: Final = 2
"""One sender may use 1/_SHARES of a budget, so that the others are served during a flood."""
_PIECE: Final = 2**16
_LONG: Final = 2**15
"""A thread parses longer bodies: a mebibyte of escapes or odd numbers takes 0.2 s."""
_CLOSE: Final = {"Connection": "close"}
"""Closes the connection, since the rest of the body is not read."""


class Budget:
    """A limit of bytes in memory for bodies that are being read; each sender has a share."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._share = most // _SHARES
        self._of_sender: dict[str, int] = {}

    @contextmanager
    def reserved(self, size: int, sender: str) -> Iterator[None]:
        """Reserve `size` bytes within the context.

        Raises:
            ApiError: 503, the budget or the sender's share is used up.
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
    """Reads bodies within three budgets: small ones, long ones, and those of unknown senders."""

    def __init__(self) -> None:
        self._long = Budget(_BUDGET)
        self._small = Budget(_BUDGET_OF_SMALL)
        self._unknown = Budget(_BUDGET_OF_UNKNOWN)

    async def read(
        self, req: ApiRequest, *, most: int, user: str | None, address: str
    ) -> list[dict[str, Any]]:
        """Return the arguments of a body.

        Args:
            req: The request.
            most: Maximum bytes of a body on this route.
            user: The user authenticated by the headers or the query; None: not authenticated.
            address: The sender's address.

        Raises:
            ApiError: 413, the body is too long; 408, it did not arrive in time; 499, the client
                disconnected before its end; 503, too many bodies at once; 400, it is a form or
                JSON that can't be read.
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


async def read(req: ApiRequest, most: int = MAX_BODY, hint: str = "") -> bytes:
    """Return the body, of at most `most` bytes.

    Raises:
        ApiError: 413, the body is too long; 408, it did not arrive in time; 499, the client
            disconnected before its end.
    """
    # Piece by piece: a single read would keep all pieces and their concatenation in memory.
    body = bytearray()
    try:
        async with asyncio.timeout(0 if is_late(req.scope) else READ_SECONDS):
            while piece := await req.stream.read(_PIECE):
                body += piece
                if len(body) > most:
                    body.clear()
                    await _discard(req)
                    raise ApiError(413, f"the body is longer than {most} bytes{hint}", _CLOSE)
    except TimeoutError:
        text = f"the body did not arrive within {READ_SECONDS:.0f} s"
        raise ApiError(408, text, _CLOSE) from None
    # A part of a request must not be carried out: it lacks arguments that its client has given.
    if req.has_disconnected:
        raise client_gone()
    return bytes(body)


async def _discard(req: Request) -> None:
    left = _MAX_DISCARD
    while left > 0:
        chunk = await req.stream.read(_PIECE)
        if not chunk:
            return
        left -= len(chunk)


def sources(req: Request, body: bytes) -> list[dict[str, Any]]:
    """Return the arguments of a body; one that is neither JSON nor a form has none.

    JSON is accepted with any Content-Type.

    Raises:
        ApiError: 400, the body is nested too deep, or a form that can't be read.
    """
    if not body:
        return []
    from_json = arguments.from_json(body)
    if from_json is not None:
        return [from_json]
    kind = (req.content_type or "").lower()
    if kind.startswith("application/x-www-form-urlencoded"):
        return [arguments.from_query(body.decode("utf-8", "replace"))]
    if kind.startswith("multipart/form-data"):
        return [multipart.fields(req.content_type or "", body)]
    return []
