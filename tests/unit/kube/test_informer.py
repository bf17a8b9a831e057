"""One list, one watch, kept up without end: whatever the server does, the cache follows."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from tests.support.fake_apiserver.scripted import ScriptedApiServer, bookmark, event, item, refusal
from tests.support.signals import DEADLINE

from corejob.names import UNREADABLE
from corejob.nesting import is_text_deeper
from corejob_kube import decoding
from corejob_kube import informer as module
from corejob_kube.client import Kube
from corejob_kube.informer import Informer
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES, Resource


class Watched:
    """An informer, and the calls of its listeners."""

    def __init__(
        self, kube: Kube, selector: str = "", *, resource: Resource = COREJOBS, **given: Any
    ) -> None:
        limits = {"retry_after": 0.001, **given}
        self.informer = Informer(kube, resource, "jobs", selector=selector, **limits)
        self.told: list[tuple[str, bool]] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.informer.listen(self._listen)

    def _listen(self, name: str, _old: Any, new: Any) -> None:
        self.told.append((name, new is not None))
        task = asyncio.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the cache holds."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(condition)

    def versions(self) -> dict[str, int]:
        """Return the versions of the cached objects by name."""
        return {
            body["metadata"]["name"]: int(body["metadata"]["resourceVersion"])
            for body in self.informer
        }

    async def has(self, **versions: int) -> None:
        """Wait until the cache has exactly these objects."""
        await self.until(lambda: self.versions() == versions)


@asynccontextmanager
async def watching(kube: Kube, selector: str = "", **limits: Any) -> AsyncIterator[Watched]:
    watched = Watched(kube, selector, **limits)
    watched.informer.start()
    try:
        async with asyncio.timeout(DEADLINE):
            await watched.informer.synced()
        yield watched
    finally:
        await watched.informer.stop()


async def test_a_list_then_a_watch_from_its_version(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7, item("a", 3), item("b", 5))
    async with watching(kube, "core4.io/corejob") as watched:
        assert watched.informer.is_synced
        assert watched.versions() == {"a": 3, "b": 5}
        assert watched.informer.last_seen > 0
        watch = await server.next_watch()

    assert server.listed == [{"limit": "500", "labelSelector": "core4.io/corejob"}]
    assert watch.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "300",
        "labelSelector": "core4.io/corejob",
    }


async def test_events_change_the_cache(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7, item("a", 3), item("b", 5))
    async with watching(kube) as watched:
        watch = await server.next_watch()
        watch.send(
            event("ADDED", item("c", 8)),
            event("MODIFIED", item("a", 9)),
            event("DELETED", item("b", 10)),
        )
        await watched.has(a=9, c=8)

    assert watched.told == [("a", True), ("b", True), ("c", True), ("a", True), ("b", False)]


async def test_a_watch_that_ends_goes_on_from_the_last_version(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.listing(7)
    async with watching(kube) as watched:
        first = await server.next_watch()
        first.send(event("ADDED", item("a", 8)))
        await watched.has(a=8)
        first.end()
        second = await server.next_watch()
        second.send(event("MODIFIED", item("a", 9)))
        await watched.has(a=9)

    assert second.query["resourceVersion"] == "8"
    assert len(server.listed) == 1


async def test_a_bookmark_moves_the_version_and_shows_life(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.listing(7, item("a", 3))
    async with watching(kube) as watched:
        first = await server.next_watch()
        before = watched.informer.last_seen
        first.send(bookmark(50))
        first.end()
        second = await server.next_watch()
        assert watched.informer.last_seen > before

    assert second.query["resourceVersion"] == "50"
    assert watched.informer.watched_version == 50
    assert watched.versions() == {"a": 3}


@pytest.mark.parametrize("how", ["event", "answer"])
async def test_too_old_a_version_lists_anew(
    server: ScriptedApiServer, kube: Kube, how: str
) -> None:
    server.listing(7, item("a", 3), item("gone", 4))
    server.listing(20, item("a", 15), item("new", 16))
    if how == "answer":
        server.watch_refusals.append(refusal(410, "Expired"))
    async with watching(kube) as watched:
        if how == "event":
            expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            (await server.next_watch()).send(event("ERROR", expired))
        await watched.has(a=15, new=16)
        watch = await server.next_watch()

    assert watch.query["resourceVersion"] == "20"
    assert ("gone", False) in watched.told


async def test_another_error_of_the_watch_goes_on(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7)
    async with watching(kube) as watched:
        broken = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}
        (await server.next_watch()).send(event("ERROR", broken))
        (await server.next_watch()).send(event("ADDED", item("a", 8)))
        await watched.has(a=8)

    assert len(server.listed) == 1


async def test_a_connection_that_breaks_goes_on(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7)
    async with watching(kube) as watched:
        first = await server.next_watch()
        first.send(event("ADDED", item("a", 8)))
        await watched.has(a=8)
        first.cut()
        second = await server.next_watch()
        second.send(event("ADDED", item("b", 9)))
        await watched.has(a=8, b=9)

    assert second.query["resourceVersion"] == "8"


async def test_a_silent_connection_is_opened_anew(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7)
    async with watching(kube, idle_timeout=0.1):
        await server.next_watch()
        second = await server.next_watch()

    assert second.query["resourceVersion"] == "7"


@pytest.mark.parametrize("data", [b'{"type": "ADDED", "obj', b"<html>\n", b'{"type": "ADDED"}\n'])
async def test_an_event_that_can_not_be_read_breaks_the_watch_only(
    server: ScriptedApiServer, kube: Kube, data: bytes
) -> None:
    server.listing(7)
    async with watching(kube) as watched:
        first = await server.next_watch()
        first.raw(data)
        first.end()
        second = await server.next_watch()
        second.send(event("ADDED", item("a", 8)))
        await watched.has(a=8)


async def test_a_list_that_fails_is_tried_again(server: ScriptedApiServer, kube: Kube) -> None:
    server.lists += [refusal(503), refusal(403), refusal(410, "Expired")]
    server.listing(7, item("a", 3))
    async with watching(kube) as watched:
        assert watched.versions() == {"a": 3}

    assert len(server.listed) == 4


async def test_a_list_whose_second_page_is_too_late_begins_again(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.listing(7, item("a", 3), more="token")
    server.lists.append(refusal(410, "Expired"))
    server.listing(9, item("a", 8), item("b", 5))
    async with watching(kube) as watched:
        assert watched.versions() == {"a": 8, "b": 5}


async def test_own_writes_are_not_taken_back_by_a_watch_that_lags(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.listing(7, item("a", 3))
    async with watching(kube) as watched:
        watched.informer.put(item("a", 12))
        (await server.next_watch()).send(
            event("MODIFIED", item("a", 9)), event("ADDED", item("b", 13))
        )
        await watched.has(a=12, b=13)

    assert [name for name, _ in watched.told] == ["a", "a", "b"]


async def test_stopping_twice_or_before_the_start(kube: Kube) -> None:
    informer = Informer(kube, COREJOBS, "jobs")
    await informer.stop()
    assert not informer.is_synced


async def test_silence_is_that_of_the_watch_that_was_silent_longest(kube: Kube) -> None:
    heard, deaf = (Informer(kube, COREJOBS, "jobs") for _ in range(2))
    now = time.monotonic()
    heard.last_seen, deaf.last_seen = now - 10, now - 600
    about = partial(pytest.approx, abs=5.0)
    assert module.silence((heard, deaf), since=now - 900) == about(600)
    assert module.silence((heard, deaf), since=now - 100) == about(100)
    assert module.silence((heard,), since=now - 900) == about(10)


async def test_an_object_that_nobody_can_read_ends_no_watch(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.listing(7, item("a", 3))
    deep = b'{"a":' * 1200 + b"1" + b"}" * 1200
    line = b'{"type":"ADDED","object":{"metadata":{"name":"deep","resourceVersion":"8"},"x":%s}}\n'
    async with watching(kube) as watched:
        watch = await server.next_watch()
        watch.raw(line % deep)
        watch.send(event("ADDED", item("b", 9)))
        await watched.has(a=3, deep=8, b=9)
        body = watched.informer.get("deep")
        assert body is not None
        assert "nested deeper" in body[UNREADABLE]
        watch.raw(line.replace(b"ADDED", b"DELETED").replace(b'"8"', b'"10"') % deep)
        await watched.has(a=3, b=9)


@pytest.mark.parametrize(
    ("resource", "measured"), [(COREJOBS, 2), (TEMPLATES, 2), (JOBS, 0), (PODS, 0)]
)
async def test_only_events_of_our_own_kinds_are_measured(
    server: ScriptedApiServer,
    kube: Kube,
    monkeypatch: pytest.MonkeyPatch,
    resource: Resource,
    measured: int,
) -> None:
    depths: list[int] = []

    def counted(text: bytes, limit: int) -> bool:
        depths.append(limit)
        return is_text_deeper(text, limit)

    server.listing(7)
    async with watching(kube, resource=resource) as watched:
        monkeypatch.setattr(decoding, "is_text_deeper", counted)
        watch = await server.next_watch()
        watch.send(event("ADDED", item("a", 8)), event("ADDED", item("b", 9)))
        await watched.has(a=8, b=9)
    assert len(depths) == measured


async def test_an_object_that_is_none_is_passed_over(
    server: ScriptedApiServer, kube: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    server.listing(7, item("a", 3), {"metadata": {"name": "no version"}}, {}, item("b", 4))
    async with watching(kube) as watched:
        assert watched.versions() == {"a": 3, "b": 4}
        watch = await server.next_watch()
        watch.send(
            event("ADDED", {"metadata": {"resourceVersion": "8"}}),
            event("ADDED", {"metadata": {"name": "odd", "resourceVersion": "x"}}),
            event("ADDED", item("c", 9)),
        )
        await watched.has(a=3, b=4, c=9)
    assert caplog.text.count("is passed over") == 4


async def test_a_listener_that_fails_holds_nobody_up(
    server: ScriptedApiServer, kube: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str, _old: Any, _new: Any) -> None:
        if name == "bad":
            raise RecursionError("too deep")

    server.listing(7)
    watched = Watched(kube)
    watched.informer.listen(fail)
    watched.informer.start()
    watch = await server.next_watch()
    watch.send(event("ADDED", item("bad", 8)), event("ADDED", item("good", 9)))
    await watched.has(bad=8, good=9)
    await watched.informer.stop()
    assert "a listener of corejobs failed on bad" in caplog.text


async def test_only_a_part_of_each_object_is_kept(server: ScriptedApiServer, kube: Kube) -> None:
    def keep(body: dict[str, Any]) -> dict[str, Any]:
        return {"metadata": body["metadata"], "kind": body["kind"]}

    server.listing(7, {**item("a", 3), "kind": "A", "spec": {}}, {"metadata": item("b", 4)})
    informer = Informer(kube, COREJOBS, "jobs", keep=keep)
    watched = Watched(kube)
    watched.informer = informer
    informer.listen(watched._listen)
    informer.start()
    watch = await server.next_watch()
    watch.send(event("ADDED", {**item("c", 8), "kind": "C", "spec": {}}))
    await watched.has(a=3, c=8)
    await informer.stop()
    assert [body.keys() for body in informer] == [{"metadata", "kind"}] * 2
