"""Answers of the API server as kopf reads them: without what its JSON parser would fail at.

Kopf decodes each list and each line of a watch with `json.loads`, whose RecursionError ends the
watch for good. Its documented hook for a session of one's own (`kopf.AiohttpSession`) and aiohttp's
for a response class give it answers in which unreadable objects are cut and marked (`decoding`).
"""

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import msgspec

from corejob_kube.decoding import LIST_LEVELS, Decoder

log = logging.getLogger(__name__)

_EXPIRED: Final = b'{"type": "ERROR", "object": {"code": 410}}'
"""After this kopf lists anew, and watches from there."""


class _Event(msgspec.Struct):
    """An event of a watch, its object not decoded yet."""

    type: str
    object: msgspec.Raw


_EVENT: Final = msgspec.json.Decoder(_Event)


class _Lines:
    """The body of a watch; all but `iter_chunked` is the original's."""

    def __init__(self, content: aiohttp.StreamReader, decoder: Decoder) -> None:
        self._content = content
        self._decoder = decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines, in chunks that are as large as they come; no half a line at the end."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                yield b"".join(self._checked(line) + b"\n" for line in lines if line)

    def _checked(self, line: bytes) -> bytes:
        """A line that kopf can take; an error other than 410 would end its watch for good."""
        try:
            line = self._decoder.readable(line)
            event = _EVENT.decode(line)
        except msgspec.DecodeError as error:
            text = f"no event of a watch: {line[:100]!r}"
            raise aiohttp.ClientPayloadError(text) from error
        if event.type != "ERROR":
            return line
        log.warning("a watch broke: %r", bytes(event.object)[:500])
        return _EXPIRED


def readable(decoder: Decoder) -> type[aiohttp.ClientResponse]:
    """The response class of a session whose answers are readable."""

    class Readable(aiohttp.ClientResponse):
        """Decodes by our decoder."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            """Begin to read the answer."""
            await super().start(connection)
            if self.status < 400:
                lines: Any = _Lines(self.content, decoder)
                self.content = lines
            return self

        async def json(self, **options: Any) -> Any:
            """The body; of the answers that kopf reads so, only lists hold objects."""
            if self.status >= 400:
                return await super().json(**options)
            try:
                return decoder.decode(await self.read(), LIST_LEVELS)
            except msgspec.DecodeError as error:
                text = f"the answer of {self.url.path} is no JSON"
                raise aiohttp.ClientPayloadError(text) from error

    return Readable
