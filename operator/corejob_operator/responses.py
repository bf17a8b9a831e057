"""An aiohttp response class for kopf's session: kopf gets only news, and only what it can read.

Kopf decodes each list and each line of a watch with `json.loads`, whose RecursionError ends the
watch for good. By kopf's documented hook for a custom session (`kopf.AiohttpSession`) and aiohttp's
for a response class, kopf gets answers in which such objects are cut and marked (`decoding`).

An event costs kopf much more than the cache that it ends in. So a version that the cache has
already, such as that of our own write, reaches kopf as a bookmark, and not at all in a list.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import msgspec

from corejob_kube.cache import ObjectCache
from corejob_kube.decoding import LIST_LEVELS, Decoder

log = logging.getLogger(__name__)

_EXPIRED: Final = b'{"type": "ERROR", "object": {"code": 410}}'
"""The watch error after which kopf lists again and watches from there."""


class _Event(msgspec.Struct):
    """An event of a watch, with the object as raw JSON."""

    type: str
    object: msgspec.Raw


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class _Identity(msgspec.Struct):
    """The part of an object that tells its version."""

    metadata: _Meta


_EVENT: Final = msgspec.json.Decoder(_Event)
_IDENTITY: Final = msgspec.json.Decoder(_Identity)


class _Lines:
    """Wrapper of a watch's body; delegates all but `iter_chunked` to the original."""

    def __init__(
        self, content: aiohttp.StreamReader, decoder: Decoder, cache: ObjectCache | None
    ) -> None:
        self._content = content
        self._decoder = decoder
        self._cache = cache

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
        """Return a line that kopf can process: a bookmark for old news, 410 for any watch error.

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
        if event.type in {"ADDED", "MODIFIED"} and self._cache is not None:
            return _bookmark_if_known(self._cache, event) or line
        if event.type != "ERROR":
            return line
        log.warning("a watch broke: %r", bytes(event.object)[:500])
        return _EXPIRED


def _bookmark_if_known(cache: ObjectCache, event: _Event) -> bytes | None:
    """Return a bookmark if the cache has the event's object already, else None.

    With it kopf continues from there after an interruption, and sees that the watch is alive.
    """
    try:
        meta = _IDENTITY.decode(event.object).metadata
        known = cache.knows(meta.name, meta.resource_version)
    except ValueError:
        return None  # a malformed object: the handler's error is logged
    if not known:
        return None
    cache.reached(meta.resource_version)
    bookmark = {
        "type": "BOOKMARK",
        "object": {"metadata": {"resourceVersion": meta.resource_version}},
    }
    return msgspec.json.encode(bookmark)


def _is_known(cache: ObjectCache, body: dict[str, Any]) -> bool:
    """True if the cache has an object of a list already."""
    try:
        name, version = body["metadata"]["name"], body["metadata"]["resourceVersion"]
        known = cache.knows(name, version)
    except (LookupError, TypeError, ValueError):
        return False
    if known:
        cache.reached(version)
    return known


def readable(decoder: Decoder, caches: Mapping[str, ObjectCache]) -> type[aiohttp.ClientResponse]:
    """Return a response class that decodes by `decoder`, and leaves out what `caches` have.

    Args:
        decoder: Decodes the answers.
        caches: The caches by the plural of their kind, which ends the path of a request.
    """

    class Readable(aiohttp.ClientResponse):
        """A response whose lists and watch events are decoded by our decoder."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            """Read the headers, and wrap the body of a successful answer."""
            await super().start(connection)
            if self.status < 400:
                lines: Any = _Lines(self.content, decoder, caches.get(self.url.name))
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
                answer = decoder.decode(await self.read(), LIST_LEVELS)
            except msgspec.DecodeError as error:
                text = f"the answer of {self.url.path} is no JSON"
                raise aiohttp.ClientPayloadError(text) from error
            cache = caches.get(self.url.name)
            if cache is not None:
                answer["items"] = [b for b in answer.get("items") or () if not _is_known(cache, b)]
            return answer

    return Readable
