"""`Last-Event-ID`: every stream resumes after it, without repetitions or omissions."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import (
    DUMMY,
    STARTED,
    Record,
    RunningApi,
    enqueue,
    running,
    stream,
)

from corejob_journal.store.records import NewGap

Journal = Callable[[str], Awaitable[None]]
PATHS = ["job/follow/{}", "job/log/{}?follow=true"]


def messages(found: list[tuple[str, Any]]) -> list[str]:
    return [data["message"] for event, data in found if event == "log"]


async def gather(client: httpx.AsyncClient, path: str, cut: int) -> list[tuple[str, Any]]:
    """Follow until `close`; disconnect after each `cut` frames, and resume."""
    found: list[tuple[str, Any]] = []
    last = ""
    while not found or found[-1][0] != "close":
        headers = {"Last-Event-ID": last} if last else {}
        async with stream(client, "GET", path, headers=headers) as frames:
            for _ in range(cut):
                found.append(await frames.next())
                last = frames.last_id
                if found[-1][0] == "close":
                    break
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_cut_off_again_and_again_while_it_runs(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, path: str
) -> None:
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await served.status(job_id, **STARTED)
    following = asyncio.create_task(gather(caller, path.format(job_id), 7))
    lines = [f"line {number}" for number in range(120)]
    for start in range(0, 120, 5):
        await recorder.log(*lines[start : start + 5])
    await served.status(job_id, state="error")
    await served.log_complete(job_id)
    found = await following
    assert messages(found) == lines


@pytest.mark.parametrize("path", PATHS)
async def test_a_job_that_went_meanwhile(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, journal: Journal, path: str
) -> None:
    """The first stream is of a running job, the resumed one of a past job."""
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log(*"abc")
    await served.status(job_id, **STARTED)
    async with stream(caller, "GET", path.format(job_id)) as frames:
        begun = messages(await frames.take(2))
        last = frames.last_id
    await recorder.log(*"def")
    await served.status(job_id, state="complete")
    await journal(job_id)
    await served.until(lambda: not served.service.queue.get(job_id))
    async with stream(caller, "GET", path.format(job_id), headers={"Last-Event-ID": last}) as again:
        assert begun + messages(await again.rest()) == list("abcdef")
    asked = {"last_event_id": "000000000006"}
    if "?" in path:
        asked["follow"] = "true"
    async with stream(caller, "GET", path.format(job_id).partition("?")[0], params=asked) as again:
        found = await again.rest()
    assert messages(found) == []
    assert found[-1][0] == "close"


async def test_another_api_goes_on_with_it(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path, record: Record
) -> None:
    """Ids come from the store, so another process can resume the stream."""
    async with running(kube, store_url, tmp_path, loopback=True) as first, first.client() as client:
        job_id = await enqueue(client)
        recorder = await record(job_id)
        await recorder.log(*"abcd")
        async with stream(client, "GET", f"job/follow/{job_id}") as frames:
            begun = messages(await frames.take(3))
            last = frames.last_id
            first.service.hub.end_streams()
    async with running(kube, store_url, tmp_path, loopback=True) as second:
        await recorder.log("e")
        await second.status(job_id, state="error")
        await second.log_complete(job_id)
        async with (
            second.client() as client,
            stream(client, "GET", f"job/follow/{job_id}", headers={"Last-Event-ID": last}) as again,
        ):
            assert begun + messages(await again.rest()) == list("abcde")


async def test_a_gap_right_after_the_id_is_sent_again(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """The id of a gap is that of the record before it: the gap is sent twice rather than never."""
    job_id = await enqueue(caller)
    recorder = await record(job_id)
    await recorder.log("a")
    await recorder.log("b", gap=NewGap(2, 3, "lost"))
    await served.status(job_id, state="error")
    await served.log_complete(job_id)
    for last, kinds in (("1", ["gap", "log", "close"]), ("2", ["close"])):
        path = f"job/log/{job_id}?follow=true&last_event_id={last}"
        async with stream(caller, "GET", path) as frames:
            assert [event for event, _ in await frames.rest()] == kinds


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "0x10", "1" * 19, "٣"])
async def test_bad_ids_are_refused(served: RunningApi, caller: httpx.AsyncClient, bad: str) -> None:
    """A stream from the beginning would silently repeat every line."""
    job_id = await enqueue(caller)
    asked = {"last_event_id": bad}
    for path in (f"job/follow/{job_id}", f"job/log/{job_id}"):
        answer = await caller.get(path, params={**asked, "follow": "true"})
        assert answer.status_code == 400
        assert "Last-Event-ID" in answer.json()["error"]
    answer = await caller.post("job", json={"qual_name": DUMMY, "args": {"n": 1}, **asked})
    assert answer.status_code == 400
    assert (await caller.get("job")).json()["total_count"] == 1


async def test_a_new_job_is_streamed_from_its_beginning(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """A client library that sends the id of its last stream must not lose lines of this one."""
    headers = {"Last-Event-ID": "000000000003"}
    async with stream(caller, "POST", "job", json={"qual_name": DUMMY}, headers=headers) as frames:
        job_id = (await frames.next())[1]["_id"]
        await (await record(job_id)).log(*"abcd")
        assert messages(await frames.take(4)) == list("abcd")
    await served.status(job_id, state="killed", trial=1)
    async with stream(caller, "PUT", f"job/restart/{job_id}", headers=headers) as frames:
        child = (await frames.next())[1]["_id"]
        await (await record(child)).log(*"efgh")
        assert messages(await frames.take(4)) == list("efgh")


async def test_the_same_request_again_goes_on(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """With an `Idempotency-Key` the request refers to the same job, so the id counts."""
    headers, body = {"Idempotency-Key": "k"}, {"qual_name": DUMMY}
    async with stream(caller, "POST", "job", json=body, headers=headers) as frames:
        job_id = (await frames.next())[1]["_id"]
        await (await record(job_id)).log(*"abcd")
        assert messages(await frames.take(2)) == list("ab")
        headers["Last-Event-ID"] = frames.last_id
    async with stream(caller, "POST", "job", json=body, headers=headers) as frames:
        assert (await frames.next())[1]["_id"] == job_id
        assert messages(await frames.take(2)) == list("cd")


async def test_a_restart_that_keeps_the_job_goes_on(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """A restarted failed job is the same job with its next trial."""
    job_id = await enqueue(caller)
    await (await record(job_id)).log(*"abcd")
    await served.status(job_id, state="failed", trial=1)
    path, headers = f"job/restart/{job_id}", {"Last-Event-ID": "2"}
    async with stream(caller, "PUT", path, headers=headers) as frames:
        assert (await frames.next())[1]["_id"] == job_id
        assert messages(await frames.take(2)) == list("cd")
