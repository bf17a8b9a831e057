"""Responses of the API server as kopf reads them: none ends a watch for good, and no old news."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import kopf
import pytest
from aiohttp import web
from kopf._cogs.clients import api as kopf_api

from corejob.names import UNREADABLE
from corejob_kube.cache import ObjectCache
from corejob_kube.decoding import Decoder
from corejob_operator.responses import readable
from corejob_process import sockets

GOOD: dict[str, Any] = {
    "type": "ADDED",
    "object": {"metadata": {"name": "good", "resourceVersion": "3"}},
}
DEEP = (
    b'{"type": "ADDED", "object": {"metadata": {"name": "deep", "resourceVersion": "2"}, "spec": '
    + b'{"a":' * 1200
    + b"1"
    + b"}" * 1202
)


class Server:
    """Gives the same response to all requests."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=self.status)
        response.content_type = "application/json"
        await response.prepare(request)
        for begin in range(0, len(self.body), 1000):  # lines arrive in pieces
            await response.write(self.body[begin : begin + 1000])
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    with sockets.listening("127.0.0.1", 0) as sock:
        await web.SockSite(runner, sock).start()
        made.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        yield made
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(response_class=readable(Decoder(), {})) as made:
        yield made


@pytest.fixture
def cache() -> ObjectCache:
    """A cache of things that has version 3 of `good`."""
    made = ObjectCache("things")
    made.put(GOOD["object"])
    return made


@pytest.fixture
async def cached(cache: ObjectCache) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that knows this cache."""
    response = readable(Decoder(), {"things": cache})
    async with aiohttp.ClientSession(response_class=response) as made:
        yield made


async def watched(session: aiohttp.ClientSession, url: str) -> list[Any]:
    """Return the events of a watch, read as kopf reads it."""
    async with session.get(url) as response:
        return [json.loads(line) async for line in kopf_api.iter_jsonlines(response.content)]


def test_kopf_takes_a_session_of_ours() -> None:
    assert kopf.AiohttpSession.__dataclass_fields__["aiohttp_session"]


async def test_an_object_too_deep_for_kopf_is_cut_and_the_watch_goes_on(
    server: Server, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(RecursionError):
        json.loads(DEEP)
    good = json.dumps(GOOD).encode()
    server.body = b"\n".join([good, DEEP, good, b""])
    first, deep, last = await watched(session, server.url)
    assert (first, last) == (GOOD, GOOD)
    assert deep["object"]["metadata"] == {"name": "deep", "resourceVersion": "2"}
    assert UNREADABLE in deep["object"]


async def test_an_incomplete_line_at_the_end_is_dropped(
    server: Server, session: aiohttp.ClientSession
) -> None:
    server.body = json.dumps(GOOD).encode() + b'\n{"type": "ADD'
    assert await watched(session, server.url) == [GOOD]


async def test_an_error_within_a_watch_makes_kopf_list_again(
    server: Server, session: aiohttp.ClientSession
) -> None:
    broken = {"type": "ERROR", "object": {"code": 500, "message": "etcd is away"}}
    server.body = json.dumps(broken).encode() + b"\n"
    (found,) = await watched(session, server.url)
    assert (found["type"], found["object"]["code"]) == ("ERROR", 410)


@pytest.mark.parametrize("line", [b"<html>", b"[]", b'{"type": 1}', b"[" * 5000])
async def test_a_line_that_is_not_an_event_breaks_the_connection(
    server: Server, session: aiohttp.ClientSession, line: bytes
) -> None:
    server.body = line + b"\n"
    with pytest.raises(aiohttp.ClientPayloadError):  # kopf reconnects
        await watched(session, server.url)


async def test_a_list_is_cut_too_and_a_malformed_one_breaks_the_connection(
    server: Server, session: aiohttp.ClientSession
) -> None:
    deep = DEEP.removeprefix(b'{"type": "ADDED", "object": ')[:-1]
    server.body = b'{"items": [%s], "metadata": {}}' % deep
    async with session.get(server.url) as response:
        assert UNREADABLE in (await response.json())["items"][0]
    server.body = b"<html>"
    async with session.get(server.url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.json()


async def test_an_error_answer_is_as_it_is(server: Server, session: aiohttp.ClientSession) -> None:
    server.status, server.body = 403, b'{"reason": "Forbidden"}'
    async with session.get(server.url) as response:
        assert await response.json() == {"reason": "Forbidden"}


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": version}}}


async def test_an_event_that_the_cache_has_reaches_kopf_as_a_bookmark(
    server: Server, cached: aiohttp.ClientSession, cache: ObjectCache
) -> None:
    news = [event("MODIFIED", "good", "4"), event("DELETED", "good", "5"), event("ADDED", "b", "6")]
    odd = {"type": "ADDED", "object": {"metadata": {"name": "good", "resourceVersion": "x"}}}
    server.body = b"\n".join(json.dumps(one).encode() for one in (GOOD, *news, odd)) + b"\n"
    first, *others = await watched(cached, server.url + "/namespaces/jobs/things")
    assert first == {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "3"}}}
    assert others == [*news, odd]
    assert cache.watched_version == 3


async def test_a_deletion_always_reaches_kopf_which_forgets_the_object(
    server: Server, cached: aiohttp.ClientSession, cache: ObjectCache
) -> None:
    deletion = event("DELETED", "good", "4")
    cache.drop(deletion["object"])
    server.body = json.dumps(deletion).encode() + b"\n"
    assert await watched(cached, server.url + "/things") == [deletion]


async def test_a_list_leaves_out_what_the_cache_has(
    server: Server, cached: aiohttp.ClientSession, cache: ObjectCache
) -> None:
    newer = event("", "good", "4")["object"]
    items = [GOOD["object"], newer, {"metadata": None}]
    server.body = json.dumps({"items": items, "metadata": {"resourceVersion": "9"}}).encode()
    async with cached.get(server.url + "/things") as response:
        answer = await response.json()
    assert answer == {"items": items[1:], "metadata": {"resourceVersion": "9"}}
    assert cache.watched_version == 3
