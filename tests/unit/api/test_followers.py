"""One slow follower and many fast ones of one job: it delays nobody, and uses no memory."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import STARTED, Record, RunningApi, enqueue, stream

from corejob_api.streams import frames
from corejob_api.streams.follower import Follower
from corejob_api.streams.frames import Mode
from corejob_journal.store import Store

QUICK = 200
COMMITS = 10
MIB = 2**20


@asynccontextmanager
async def follower(
    served: RunningApi, job_id: str, token: str, arguments: str = ""
) -> AsyncIterator[asyncio.StreamReader]:
    """Open a stream of the log, which the test reads when it chooses."""
    assert served.url is not None
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    path = f"/core4/api/v1/job/log/{job_id}?follow=true{arguments}"
    head = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()


async def count_frames(reader: asyncio.StreamReader, number: int) -> None:
    """Read until that many records have arrived."""
    async with asyncio.timeout(DEADLINE):
        while number:
            number -= (await reader.readuntil(b"\n")) == b"event: log\n"


async def token_of(caller: httpx.AsyncClient) -> str:
    return str((await caller.get("login")).json()["data"]["token"])


@pytest.mark.timeout(400)
async def test_many_quick_ones_and_a_slow_one(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """Each commit reaches all fast ones before the next; then the slow one reads everything too."""
    job_id, token = await enqueue(caller), await token_of(caller)
    recorder = await record(job_id)
    history = [f"{number} {'x' * 20_000}" for number in range(400)]
    for start in range(0, 400, 100):
        await recorder.log(*history[start : start + 100])
    await served.status(job_id, **STARTED)
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(follower(served, job_id, token))
        quick = [
            await stack.enter_async_context(follower(served, job_id, token, "&tail=0"))
            for _ in range(QUICK)
        ]
        await served.until_live(job_id, QUICK)
        for commit in range(COMMITS):
            await recorder.log(*(f"{commit} {line}" for line in range(300)))
            await asyncio.gather(*(count_frames(reader, 300) for reader in quick))
        assert len(served.service.hub) == QUICK + 1
        assert served.service.hub.feeds == 1
        await served.status(job_id, state="complete")
        await served.log_complete(job_id)
        for reader in quick:
            async with asyncio.timeout(DEADLINE):
                assert f'"log":{COMMITS * 300}'.encode() in await reader.read()
        async with asyncio.timeout(60):
            whole = await slow.read()
    assert whole.count(b"event: log\n") == 400 + COMMITS * 300
    assert whole.count(b"event: lagged\n") == 1
    assert b'"log":3400,' in whole[-200:]


@pytest.mark.timeout(400)
async def test_a_slow_one_takes_no_room(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """64 MiB of log pass while it does not read, in lines of the maximum length."""
    job_id, token = await enqueue(caller), await token_of(caller)
    recorder = await record(job_id)
    await recorder.log(*["x" * MIB] * 16)
    await served.status(job_id, **STARTED)
    async with follower(served, job_id, token) as slow:
        await served.until(lambda: len(served.service.hub) == 1)
        async with follower(served, job_id, token, "&tail=0") as quick:
            await served.until_live(job_id)
            sizes = []
            tracemalloc.start()
            try:
                for _ in range(8):
                    for _ in range(8):
                        await recorder.log("y" * MIB)
                        await _take(quick, MIB)
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
        # After the first 8 MiB the feed's buffer is full.
        assert max(sizes[2:]) < sizes[1] + 6 * MIB, sizes
        assert max(sizes) < 24 * MIB, sizes
        await served.status(job_id, state="complete")
        await served.log_complete(job_id)
        count, end = 0, b""
        async with asyncio.timeout(60):
            while b"event: close" not in end:
                part = await slow.read(MIB)
                assert part, end
                count += part.count(b"y")
                # The two words may come in two parts.
                end = (end + part)[-200:]
    assert count >= 64 * MIB


async def _take(reader: asyncio.StreamReader, count: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while count > 0:
            count -= len(await reader.read(MIB))


EVENTS = "text/event-stream"


@pytest.mark.parametrize("accepts", [[EVENTS], ["*/*"], [EVENTS, "*/*"]], ids=str)
async def test_frames_are_made_once_for_all_and_only_as_somebody_wants_them(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    monkeypatch: Any,
    accepts: list[str],
) -> None:
    made: list[tuple[int | None, Mode]] = []
    real = frames.log_frame

    def log_frame(text: bytes, mode: Mode, seq: int | None) -> bytes:
        made.append((seq, mode))
        return real(text, mode, seq)

    monkeypatch.setattr(frames, "log_frame", log_frame)
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                stream(caller, "GET", f"job/log/{job_id}?follow=true", headers={"Accept": accept})
            )
            for accept in accepts
            for _ in range(20 // len(accepts))
        ]
        await served.until_live(job_id, 20)
        await recorder.log("a", "b", "c")
        for one in opened:
            assert [data["message"] for _, data in await one.take(3)] == ["a", "b", "c"]
    with_ids = [(1, Mode.LIVE), (2, Mode.LIVE), (3, Mode.LIVE)]
    without = [(None, Mode.LIVE)] * 3
    assert sorted(made, key=str) == sorted(
        [*(with_ids if EVENTS in accepts else ()), *(without if "*/*" in accepts else ())], key=str
    )


async def test_a_line_resumes_no_follower_and_is_read_once(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, monkeypatch: Any
) -> None:
    """Frames go from the feed to the connections; a follower's task would cost as much again."""
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(stream(caller, "GET", f"job/log/{job_id}?follow=true"))
            for _ in range(20)
        ]
        await served.until_live(job_id, 20)
        await recorder.log("first")
        for one in opened:
            assert (await one.next())[1]["message"] == "first"
        await served.until_live(job_id, 20)
        counts: Counter[str] = Counter()
        for owner, name in ((Follower, "_round"), (Store, "log_after"), (Store, "gaps")):
            monkeypatch.setattr(owner, name, _counted(counts, owner, name))
        await recorder.log("second", "third")
        for one in opened:
            messages = [data["message"] for _, data in await one.take(2)]
            assert messages == ["second", "third"]
        # Not once for each follower. A notification that comes late reads once more.
        assert counts["log_after"] < len(opened) / 2
        assert not counts["gaps"]  # they come with the records
        assert not counts["_round"]
        await served.status(job_id, state="complete")
        await served.log_complete(job_id)
        for one in opened:
            assert (await one.rest())[-1] == ("close", {"log": 3})


def _counted(counts: Counter[str], owner: type, name: str) -> Any:
    real = getattr(owner, name)

    async def counted(*arguments: Any, **more: Any) -> Any:
        counts[name] += 1
        return await real(*arguments, **more)

    return counted


async def test_all_long_lines_of_one_transaction_arrive_without_another(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """The store returns two of them at a time, and notifies once."""
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", f"job/log/{job_id}?follow=true") as one:
        await served.until(lambda: len(served.service.hub) == 1)
        await recorder.log(*[f"{number}{'x' * MIB}" for number in range(7)])
        assert [data["message"][0] for _, data in await one.take(7)] == list("0123456")
