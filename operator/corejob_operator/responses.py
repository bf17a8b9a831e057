"""An aiohttp response class for kopf's session that cuts objects nested too deeply for kopf.

Kopf decodes each list and each line of a watch with `json.loads`, whose RecursionError ends the
watch for good. By kopf's documented hook for a custom session (`kopf.AiohttpSession`) and aiohttp's
for a response class, kopf gets answers in which such objects are cut and marked (`decoding`).
"""

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import msgspec

from corejob_kube.decoding import LIST_LEVELS, Decoder

log = logging.getLogger(__name__)

_EXPIRED: Final = b'{"type": "ERROR", "object": {"code": 410}}'
"""The watch error after which kopf lists again and watches from there."""


class _Event(msgspec.Struct):
    """An event of a watch, with the object as raw JSON."""

    type: str
    object: msgspec.Raw


_EVENT: Final = msgspec.json.Decoder(_Event)


class _Lines:
    """Wrapper of a watch's body; delegates all but `iter_chunked` to the original."""

    def __init__(self, content: aiohttp.StreamReader, decoder: Decoder) -> None:
        self._content = content
        self._decoder = decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield chunks of whole lines; drop an incomplete line at the end."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                yield b"".join(self._checked(line) + b"\n" for line in lines if line)

    def _checked(self, line: bytes) -> bytes:
        """Return a line that kopf can process, and 410 for any watch error.

        An error other than 410 would end kopf's watch for good.

        Raises:
            aiohttp.ClientPayloadError: The line is not a watch event.
        """
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
    """Return a response class that decodes by `decoder`."""

    class Readable(aiohttp.ClientResponse):
        """A response whose lists and watch events are decoded by our decoder."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            """Read the headers, and wrap the body of a successful answer."""
            await super().start(connection)
            if self.status < 400:
                lines: Any = _Lines(self.content, decoder)
                self.content = lines
            return self

        async def json(self, **options: Any) -> Any:
            """Return the decoded body, as of a list: kopf reads no single objects this way.

            Raises:
                aiohttp.ClientPayloadError: The body is not JSON.
            """
            if self.status >= 400:
                return await super().json(**options)
            try:
                return decoder.decode(await self.read(), LIST_LEVELS)
            except msgspec.DecodeError as error:
                text = f"the answer of {self.url.path} is no JSON"
                raise aiohttp.ClientPayloadError(text) from error

    return Readable
