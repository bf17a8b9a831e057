"""Watch streams, and the changes that they deliver."""

import asyncio
import json
from collections import deque
from typing import Any

from aiohttp import web
from tests.support.fake_apiserver.objects import Body, matches
from tests.support.fake_apiserver.statuses import ApiError

_HISTORY = 10_000


def encode(kind: str, body: Body) -> bytes:
    """Return an event as a line of a watch."""
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


class WatchStream:
    """One watch that a client has opened.

    Attributes:
        query: the parameters of the request.
    """

    def __init__(self, request: web.Request) -> None:
        self.query = dict(request.query)
        self._request = request
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    @property
    def connection(self) -> object:
        """The connection of the request."""
        return self._request.protocol

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._queue.put_nowait(data)

    def end(self) -> None:
        """End the response cleanly."""
        self._queue.put_nowait(None)

    def cut(self) -> None:
        """Break the connection."""
        abort(self._request)
        self.end()

    async def serve(self) -> web.StreamResponse:
        """Write what is sent until the end, or until `timeoutSeconds` have passed."""
        response = web.StreamResponse()
        seconds = self.query.get("timeoutSeconds")
        try:
            async with asyncio.timeout(float(seconds) if seconds else None):
                await response.prepare(self._request)
                while (data := await self._queue.get()) is not None:
                    await response.write(data)
        except (ConnectionError, TimeoutError):
            pass
        return response


class Change:
    """One change of an object, for each watch that it concerns."""

    def __init__(self, plural: str, kind: str, body: Body, old: Body | None) -> None:
        self.plural = plural
        self.version = int(body["metadata"]["resourceVersion"])
        self._kind = kind
        self._body = body
        self._old = old

    def line(self, selector: str) -> bytes | None:
        """Return the event for a watch with this selector, or None.

        An object whose labels begin or cease to match is added or deleted for the watch.
        """
        before = self._old is not None and matches(self._old, selector)
        after = self._kind != "DELETED" and matches(self._body, selector)
        if not before and not after:
            return None
        kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        return encode(kind, self._body)


class WatchHub:
    """Delivers changes to the open watches, and keeps them for watches from an older version."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=_HISTORY)
        self._oldest = 0
        self._open: list[tuple[str, str, WatchStream]] = []

    def deliver(self, change: Change) -> None:
        """Deliver a change."""
        if len(self._changes) == _HISTORY:
            self._oldest = self._changes[0].version
        self._changes.append(change)
        for plural, selector, stream in self._open:
            if plural == change.plural:
                _send(stream, change, selector)

    def kinds(self) -> set[str]:
        """Return the kinds with an open watch."""
        return {plural for plural, _, _ in self._open}

    def compact(self, version: int) -> None:
        """Forget all changes; a watch from a version before this one gets 410 Expired."""
        self._changes.clear()
        self._oldest = version

    def send_bookmarks(self, version: int) -> None:
        """Send a bookmark to all watches that allow them."""
        for _, _, stream in self._open:
            if stream.query.get("allowWatchBookmarks") == "true":
                stream.raw(encode("BOOKMARK", {"metadata": {"resourceVersion": str(version)}}))

    def end_all(self) -> None:
        """End all watches cleanly."""
        for _, _, stream in self._open:
            stream.end()

    def cut_all(self) -> None:
        """Break the connections of all watches."""
        for _, _, stream in self._open:
            stream.cut()

    async def serve(
        self, request: web.Request, plural: str, objects: list[Body]
    ) -> web.StreamResponse:
        """Serve a watch; one without a version begins with all objects."""
        stream = WatchStream(request)
        selector = stream.query.get("labelSelector", "")
        since = int(stream.query.get("resourceVersion") or 0)
        if since and since < self._oldest:
            stream.raw(encode("ERROR", ApiError(410, "too old resource version", "Expired").body))
            stream.end()
            return await stream.serve()
        if since:
            for change in self._changes:
                if change.plural == plural and change.version > since:
                    _send(stream, change, selector)
        else:
            for body in objects:
                stream.raw(encode("ADDED", body))
        watch = (plural, selector, stream)
        self._open.append(watch)
        try:
            return await stream.serve()
        finally:
            self._open.remove(watch)


def _send(stream: WatchStream, change: Change, selector: str) -> None:
    line = change.line(selector)
    if line is not None:
        stream.raw(line)


def abort(request: web.Request) -> None:
    """Break the connection of a request, unless the client has closed it."""
    transport: Any = request.transport
    if transport is not None:
        transport.abort()
