"""The live counts of the queue, over real connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import tests.unit.api.conftest as surroundings
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import CHEAP, DUMMY, RunningApi, enqueue, running, stream

from corejob import model, timestamps
from corejob.model import CoreJob
from corejob.state_counts import StateCounts
from corejob_api.metrics import ApiMetrics
from corejob_api.streams import counts as counts_stream
from corejob_api.streams.counts import Summary
from corejob_api.streams.stream import Streams
from corejob_journal.store import Writer

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LONG = 3600.0


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    return lambda seconds: monkeypatch.setattr(counts_stream, "_PAUSE_S", seconds)


def counts(frame: tuple[str, Any]) -> dict[str, int]:
    """Return the counts of a frame."""
    event, data = frame
    assert event == "summary"
    assert timestamps.parse(data["created"]) is not None
    return {name: number for name, number in data.items() if name != "created"}


async def test_at_once_and_when_it_changes(
    served: RunningApi, caller: httpx.AsyncClient, pause: Callable[[float], None]
) -> None:
    pause(0.0)
    async with stream(caller, "GET", "event") as frames:
        assert frames.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert frames.response.headers["Cache-Control"] == "no-cache, no-transform"
        assert counts(await frames.next()) == {"total": 0}
        job_id = await enqueue(caller)
        assert counts(await frames.next()) == {"total": 1, "pending": 1}
        other = await enqueue(caller, {"n": 1})
        assert counts(await frames.next()) == {"total": 2, "pending": 2}
        await served.status(job_id, state="running")
        assert counts(await frames.next()) == {"total": 2, "pending": 1, "running": 1}
        await caller.put(f"job/kill/{other}")
        assert counts(await frames.next()) == {"total": 2, "running": 1, "killed": 1}
        await served.status(job_id, state="complete")
        assert counts(await frames.next()) == {"total": 1, "killed": 1}
        served.kube.remove("corejobs", other)
        assert counts(await frames.next()) == {"total": 0}
        assert frames.last_id == ""


async def test_a_later_client_gets_the_present_counts(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    for number in range(3):
        await enqueue(caller, {"n": number})
    before = datetime.now(UTC).replace(tzinfo=None)
    async with stream(caller, "GET", "event") as frames:
        event, data = await frames.next()
    assert counts((event, data)) == {"total": 3, "pending": 3}
    assert abs((datetime.fromisoformat(data["created"]) - before).total_seconds()) < DEADLINE


async def test_a_change_that_leaves_the_counts_is_not_sent(
    served: RunningApi, caller: httpx.AsyncClient, pause: Callable[[float], None]
) -> None:
    pause(0.0)
    job_id = await enqueue(caller)
    await served.status(job_id, state="running")
    async with stream(caller, "GET", "event") as frames:
        await frames.next()
        for value in (0.1, 0.2, 0.3):
            await served.status(job_id, progress={"value": value})
        await served.status(job_id, state="error")
        assert counts(await frames.next()) == {"total": 1, "error": 1}


async def test_no_two_within_a_pause_but_signs_of_life(
    kube: FakeApiServer,
    writer: Writer,
    store_url: str,
    tmp_path: Path,
    pause: Callable[[float], None],
) -> None:
    pause(LONG)
    async with (
        running(kube, store_url, tmp_path, loopback=True, keep_alive=0.05) as api,
        api.client() as client,
        client.stream("GET", "event") as response,
    ):
        lines = response.aiter_lines()
        async with asyncio.timeout(DEADLINE):
            assert await anext(lines) == "event: summary"
            assert (await anext(lines)).startswith('data: {"created":')
            await enqueue(client)
            found = [line async for line in _until(lines, ": keep-alive", 3)]
        assert set(found) == {"", ": keep-alive"}


async def _until(lines: AsyncIterator[str], wanted: str, times: int) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        times -= line == wanted
        if not times:
            return


async def test_changes_within_a_pause_are_sent_after_it(
    served: RunningApi, caller: httpx.AsyncClient, pause: Callable[[float], None]
) -> None:
    pause(0.3)
    async with stream(caller, "GET", "event") as frames:
        found = [(await frames.next())[1]]
        for number in range(5):
            await enqueue(caller, {"n": number})
        while found[-1]["total"] < 5:
            found.append((await frames.next())[1])
    times = [datetime.fromisoformat(data["created"]) for data in found]
    pauses = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert pauses
    assert min(pauses) > 0.29


async def test_a_client_that_hangs_up_is_let_go(
    served: RunningApi, caller: httpx.AsyncClient, pause: Callable[[float], None]
) -> None:
    pause(LONG)
    state_counts = served.service.queue.state_counts
    async with stream(caller, "GET", "event") as frames:
        await frames.next()
        assert (len(served.service.hub), len(state_counts._listeners)) == (1, 1)
    await served.until(lambda: len(served.service.hub) == 0)
    assert not state_counts._listeners


async def test_the_end_of_the_server_ends_it(
    served: RunningApi, caller: httpx.AsyncClient, pause: Callable[[float], None]
) -> None:
    pause(LONG)
    async with stream(caller, "GET", "event") as frames:
        await frames.next()
        served.service.hub.end_streams()
        assert await frames.rest() == []
    async with stream(caller, "GET", "event") as frames:
        assert await frames.rest() == []


async def test_every_user_who_may_get_can_follow_the_counts(
    kube: FakeApiServer,
    writer: Writer,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poster = {"name": "poster", "passwordHash": CHEAP.hash("poster"), "perm": ["api://core4/c"]}
    monkeypatch.setattr(surroundings, "USERS", [*surroundings.USERS, poster])
    async with running(kube, store_url, tmp_path, loopback=True) as api:
        async with api.client() as admin:
            await admin.post("job", json={"qual_name": surroundings.SECRET, "follow": False})
        async with api.client("reader") as client:
            async with stream(client, "GET", "event") as frames:
                assert counts(await frames.next()) == {"total": 1, "pending": 1}
            assert (await client.post("event")).status_code == 405
        async with api.client("poster") as client:
            assert (await client.get("event")).status_code == 403
        async with api.client(None) as client:
            assert (await client.get("/core4/api/v1/event")).status_code == 401


async def test_the_metrics(
    served: RunningApi, caller: httpx.AsyncClient, pause: Callable[[float], None]
) -> None:
    pause(0.0)
    async with stream(caller, "GET", "event") as frames:
        await frames.next()
        await enqueue(caller)
        await frames.next()
        text = (await served.probe("/metrics")).text
    assert "core4_api_streams 1.0" in text
    assert 'core4_api_frames_total{event="summary"} 2.0' in text
    assert 'core4_api_request_seconds_count{method="GET",route="/event",status="200"} 1.0' in text


# --- one stream by itself -----------------------------------------------------------------------


def job(number: int, state: str = "pending") -> CoreJob:
    meta = {"name": f"{number:024x}", "creationTimestamp": "2026-11-24T00:00:00Z"}
    return model.parse({"metadata": meta, "spec": {"qualName": DUMMY}, "status": {"state": state}})


async def connected() -> Any:
    """Check for disconnection of a client that never disconnects."""
    await asyncio.Event().wait()


@asynccontextmanager
async def summary_of(state_counts: StateCounts) -> AsyncIterator[Summary]:
    made = Summary(Streams(ApiMetrics(), LONG), state_counts, connected, lambda: NOW)
    try:
        yield made
    finally:
        await made.close()


async def take(found: Summary) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        frame = await anext(found)
    head, _, data = frame.decode().partition("\ndata: ")
    assert (head, data[-2:]) == ("event: summary", "\n\n")
    return dict(msgspec.json.decode(data))


async def test_a_change_that_is_reverted_is_not_sent(pause: Callable[[float], None]) -> None:
    pause(0.0)
    state_counts = StateCounts()
    async with summary_of(state_counts) as found:
        assert await take(found) == {"created": "2026-11-24T12:00:00", "total": 0}
        waiting = asyncio.create_task(take(found))
        for _ in range(3):
            state_counts.put("a", job(1))
            state_counts.drop("a")
            for _ in range(5):
                await asyncio.sleep(0)
        assert not waiting.done()
        state_counts.put("a", job(1, "running"))
        assert (await waiting)["running"] == 1


async def test_a_client_that_does_not_read_gets_the_latest_and_no_backlog(
    pause: Callable[[float], None],
) -> None:
    pause(0.0)
    state_counts = StateCounts()
    async with summary_of(state_counts) as found:
        await take(found)
        for number in range(100):
            state_counts.put(str(number), job(number))
            for _ in range(5):
                await asyncio.sleep(0)
        seen = 0
        while (await take(found))["total"] < 100:
            seen += 1
        assert seen < 5
