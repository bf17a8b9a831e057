"""An API server of one collection that sends what a test tells it to, valid or not.

For tests of the client and the informer: `FakeApiServer` can't be brought to send what a real API
server never sends, nor lists and events of chosen versions.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from tests.support.fake_apiserver.http import Handler, HttpServer
from tests.support.fake_apiserver.statuses import refuse
from tests.support.fake_apiserver.watches import WatchStream
from tests.support.signals import DEADLINE

from corejob_kube.resources import COREJOBS

PATH = COREJOBS.path("jobs")


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    """Return an object."""
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


def event(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return an event of a watch."""
    return {"type": kind, "object": body}


def bookmark(version: int) -> dict[str, Any]:
    """Return a bookmark of a watch."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def refusal(code: int, reason: str = "Refused", **headers: str) -> web.Response:
    """Return an error response with headers."""
    response = refuse(code, f"no: {reason}", reason)
    response.headers.update(headers)
    return response


class ScriptedWatch(WatchStream):
    """A watch whose events the test sends."""

    def send(self, *events: dict[str, Any]) -> None:
        """Send events."""
        for one in events:
            self.raw(json.dumps(one).encode() + b"\n")


class ScriptedApiServer:
    """Answers lists by `lists`, in order, repeating the last one, and hands out the watches.

    Attributes:
        lists: bodies, responses or handlers.
        watch_refusals: responses to the next watches.
        answer: handler of all requests instead.
        requests: all requests.
        watches: the watches that were opened and not yet handed out.
    """

    def __init__(self) -> None:
        self.lists: list[Handler | dict[str, Any] | web.Response] = []
        self.watch_refusals: list[web.Response] = []
        self.requests: list[web.Request] = []
        self.answer: Handler | None = None
        self.watches: asyncio.Queue[ScriptedWatch] = asyncio.Queue()
        self.url = ""
        self._open: list[ScriptedWatch] = []

    async def next_watch(self) -> ScriptedWatch:
        """Return the next watch that the client opens."""
        async with asyncio.timeout(DEADLINE):
            return await self.watches.get()

    def listing(self, version: int, *items: dict[str, Any], more: str = "") -> None:
        """Answer a list, or a page of one, with these items."""
        meta = {"resourceVersion": str(version)} | ({"continue": more} if more else {})
        self.lists.append({"items": list(items), "metadata": meta})

    @property
    def listed(self) -> list[dict[str, str]]:
        """The queries of all lists."""
        return [dict(one.query) for one in self.requests if "watch" not in one.query]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        await request.read()
        self.requests.append(request)
        if self.answer is not None:
            return await self.answer(request)
        if "watch" not in request.query:
            answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if isinstance(answer, dict):
                return web.json_response(answer)
            # A response can be sent once.
            return answer if isinstance(answer, web.Response) else await answer(request)
        if self.watch_refusals:
            return self.watch_refusals.pop(0)
        watch = ScriptedWatch(request)
        self._open.append(watch)
        self.watches.put_nowait(watch)
        return await watch.serve()

    def end_all(self) -> None:
        """End all watches."""
        for watch in self._open:
            watch.end()


@asynccontextmanager
async def serving() -> AsyncIterator[ScriptedApiServer]:
    """Serve on a free port."""
    server = ScriptedApiServer()
    http = HttpServer(server.handle)
    server.url = await http.start()
    try:
        yield server
    finally:
        server.end_all()
        await http.stop()
