"""Reading the body of a request, and no more of it than is meant (contract section 1)."""

import asyncio
import io
from typing import Any, Final

from falcon import HTTPError
from falcon.asgi import Request
from falcon.media import MultipartFormHandler

from corejob_api import arguments
from corejob_api.errors import ApiError

MAX_BODY: Final = 2**20
_MAX_DISCARD: Final = 32 * 2**20
"""How much of a body that is too long is still read, so that its sender gets to see the answer."""
_READ_SECONDS: Final = 30.0
_MAX_PARTS: Final = 100


async def read(req: Request) -> bytes:
    """The body.

    Raises:
        ApiError: It is too long (413), or it does not come (408).
    """
    try:
        async with asyncio.timeout(_READ_SECONDS):
            body = await req.stream.read(MAX_BODY + 1)
            if len(body) > MAX_BODY:
                await _discard(req)
                raise ApiError(413, f"the body is longer than {MAX_BODY} bytes")
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {_READ_SECONDS:.0f} s") from None
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
