"""Streams over real connections: order, modes, resuming, slow and vanished clients, errors."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.faults import ALWAYS, ANY
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import (
    DUMMY,
    STARTED,
    Record,
    RunningApi,
    enqueue,
    running,
    stream,
)

from corejob_api.streams import follower
from corejob_journal.store import StoreUnavailable, Writer
from corejob_journal.store.records import NewGap

NOON = "2026-11-24T12:00:00Z"


async def test_modes_and_order(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log("a", "b")
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/follow/{job_id}?follow=false") as frames:
        found = await frames.take(3)
        await recorder.log("c")
        found += await frames.take(1)
        await served.status(job_id, state="error")
        found += await frames.take(1)
        await recorder.log("d")
        await served.log_complete(job_id)
        found += await frames.rest()
    assert [data.get("message") for event, data in found if event == "log"] == list("abcd")
    assert [data["mode"] for event, data in found if event == "log"] == [
        "prelog",
        "prelog",
        "watchlog",
        "postlog",
    ]
    assert found[-1] == ("close", {"state": 2, "log": 4})


ENDED_AT_ONCE: dict[str, Any] = {
    "trial": 1,
    "startTime": "2026-11-24T00:00:01Z",
    "node": "node-1",
    "pod": "pod-1",
}


@pytest.mark.parametrize(
    ("state", "ends"), [("complete", {}), ("failed", {"attemptsLeft": 1}), ("pending", {})]
)
async def test_running_is_sent_though_it_was_written_with_the_end_only(
    served: RunningApi, caller: httpx.AsyncClient, state: str, ends: dict[str, Any]
) -> None:
    job_id = await enqueue(caller, {"attempts": 2})
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        assert (await frames.next())[1]["state"] == "pending"
        await served.status(job_id, state=state, finishTime=NOON, **ENDED_AT_ONCE, **ends)
        (_, run), (_, end) = await frames.take(2)
    assert (run["state"], run["trial"], run["attempts_left"]) == ("running", 1, 2)
    assert run["started_at"] == end["started_at"] == "2026-11-24T00:00:01"
    assert (run["locked"]["hostname"], run["locked"]["worker"]) == ("node-1", "pod-1")
    assert (run["finished_at"], end["state"]) == (None, state)


async def test_running_is_sent_once(served: RunningApi, caller: httpx.AsyncClient) -> None:
    job_id = await enqueue(caller)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        await served.status(job_id, state="running", **ENDED_AT_ONCE)
        await served.status(job_id, state="complete")
        await served.status(job_id, removedTime=NOON)
        await served.log_complete(job_id)
        found = await frames.rest()
    states = [data["state"] for event, data in found if event == "state"]
    assert states == ["running", "complete", "complete"]


async def test_a_removed_job_is_never_shown_as_running(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    job_id = await enqueue(caller)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        await caller.put(f"job/remove/{job_id}")
        await served.status(job_id, state="complete", removedTime=NOON, **ENDED_AT_ONCE)
        await served.log_complete(job_id)
        found = await frames.rest()
    assert {data["state"] for event, data in found if event == "state"} == {"pending", "complete"}


async def test_a_burst_of_lines_to_many_followers(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)

    async def follow(path: str) -> list[str]:
        async with stream(caller, "GET", path) as frames:
            return [data["message"] for event, data in await frames.rest() if event == "log"]

    paths = [f"job/follow/{job_id}", f"job/log/{job_id}?follow=true"] * 3
    followers = [asyncio.create_task(follow(path)) for path in paths]
    lines = [f"line {i}" for i in range(3000)]
    for start in range(0, 3000, 100):
        await recorder.log(*lines[start : start + 100])
    await served.status(job_id, state="complete")
    await served.log_complete(job_id)
    for found in await asyncio.gather(*followers):
        assert found == lines
    await served.until(lambda: served.service.hub.feeds == 0)


async def test_the_log_alone(served: RunningApi, caller: httpx.AsyncClient, record: Record) -> None:
    job_id = await enqueue(caller)
    await (await record(job_id)).log("a")
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/log/{job_id}", params={"follow": "true"}) as frames:
        assert (await frames.next())[0] == "log"
        await served.status(job_id, progress={"value": 0.5})
        await served.status(job_id, state="complete")
        await served.log_complete(job_id)
        assert await frames.rest() == [("close", {"log": 1})]


async def test_a_past_job_streams_at_once(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    journal: Callable[[str], Awaitable[None]],
) -> None:
    job_id = await enqueue(caller)
    await (await record(job_id)).log(*(f"line {i}" for i in range(1200)))
    await served.status(job_id, state="complete")
    await journal(job_id)
    await served.until(lambda: not served.service.queue.get(job_id))
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        found = await frames.rest()
    assert [event for event, _ in found] == ["state"] + ["log"] * 1200 + ["close"]
    assert {data["mode"] for event, data in found if event == "log"} == {"prelog"}
    assert found[-1][1] == {"state": 1, "log": 1200}


async def test_a_job_whose_resource_vanishes_goes_on_from_the_store(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    journal: Callable[[str], Awaitable[None]],
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        await recorder.log("last words")
        await journal(job_id)
        assert [event for event, _ in await frames.rest()] == ["log", "close"]


async def test_resuming_after_the_last_event(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    await (await record(job_id)).log("a", "b", "c", "d")
    await served.status(job_id, state="error")
    await served.log_complete(job_id)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.take(3)
        last = frames.last_id
    for more in (
        {"headers": {"Last-Event-ID": last}},
        {"params": {"last_event_id": last}},
    ):
        async with stream(caller, "GET", f"job/follow/{job_id}", **more) as frames:
            found = await frames.rest()
        assert [data["message"] for event, data in found if event == "log"] == ["c", "d"]
    beyond = {"last_event_id": "000000009999"}
    async with stream(caller, "GET", f"job/follow/{job_id}", params=beyond) as frames:
        assert [event for event, _ in await frames.rest()] == ["state", "close"]


async def test_gaps_are_sent_at_their_position(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log("a")
    await recorder.log("b", gap=NewGap(2, 5, "the node lost them"))
    await served.status(job_id, **STARTED)
    told = {
        "after": "000000000001",
        "from": 2,
        "to": 5,
        "reason": "the node lost them",
    }
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true") as frames:
        found = await frames.take(3)
        assert [event for event, _ in found] == ["log", "gap", "log"]
        assert found[1][1] == told
        await recorder.log("c", gap=NewGap(7, None, "gone"))
        assert [event for event, _ in await frames.take(2)] == ["gap", "log"]
        await recorder.log(gap=NewGap(9, 9, "the end is missing"))
        await served.status(job_id, state="error")
        await served.log_complete(job_id)
        (gap, close) = await frames.rest()
    assert gap[1]["reason"] == "the end is missing"
    assert close == ("close", {"log": 3, "gap": 3})


@pytest.mark.parametrize("state", ["failed", "deferred"])
async def test_a_waiting_job_keeps_the_stream_open_until_it_is_removed(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, state: str
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, state=state, trial=1)
    await served.log_complete(job_id)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        assert (await frames.next())[1]["state"] == state
        await recorder.log("still there")
        assert (await frames.next())[0] == "log"
        await caller.put(f"job/remove/{job_id}")
        assert (await frames.next())[1]["flag"]["removed"] is True
        await served.status(job_id, removedTime="2026-11-24T00:00:09Z")
        found = await frames.rest()
    assert [event for event, _ in found] == ["state", "close"]


async def test_kill_and_restart_are_streamed(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        await caller.put(f"job/kill/{job_id}")
        assert (await frames.next())[1]["state"] == "killed"
        async with stream(caller, "PUT", f"job/restart/{job_id}") as restarted:
            _, child = await restarted.next()
            assert child["enqueued"]["parent_id"] == job_id
            assert (await frames.next())[1]["enqueued"]["child_id"] == child["_id"]
            # The old job's pod is still ending, and its log is still streamed.
            await (await record(job_id)).log("terminated")
            assert (await frames.next())[1]["message"] == "terminated"
            await served.status(job_id, state="killed")
            await served.log_complete(job_id)
            assert (await frames.rest())[-1][0] == "close"


async def test_a_client_that_hangs_up_is_let_go_and_the_job_goes_on(
    served: RunningApi, caller: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    body = {"qual_name": DUMMY}
    async with stream(caller, "POST", "job", json=body) as frames:
        _, document = await frames.next()
        assert len(served.service.hub) == 1
    await served.until(lambda: len(served.service.hub) == 0)
    assert served.service.hub.feeds == 0
    assert "kill" not in kube.objects["corejobs"][document["_id"]]["spec"]


@asynccontextmanager
async def raw_stream(url: str, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Open a stream that the test reads when it chooses."""
    host, port = url.removeprefix("http://").split(":")
    sock = socket.socket()
    # The kernel would let it grow to a size that holds all that a slow client has not read.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    yield reader
    writer.close()


async def test_a_slow_client_delays_no_other_and_loses_no_line(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, monkeypatch: Any
) -> None:
    monkeypatch.setattr(follower, "_STATES", 4)
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)
    path = f"/core4/api/v1/job/follow/{job_id}?username=admin&password=hans"
    assert served.url is not None
    async with raw_stream(served.url, path) as slow:
        await served.until(lambda: len(served.service.hub) == 1)
        async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
            await frames.next()
            text = "x" * 20_000
            for number in range(30):
                await recorder.log(*(f"{number} {text}" for _ in range(100)))
                assert len(await frames.take(100)) == 100
            for number in range(1, 9):
                await served.status(job_id, progress={"value": number / 10})
                await frames.next()
            await served.status(job_id, state="complete")
            await served.log_complete(job_id)
            assert (await frames.rest())[-1] == ("close", {"state": 10, "log": 3000})
        assert len(served.service.hub) == 1
        async with asyncio.timeout(60):
            whole = await slow.read()
    events = [line[7:] for line in whole.split(b"\n") if line.startswith(b"event: ")]
    assert events.count(b"log") == 3000
    assert events.count(b"lagged") == 1
    assert whole.count(b'data: {"dropped":') == 1
    assert events[-1] == b"close"
    assert events.count(b"state") < 10


async def test_no_state_is_lost_though_the_loop_was_busy(
    served: RunningApi, caller: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await enqueue(caller)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        for state in ("running", "failed", "running", "complete"):
            kube.change("corejobs", job_id, {"status": {"state": state}})
        found = await frames.rest()
    states = [data["state"] for event, data in found if event == "state"]
    assert states == ["running", "failed", "running", "complete"]


class Reads:
    """A store's reads of records, which fail while a test says so, also those that have begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Any, error: Exception) -> None:
        self.failing = False
        self.failed = asyncio.Event()
        self._error = error
        for name in ("log_after", "log_scan"):
            monkeypatch.setattr(store, name, self._of(getattr(store, name)))

    def _of(self, read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def reads(*arguments: Any, **more: Any) -> Any:
            self._check()
            found = await read(*arguments, **more)
            self._check()
            return found

        return reads

    def _check(self) -> None:
        if self.failing:
            self.failed.set()
            raise self._error


async def test_the_store_away_for_a_while(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, monkeypatch: Any
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)
    store = served.service.resources.log._store
    reads = Reads(monkeypatch, store, StoreUnavailable("away"))
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        await served.until_live(job_id)
        reads.failing = True
        await recorder.log("a")
        await reads.failed.wait()
        assert (await caller.get(f"job/log/{job_id}", params={"filter": '{"a": 1}'})).headers[
            "Retry-After"
        ]
        # Frames of the state still arrive meanwhile.
        await served.status(job_id, progress={"value": 0.5})
        assert (await frames.next())[0] == "state"
        reads.failing = False
        assert (await frames.next())[1]["message"] == "a"


async def test_a_stream_begins_though_the_store_is_away(
    kube: FakeApiServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """The file does not exist before the recorder has created it."""
    job_id = await enqueue(client)
    away = f"sqlite:///{tmp_path}/away.db"
    async with (
        running(kube, away, tmp_path, loopback=True, keep_alive=0.05) as api,
        api.client() as other,
        other.stream("GET", f"job/follow/{job_id}") as response,
    ):
        lines = response.aiter_lines()
        assert await anext(lines) == "event: state"
        while await anext(lines) != ": keep-alive":
            pass
        writer = await Writer.open(away)
        try:
            await api.status(job_id, state="error")
            async with asyncio.timeout(DEADLINE):
                rest = [line async for line in lines if not line.startswith(":")]
        finally:
            await writer.close()
    assert rest[-2] == 'data: {"state":2,"log":0}'


async def test_a_silent_stream_says_that_it_lives(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path
) -> None:
    async with (
        running(kube, store_url, tmp_path, loopback=True, keep_alive=0.05) as api,
        api.client() as client,
        client.stream("POST", "job", json={"qual_name": DUMMY}) as response,
    ):
        found = []
        async with asyncio.timeout(DEADLINE):
            async for line in response.aiter_lines():
                found.append(line)
                if found.count(": keep-alive") == 3:
                    break
    assert [line.partition(":")[0] for line in found[:3]] == ["event", "data", ""]
    assert json.loads(found[1].removeprefix("data: "))["state"] == "pending"


async def test_the_end_of_the_server_ends_streams_without_close(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    job_id = await enqueue(caller)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        served.service.hub.end_streams()
        assert await frames.rest() == []
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        assert await frames.rest() == []


async def test_kubernetes_away_for_a_while(
    served: RunningApi, caller: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await enqueue(caller)
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        requests = len(kube.requests)
        kube.refuse(ANY, ANY, 503, times=ALWAYS)
        kube.watches.end_all()
        kube.change("corejobs", job_id, {"status": {"state": "running"}})
        await served.until(lambda: len(kube.requests) > requests)
        kube.allow_all()
        assert (await frames.next())[1]["state"] == "running"


async def test_a_stream_that_breaks_ends_without_close(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, monkeypatch: Any
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    store = served.service.resources.log._store
    reads = Reads(monkeypatch, store, RuntimeError("a mistake of ours"))
    async with stream(caller, "GET", f"job/follow/{job_id}") as frames:
        await frames.next()
        await served.until_live(job_id)
        reads.failing = True
        await recorder.log("a")
        assert await frames.rest() == []
    await served.until(lambda: served.service.hub.feeds == 0)
