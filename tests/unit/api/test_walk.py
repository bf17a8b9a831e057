"""The life of a job by REST, call by call without a pause; the test plays the operator."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from tests.unit.api.conftest import DUMMY, Recorder, RunningApi, enqueue, stream


async def test_the_manuals_walk(
    served: RunningApi, caller: httpx.AsyncClient, record: Callable[..., Awaitable[Recorder]]
) -> None:
    listed = (await caller.get("job/list", params={"page": 0, "search": "dummy"})).json()
    assert [row["_id"] for row in listed["data"]] == [DUMMY]
    old = await enqueue(caller, {"sleep": 60})
    searched = await caller.post("job/queue", json={"search": "dummy"})
    assert [row["_id"] for row in searched.json()["data"]] == [old]
    assert (await caller.get("job")).json()["total_count"] == 1
    assert (await caller.put(f"job/kill/{old}")).json()["data"] is True
    restarted = await caller.put(f"job/restart/{old}", json={"follow": False})
    new = restarted.json()["data"]
    assert new != old
    before = (await caller.get(f"job/{old}")).json()["data"]
    assert (before["state"], before["journal"], before["enqueued"]["child_id"]) == (
        "killed",
        True,
        new,
    )
    after = (await caller.get(f"job/detail/{new}")).json()["data"]
    assert (after["state"], after["journal"], after["enqueued"]["parent_id"]) == (
        "pending",
        False,
        old,
    )
    assert after["args"] == {"sleep": 60}
    recorder = await record(new)
    await recorder.log("start execution")
    await served.status(new, state="running", trial=1, startTime="2026-11-24T00:00:01Z")
    async with stream(caller, "GET", f"job/follow/{new}", json={"follow": True}) as frames:
        assert [event for event, _ in await frames.take(2)] == ["state", "log"]
    assert (await caller.put(f"job/kill/{new}")).json()["data"] is True
    assert (await caller.put(f"job/remove/{new}")).json()["data"] is True
    assert (await caller.get("job")).json()["data"] == []
    assert (await caller.put(f"job/remove/{new}")).status_code == 404


async def test_a_job_is_streamed_from_its_enqueue_to_its_end(
    served: RunningApi, caller: httpx.AsyncClient, record: Callable[..., Awaitable[Recorder]]
) -> None:
    body: dict[str, Any] = {"qual_name": DUMMY, "args": {"sleep": 1}}
    async with stream(caller, "POST", "job", json=body) as frames:
        headers = frames.response.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["x-accel-buffering"] == "no"
        event, document = await frames.next()
        assert (event, document["state"]) == ("state", "pending")
        job_id = document["_id"]
        recorder = await record(job_id)
        await served.status(job_id, state="running", trial=1, startTime="2026-11-24T00:00:01Z")
        assert (await frames.next())[1]["state"] == "running"
        await recorder.log("start execution")
        event, line = await frames.next()
        assert (event, line["message"], line["mode"]) == ("log", "start execution", "watchlog")
        assert frames.last_id == line["_id"] == "000000000001"
        await served.status(job_id, progress={"value": 0.5, "message": "running"})
        assert (await frames.next())[1]["prog"] == {"value": 0.5, "message": "running"}
        await served.status(job_id, state="complete", finishTime="2026-11-24T00:00:02Z")
        assert (await frames.next())[1]["state"] == "complete"
        await recorder.log("done execution")
        assert (await frames.next())[1]["mode"] == "postlog"
        await recorder.settle()
        await served.log_complete(job_id)
        assert await frames.rest() == [("close", {"state": 4, "log": 2})]
    assert (await caller.get("job")).json()["total_count"] == 0
    assert (await caller.get(f"job/{job_id}")).json()["data"]["journal"] is True
