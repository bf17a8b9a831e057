"""An informer: lists the objects of a kind, then watches them, into a cache with listeners.

As in client-go's reflector, bookmarks keep the resource version fresh, a 410 causes a new list, and
a new list detects the deletions that the watch missed. Listeners get every change, in order.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from corejob_kube.cache import Body, Keep, Listener, ObjectCache
from corejob_kube.client import Kube
from corejob_kube.decoding import EVENT_LEVELS, Decoder
from corejob_kube.errors import GoneError, KubeError, UnavailableError
from corejob_kube.resources import Resource
from corejob_process import tasks
from corejob_process.backoff import Backoff
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

__all__ = ["STALE_WATCH_S", "Body", "Informer", "Listener", "silence"]

STALE_WATCH_S: Final = 300.0
"""Seconds after which a silent watch counts as stale for good (see `_IDLE_S`)."""
_WATCH_SECONDS: Final = 300
_IDLE_S: Final = 75.0
"""Idle timeout of a watch: the API server sends a bookmark about once a minute."""
_SHORT_SECONDS: Final = 1.0
"""A watch that the server closes sooner than this was cut short."""
_BACKOFF_MOST: Final = 5.0


class Informer(ObjectCache):
    """A cache of one kind of object in one namespace, updated by a watch.

    Args:
        kube: The client.
        resource: The kind.
        namespace: The namespace.
        selector: Label selector of the objects.
        retry_after: Seconds before the first retry; doubled, up to 5 s, with each failure.
        idle_timeout: Seconds of silence after which a watch is opened anew.
        keep: Returns the part of an object that the cache keeps; None keeps all.
    """

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        namespace: str,
        *,
        selector: str = "",
        retry_after: float = 0.1,
        idle_timeout: float = _IDLE_S,
        keep: Keep | None = None,
    ) -> None:
        super().__init__(resource.plural, keep=keep)
        self._kube = kube
        self._resource = resource
        self._namespace = namespace
        self._selector = selector
        self._retry_after = retry_after
        self._idle_timeout = idle_timeout
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._version = ""
        self.last_seen = 0.0
        """`time.monotonic()` of the last list or watch event, bookmarks included."""

    def start(self, supervision: Supervision | None = None) -> None:
        """Start to list and watch in a background task.

        Args:
            supervision: Supervises the task; None: a new one.
        """
        supervision = supervision or Supervision()
        self._task = supervision.start(f"informer {self._resource.plural}", self._run, restart=True)

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            await tasks.cancel(self._task)
            self._task = None

    async def synced(self) -> None:
        """Wait until the cache has the first list."""
        await self._synced.wait()

    @property
    def is_synced(self) -> bool:
        """True if the cache has the first list."""
        return self._synced.is_set()

    @property
    def version(self) -> int:
        """The resource version up to which the cache is complete; 0 if it is to be listed."""
        return int(self._version or 0)

    async def _run(self) -> None:
        backoff = Backoff(self._retry_after, _BACKOFF_MOST)
        self._version = ""  # after a restart of the task, list again
        while True:
            started = time.monotonic()
            try:
                if not self._version:
                    await self._relist()
                await self._watch()
                backoff.reset()
                if time.monotonic() - started < _SHORT_SECONDS:
                    await asyncio.sleep(self._retry_after)  # the server is shutting down
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
            self._resource, self._namespace, selector=self._selector, keep=self._keep
        )
        self.replace(items, version)
        self.reached(version)
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
        async with self._kube.stream(path, params=params, idle=self._idle_timeout) as lines:
            async for line in lines:
                self._event(*_decoded(self._kube.decoder, self._resource, line))

    def _event(self, kind: str, body: Body, version: str) -> None:
        self.last_seen = time.monotonic()
        if kind == "ERROR":
            message = str(body.get("message"))
            if body.get("code") == 410:
                raise GoneError(410, "Expired", message)
            raise KubeError(int(body.get("code") or 500), str(body.get("reason")), message)
        self._take(kind, body)
        self._version = version

    def _take(self, kind: str, body: Body) -> None:
        try:
            if kind == "BOOKMARK":
                self.reached(body["metadata"]["resourceVersion"])
                return
            self.on_event(kind, body)
        except (AttributeError, LookupError, TypeError, ValueError):
            # A malformed object must not block the other objects.
            log.exception("an object of %s is passed over", self._resource.plural)


def silence(informers: Sequence[Informer], *, since: float) -> float:
    """Return for how many seconds the most stale watch has been silent.

    Args:
        informers: The informers.
        since: `time.monotonic()` of their start; earlier silence does not count.
    """
    now = time.monotonic()
    return max(now - max(informer.last_seen, since) for informer in informers)


def _decoded(decoder: Decoder, resource: Resource, line: bytes) -> tuple[str, Body, str]:
    """Decode a watch event into its type, object and version ("" for an error).

    Raises:
        UnavailableError: The line is not an event, such as half a line; the informer retries.
    """
    try:
        event = decoder.decode(line, EVENT_LEVELS, bounded=not resource.is_custom)
        kind, body = event["type"], event["object"]
        version = "" if kind == "ERROR" else body["metadata"]["resourceVersion"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        text = f"no event of a watch: {line[:100]!r}"
        raise UnavailableError(503, "BadEvent", text) from error
    return kind, body, version
