"""Pod logs as the kubelet serves them, and the ways in which it fails to."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from tests.support.fake_apiserver.statuses import failure, refuse
from tests.support.fake_apiserver.watches import abort
from tests.support.signals import Signal

BASE_NS = int(time.time()) * 10**9


def stamp_text(ns: int) -> str:
    """Return a timestamp as a line of a log has it."""
    second = datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{second}.{ns % 10**9:09}Z"


class PodLog:
    """The log of a container's run.

    Attributes:
        lines: time in ns and text of each line.
        first: index of the first line that rotation has left.
        ended: True if the container has ended.
        open_end: True if the last line has no line end.
        refusal: status code and message of all responses.
        answer: body of all responses, recorded from a real API server.
        previous: log of the container's run before.
        words: text instead of the lines, such as a message of the kubelet.
        no_watcher: text after the lines of a followed log, which then ends.
        requests: parameters of all requests.
        served: number of responses that ended cleanly.
        cut_after: number of bytes after which the next longer response breaks off.
        hidden: indices of lines that a followed log leaves out.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self.first = 0
        self.ended = False
        self.open_end = False
        self.refusal: tuple[int, str] | None = None
        self.answer: dict[str, Any] | None = None
        self.previous: PodLog | None = None
        self.words = ""
        self.no_watcher = ""
        self.requests: list[dict[str, str]] = []
        self.served = 0
        self.cut_after: int | None = None
        self.hidden: set[int] = set()
        self._clock = BASE_NS
        self._asked = Signal()
        self._changed = Signal()
        self._closed = asyncio.Event()

    # --- the container ----------------------------------------------------------------------

    async def write(self, *bodies: bytes | str, after: int = 1000) -> None:
        """Append lines with the current time, but at least `after` ns after the previous one."""
        for body in bodies:
            self._clock = max(self._clock + after, time.time_ns())
            raw = body.encode() if isinstance(body, str) else body
            self.lines.append((self._clock, raw))
        await self.poke()

    async def poke(self) -> None:
        """Let followers read on after a change of the attributes."""
        self._changed.notify()

    async def end(self) -> None:
        """End the container."""
        self.ended = True
        await self.poke()

    async def drop(self) -> None:
        """Break all connections."""
        self._closed.set()
        self._closed = asyncio.Event()
        await self.poke()

    # --- its readers ------------------------------------------------------------------------

    async def until_asked(self, count: int) -> None:
        """Wait until the log was requested `count` times."""
        await self._asked.wait_for(lambda: len(self.requests) >= count)

    async def until_served(self, count: int) -> None:
        """Wait until `count` responses ended cleanly."""
        await self._asked.wait_for(lambda: self.served >= count)

    def chunk(self, index: int, query: Mapping[str, str]) -> bytes:
        """Return what a request gets of the lines from an index on."""
        since, stamps, follow = query.get("sinceTime"), "timestamps" in query, "follow" in query
        least = int(datetime.fromisoformat(since).timestamp()) * 10**9 if since else 0
        parts: list[bytes] = []
        for number, (stamp, body) in enumerate(self.lines[index:], index):
            if stamp >= least and not (follow and number in self.hidden):
                last = self.open_end and number == len(self.lines) - 1
                prefix = stamp_text(stamp).encode() + b" " if stamps else b""
                parts += prefix, body, b"" if last else b"\n"
        return b"".join(parts)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one request for the log."""
        if "previous" in request.query:
            if self.previous is None:
                text = 'previous terminated container "job" in pod "p" not found'
                return refuse(400, text, "BadRequest")
            return await self.previous._serve(request)
        return await self._serve(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.query))
        self._asked.notify()
        if self.answer is not None:
            return failure(self.answer)
        if self.refusal is not None:
            return refuse(*self.refusal)
        response = web.StreamResponse()
        await response.prepare(request)
        if self.words:
            await response.write(self.words.encode())
            return response
        with suppress(ConnectionError):
            await self._stream(request, response)
            self.served += 1
            self._asked.notify()
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        closed = self._closed
        follow, limit = "follow" in request.query, request.query.get("limitBytes")
        index = self.first
        while True:
            chunk = self.chunk(index, request.query)
            index = max(index, len(self.lines))
            if limit and chunk:
                await response.write(chunk[: int(limit)])
                return
            if self.cut_after is not None and len(chunk) > self.cut_after:
                await response.write(chunk[: self.cut_after])
                self.cut_after = None
                abort(request)
                return
            if chunk:
                await response.write(chunk)
            if follow and self.no_watcher:
                await response.write(self.no_watcher.encode())
                return
            if self.ended or not follow:
                return
            await self._until_news(index, closed)
            if closed.is_set():
                abort(request)
                return

    async def _until_news(self, index: int, closed: asyncio.Event) -> None:
        """Wait once for a change, unless there was one since the lines were read."""
        if index == len(self.lines) and not self.ended and not closed.is_set():
            await self._changed.wait()
