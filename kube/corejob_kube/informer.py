"""An informer: one list, then one watch, kept up for ever, feeding a cache and its listeners.

As client-go's reflector does it: bookmarks keep the resource version fresh, 410 lists anew, and a
new list finds what was deleted meanwhile. A listener is called for every change, in order.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from corejob_kube import tasks
from corejob_kube.backoff import Backoff
from corejob_kube.cache import Body, Listener, ObjectCache
from corejob_kube.client import Kube
from corejob_kube.decoding import EVENT_LEVELS, Decoder
from corejob_kube.errors import GoneError, KubeError, UnavailableError
from corejob_kube.resources import Resource
from corejob_kube.supervision import Supervision

log = logging.getLogger(__name__)

__all__ = ["DEAF_S", "Body", "Informer", "Listener", "silence"]

DEAF_S: Final = 300.0
"""A longer silence is for ever: the API server sends each watch a bookmark about once a minute."""
_WATCH_SECONDS: Final = 300
_IDLE_SECONDS: Final = 75.0
"""The API server sends a bookmark about each minute: a longer silence is a dead connection."""
_SHORT_SECONDS: Final = 1.0
"""A watch that ended in good order sooner than this was cut short."""
_BACKOFF_FIRST: Final = 0.1
_BACKOFF_MOST: Final = 5.0


class Informer(ObjectCache):
    """The cache of one kind of object in one namespace, kept up by a watch."""

    def __init__(
        self, kube: Kube, resource: Resource, namespace: str, *, selector: str = ""
    ) -> None:
        super().__init__(resource.plural)
        self._kube = kube
        self._resource = resource
        self._namespace = namespace
        self._selector = selector
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._version = ""
        self.last_seen = 0.0
        """`time.monotonic()` of the last sign of life of the watch."""

    def start(self, supervision: Supervision | None = None) -> None:
        """Start watching, in a task of its own.

        Args:
            supervision: Looks after the task; None: a new one.
        """
        supervision = supervision or Supervision()
        self._task = supervision.start(f"informer {self._resource.plural}", self._run, restart=True)

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            await tasks.cancel(self._task)
            self._task = None

    async def synced(self) -> None:
        """Wait until the first list is in."""
        await self._synced.wait()

    @property
    def is_synced(self) -> bool:
        """Whether the first list is in."""
        return self._synced.is_set()

    async def _run(self) -> None:
        backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
        self._version = ""  # whatever ended the run before: what there is now is listed
        while True:
            started = time.monotonic()
            try:
                if not self._version:
                    await self._relist()
                await self._watch()
                backoff.reset()
                if time.monotonic() - started < _SHORT_SECONDS:
                    await asyncio.sleep(_BACKOFF_FIRST)  # a server that is going down
            except KubeError as error:
                if isinstance(error, GoneError):
                    self._version = ""
                else:
                    log.warning("watch of %s broke: %s", self._resource.plural, error)
                if time.monotonic() - started > _BACKOFF_MOST:
                    backoff.reset()
                await asyncio.sleep(backoff.next())

    async def _relist(self) -> None:
        items, version = await self._kube.list(
            self._resource, self._namespace, selector=self._selector
        )
        self.replace(items, version)
        self._version = version
        self.last_seen = time.monotonic()
        self._synced.set()

    async def _watch(self) -> None:
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        if self._selector:
            params["labelSelector"] = self._selector
        path = self._resource.path(self._namespace)
        async with self._kube.stream(path, params=params, idle=_IDLE_SECONDS) as lines:
            async for line in lines:
                self._event(*_decoded(self._kube.decoder, line))

    def _event(self, kind: str, body: Body, version: str) -> None:
        self.last_seen = time.monotonic()
        if kind == "ERROR":
            message = str(body.get("message"))
            if body.get("code") == 410:
                raise GoneError(410, "Expired", message)
            raise KubeError(int(body.get("code") or 500), str(body.get("reason")), message)
        if kind != "BOOKMARK":
            self._take(kind, body)
        self._version = version

    def _take(self, kind: str, body: Body) -> None:
        try:
            if kind == "DELETED":
                self.drop(body)
            else:
                self.put(body)
        except (AttributeError, LookupError, TypeError, ValueError):
            # Nobody else's object waits for one that is not as objects are.
            log.exception("an object of %s is passed over", self._resource.plural)


def silence(informers: Sequence[Informer], *, since: float) -> float:
    """Seconds since the watch that was silent longest gave a sign of life; `since`: the start."""
    now = time.monotonic()
    return max(now - max(informer.last_seen, since) for informer in informers)


def _decoded(decoder: Decoder, line: bytes) -> tuple[str, Body, str]:
    """An event's type, object and version; half a line, say, must not end the watching."""
    try:
        event = decoder.decode(line, EVENT_LEVELS)
        kind, body = event["type"], event["object"]
        version = "" if kind == "ERROR" else body["metadata"]["resourceVersion"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        text = f"no event of a watch: {line[:100]!r}"
        raise UnavailableError(503, "BadEvent", text) from error
    return kind, body, version
