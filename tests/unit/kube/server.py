"""An API server of one collection over real HTTP, with the answers that a test tells it to give."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from corejob_kube.client import Kube

DEADLINE = 45.0
PATH = "/apis/core4.io/v1/namespaces/jobs/corejobs"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    """An object."""
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


def event(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """An event of a watch."""
    return {"type": kind, "object": body}


def bookmark(version: int) -> dict[str, Any]:
    """A bookmark."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def refusal(code: int, reason: str = "Refused", **headers: str) -> web.Response:
    """An error answer."""
    body = {"kind": "Status", "reason": reason, "message": f"no: {reason}", "code": code}
    return web.json_response(body, status=code, headers=headers)


class Watch:
    """One watch that a client has opened."""

    def __init__(self, request: web.Request) -> None:
        self.query = dict(request.query)
        self._request = request
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, *events: dict[str, Any]) -> None:
        """Send events."""
        for each in events:
            self._out.put_nowait(json.dumps(each).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._out.put_nowait(data)

    def end(self) -> None:
        """End the answer in good order."""
        self._out.put_nowait(None)

    def cut(self) -> None:
        """Break the connection."""
        assert self._request.transport is not None
        self._request.transport.abort()
        self.end()

    async def serve(self) -> web.StreamResponse:
        """Write what is sent until the end."""
        response = web.StreamResponse()
        await response.prepare(self._request)
        try:
            while (data := await self._out.get()) is not None:
                await response.write(data)
        except ConnectionError:
            pass
        return response


class Server:
    """Lists by `lists`, oldest answer first and the last one for ever; hands out the watches."""

    def __init__(self) -> None:
        self.lists: list[Handler | dict[str, Any] | web.Response] = []
        self.watch_refusals: list[web.Response] = []
        self.requests: list[web.Request] = []
        self.answer: Handler | None = None
        self.watches: asyncio.Queue[Watch] = asyncio.Queue()
        self._open: list[Watch] = []
        self.url = ""

    async def next_watch(self) -> Watch:
        """The next watch that the client opens."""
        async with asyncio.timeout(DEADLINE):
            return await self.watches.get()

    def listing(self, version: int, *items: dict[str, Any], more: str = "") -> None:
        """Answer a list, or a page of one, with these items."""
        meta = {"resourceVersion": str(version)} | ({"continue": more} if more else {})
        self.lists.append({"items": list(items), "metadata": meta})

    @property
    def listed(self) -> list[dict[str, str]]:
        """The queries of all lists."""
        return [dict(each.query) for each in self.requests if "watch" not in each.query]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
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
        watch = Watch(request)
        self._open.append(watch)
        self.watches.put_nowait(watch)
        return await watch.serve()

    def end_all(self) -> None:
        """End all watches."""
        for watch in self._open:
            watch.end()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server on a free port."""
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.end_all()
        await runner.cleanup()


def client(url: str) -> Kube:
    """A client, not yet open."""
    configuration = Configuration()
    configuration.host = url
    return Kube(configuration, user_agent="test")
