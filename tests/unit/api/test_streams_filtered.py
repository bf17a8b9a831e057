"""Filters on streams: the selected records, the frames that no filter drops, and the ids."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
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

from corejob_api.query import log_scan
from corejob_api.streams import feed, follower
from corejob_journal.store.records import NewGap


def messages(found: list[tuple[str, Any]]) -> list[str]:
    return [data["message"] for event, data in found if event == "log"]


async def test_before_live_and_after(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log("old info")
    await recorder.log("old error", level=40)
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/follow/{job_id}?level=ERROR") as frames:
        found = await frames.take(2)
        await recorder.log("new info")
        await recorder.log("new error", level=40)
        found += await frames.take(1)
        await served.status(job_id, state="error")
        found += await frames.take(1)
        await recorder.log("late critical", level=50)
        await recorder.log("late info")
        await served.log_complete(job_id)
        found += await frames.rest()
    assert [event for event, _ in found] == ["state", "log", "log", "state", "log", "close"]
    assert messages(found) == ["old error", "new error", "late critical"]
    modes = [data["mode"] for event, data in found if event == "log"]
    assert modes == ["prelog", "watchlog", "postlog"]
    assert found[-1][1] == {"state": 2, "log": 3}
    assert frames.last_id == "000000000006"


@pytest.mark.parametrize("path", ["job/follow/{}?", "job/log/{}?follow=true&"])
async def test_grep_and_since_and_level_together(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, path: str
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    for number in range(20):
        await recorder.log(f"step {number}", level=10 * (number % 4 + 1))
    await served.status(job_id, state="error")
    await served.log_complete(job_id)
    where = path.format(job_id) + "grep=step [0-9]$&level=WARNING&since=1.5"
    async with stream(caller, "GET", where) as frames:
        found = await frames.rest()
    assert messages(found) == ["step 2", "step 3", "step 6", "step 7"]
    async with stream(caller, "GET", where.replace("1.5", "1.6")) as frames:
        assert messages(await frames.rest()) == []


async def test_tail_then_live(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log(*(f"old {number}" for number in range(50)))
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true&tail=2") as frames:
        assert messages(await frames.take(2)) == ["old 48", "old 49"]
        await recorder.log("new 0", "new 1", "new 2")
        assert messages(await frames.take(3)) == ["new 0", "new 1", "new 2"]
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true&tail=0") as frames:
        await served.until_live(job_id)
        await recorder.log("new 3")
        assert messages(await frames.take(1)) == ["new 3"]
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true&tail=2&grep=3") as frames:
        assert messages(await frames.take(2)) == ["old 43", "new 3"]


@pytest.mark.parametrize("slice_of", [3, 20_000])
async def test_tail_of_a_past_job(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    journal: Callable[[str], Awaitable[None]],
    slice_of: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_scan, "SLICE", slice_of)
    monkeypatch.setattr(follower, "SLICE", slice_of)
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    for number in range(30):
        await recorder.log(str(number), level=40 if number % 10 == 0 else 20)
    await served.status(job_id, state="complete")
    await journal(job_id)
    await served.until(lambda: not served.service.queue.get(job_id))
    for arguments, expected in (
        ("tail=3", ["27", "28", "29"]),
        ("tail=2&level=ERROR", ["10", "20"]),
        ("tail=9&level=ERROR", ["0", "10", "20"]),
        ("level=CRITICAL&tail=5", []),
        ("grep=^.$&level=40", ["0"]),
    ):
        async with stream(caller, "GET", f"job/follow/{job_id}?{arguments}") as frames:
            found = await frames.rest()
        assert messages(found) == expected, arguments
        assert found[-1] == ("close", {"state": 1, "log": len(expected)})


async def test_gaps_are_sent_even_if_the_lines_around_are_filtered_out(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log("a", "b")
    await recorder.log("c", gap=NewGap(3, 4, "first"))
    await recorder.log("d", level=40)
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/follow/{job_id}?level=ERROR") as frames:
        assert [event for event, _ in await frames.take(3)] == ["state", "gap", "log"]
        await recorder.log("e", gap=NewGap(7, 7, "second"))
        assert (await frames.next())[1]["reason"] == "second"
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true&tail=1") as frames:
        # The first gap is among the lines that `tail` skips.
        assert [event for event, _ in await frames.take(2)] == ["gap", "log"]
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true&tail=9") as frames:
        found = await frames.take(7)
    kinds = [event for event, _ in found]
    assert kinds == ["log", "log", "gap", "log", "log", "gap", "log"]


async def test_an_id_covers_records_that_are_filtered_out(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path, record: Record
) -> None:
    """The comment of a silent stream carries the id; resuming from it misses nothing."""
    async with (
        running(kube, store_url, tmp_path, loopback=True, keep_alive=0.05) as api,
        api.client() as client,
    ):
        job_id = await enqueue(client)
        recorder = await record(job_id)
        await recorder.log(*(["noise"] * 2500))
        await api.status(job_id, **STARTED)
        path = f"job/log/{job_id}?follow=true&level=ERROR"
        async with client.stream("GET", path) as response:
            lines = response.aiter_lines()
            async with asyncio.timeout(DEADLINE):
                # A client without ids only gets comments, however far the stream has read.
                assert [await anext(lines) for _ in range(20)] == [": keep-alive", ""] * 10
        async with client.stream("GET", path, headers={"Accept": "text/event-stream"}) as response:
            lines = response.aiter_lines()
            async with asyncio.timeout(DEADLINE):
                while await anext(lines) != "id: 000000002500":
                    pass
                assert await anext(lines) == ""
        await recorder.log("noise")
        await recorder.log("at last", level=40)
        async with client.stream("GET", path, headers={"Last-Event-ID": "2500"}) as response:
            lines = response.aiter_lines()
            async with asyncio.timeout(DEADLINE):
                while (line := await anext(lines)).startswith((":", "id: 00000000250")) or not line:
                    pass
            assert line == "event: log"
            assert await anext(lines) == "id: 000000002502"
            assert '"message":"at last"' in await anext(lines)


async def test_a_client_that_comes_again_gets_no_second_tail(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """`tail` is for the first connection; with an id the stream resumes after it."""
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log(*"abcdef")
    await served.status(job_id, **STARTED)
    path = f"job/follow/{job_id}?tail=2"
    async with stream(caller, "GET", path) as frames:
        event, _ = await frames.next()
        # No id yet: a client that is disconnected here starts again, with the tail.
        assert (event, frames.last_id) == ("state", "")
        assert messages(await frames.take(1)) == ["e"]
        last = frames.last_id
    await recorder.log(*"ghij")
    async with stream(caller, "GET", path, headers={"Last-Event-ID": last}) as frames:
        assert messages(await frames.take(6)) == list("fghij")
        assert frames.last_id == "000000000010"


async def test_filters_of_a_new_job_s_stream(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    body = {"qual_name": DUMMY, "level": "ERROR"}
    async with stream(caller, "POST", "job", json=body) as frames:
        job_id = (await frames.next())[1]["_id"]
        recorder = await record(job_id)
        await recorder.log("info")
        await recorder.log("error", level=40)
        assert (await frames.next())[1]["message"] == "error"
    await served.status(job_id, state="killed", trial=1)
    async with stream(caller, "PUT", f"job/restart/{job_id}", json={"grep": "^b"}) as frames:
        child = (await frames.next())[1]["_id"]
        assert child != job_id
        await (await record(child)).log("a", "b")
        assert (await frames.next())[1]["message"] == "b"


async def test_a_burst_with_a_filter(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records come from the store and from the feed by turns."""
    monkeypatch.setattr(feed, "_KEPT", 50)
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)

    async def follow(arguments: str) -> list[str]:
        async with stream(caller, "GET", f"job/log/{job_id}?follow=true{arguments}") as frames:
            return messages(await frames.rest())

    asked = ["", "&grep=7", "&level=INFO", "&level=ERROR", "&tail=100000"]
    followers = [asyncio.create_task(follow(arguments)) for arguments in asked]
    lines = [f"line {number}" for number in range(3000)]
    for start in range(0, 3000, 100):
        await recorder.log(*lines[start : start + 100])
    await served.status(job_id, state="complete")
    await served.log_complete(job_id)
    found = await asyncio.gather(*followers)
    assert found[0] == found[2] == found[4] == lines
    assert found[1] == [line for line in lines if "7" in line]
    assert found[3] == []
