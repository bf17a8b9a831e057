"""Reads of a job that has just ended wait until its log is complete."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import STARTED, Record, RunningApi, enqueue, running

from corejob_api.queue.log_barrier import RECENT_S, LogBarrier
from corejob_journal.store import Writer

COMPLETE = {"state": "complete", "finishTime": "2026-11-24T00:00:02Z"}


async def end(api: RunningApi, client: httpx.AsyncClient, **status: Any) -> str:
    """Return the id of a job that has run and ended, and whose log is being read."""
    job_id = await enqueue(client)
    await api.status(job_id, **STARTED, log={"trial": 1})
    await api.status(job_id, **{**COMPLETE, **status})
    return job_id


def waiting(api: RunningApi, job_id: str) -> bool:
    return job_id in api.service.queue._watchers


async def reading(
    api: RunningApi, client: httpx.AsyncClient, job_id: str, path: str
) -> "asyncio.Task[httpx.Response]":
    """Start a read, and return it when it waits."""
    task = asyncio.create_task(client.get(path))
    await api.until(lambda: waiting(api, job_id))
    return task


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads wait longer than the test may take, so that only events end them."""
    make = partial(LogBarrier, wait=1000, recent=1000)
    monkeypatch.setattr("corejob_api.app.LogBarrier", make)


@pytest.mark.parametrize("path", ["job/{}", "job/detail/{}"])
async def test_the_detail_has_the_sources_of_a_job_that_has_just_ended(
    api: RunningApi, client: httpx.AsyncClient, path: str
) -> None:
    job_id = await end(api, client)
    task = await reading(api, client, job_id, path.format(job_id))
    await api.status(job_id, sources=["orders.csv"])
    assert not task.done()
    await api.log_complete(job_id)
    assert (await task).json()["data"]["sources"] == ["orders.csv"]
    assert not waiting(api, job_id)


@pytest.mark.parametrize("query", ["", "?before=9&limit=5", "?format=text", "?grep=last"])
async def test_the_log_has_the_last_line_of_a_job_that_has_just_ended(
    api: RunningApi, client: httpx.AsyncClient, record: Record, query: str
) -> None:
    job_id = await end(api, client)
    recorder = await record(job_id)
    task = await reading(api, client, job_id, f"job/log/{job_id}{query}")
    await recorder.log("the last line")
    await api.log_complete(job_id)
    assert "the last line" in (await task).text


async def test_the_log_of_a_killed_job_too(
    api: RunningApi, client: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(client)
    await api.status(job_id, **STARTED, log={"trial": 1})
    recorder = await record(job_id)
    await client.put(f"job/kill/{job_id}")
    task = await reading(api, client, job_id, f"job/log/{job_id}")
    await api.status(job_id, state="killed", killedTime="2026-11-24T00:00:02Z")
    assert not task.done()
    await recorder.log("killed")
    await api.log_complete(job_id)
    assert "killed" in (await task).text


async def test_a_job_that_vanishes_ends_the_wait(
    api: RunningApi, client: httpx.AsyncClient, journal: Callable[[str], Awaitable[None]]
) -> None:
    job_id = await end(api, client)
    task = await reading(api, client, job_id, f"job/{job_id}")
    await journal(job_id)
    assert (await task).json()["data"]["state"] == "complete"


async def test_the_end_of_the_request_ends_the_wait(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    job_id = await end(api, client)
    task = await reading(api, client, job_id, f"job/{job_id}")
    task.cancel()
    await asyncio.wait({task})
    assert not waiting(api, job_id)


async def test_a_client_that_disconnects_ends_the_wait(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    job_id = await end(served, caller)
    async with served.client() as other:
        task = await reading(served, other, job_id, f"job/{job_id}")
        task.cancel()
        await asyncio.wait({task})
    await served.until(lambda: not waiting(served, job_id))


async def test_listings_do_not_wait(api: RunningApi, client: httpx.AsyncClient) -> None:
    job_id = await end(api, client, state="error")
    rows = (await client.get("job", params={"sort": "state"})).json()["data"]
    assert [row["_id"] for row in rows] == [job_id]


async def test_a_job_that_never_ran_is_not_waited_for(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    job_id = await enqueue(client)
    await client.put(f"job/kill/{job_id}")
    assert (await client.get(f"job/{job_id}")).json()["data"]["state"] == "killed"
    assert (await client.get(f"job/log/{job_id}")).json()["data"] == []


async def test_a_job_that_had_ended_before_the_api_started_is_not_waited_for(
    api: RunningApi, client: httpx.AsyncClient, store_url: str, tmp_path: Path, writer: Writer
) -> None:
    job_id = await end(api, client)
    async with running(api.kube, store_url, tmp_path) as later, later.client() as other:
        assert (await other.get(f"job/{job_id}")).json()["data"]["state"] == "complete"


async def test_the_wait_is_bounded(api: RunningApi, client: httpx.AsyncClient) -> None:
    job_id = await end(api, client)
    barrier = LogBarrier(api.service.queue, wait=0.01, recent=1000)
    assert barrier.holds(job_id)
    await barrier.passed(job_id)
    assert not waiting(api, job_id)


async def test_a_job_that_ended_some_seconds_ago_is_not_waited_for(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    job_id = await end(api, client)
    later = LogBarrier(api.service.queue, clock=lambda: time.monotonic() + RECENT_S)
    assert not later.holds(job_id)
