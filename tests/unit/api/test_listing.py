"""Listings: the queue with filter, sort and pages, the catalogue, and the pages of a log."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, SECRET, Recorder, RunningApi, enqueue

from corejob import ids, timestamps
from corejob_api.logs import pages


async def test_twenty_five_jobs(client: httpx.AsyncClient) -> None:
    made = [await enqueue(client, {"segment": i % 3, "i": i}) for i in range(25)]
    body = (await client.get("job")).json()
    paging = {key: body[key] for key in ("page", "page_count", "per_page", "count", "total_count")}
    assert paging == {
        "page": 0,
        "page_count": 3,
        "per_page": 10,
        "count": 10,
        "total_count": 25,
    }
    assert [row["_id"] for row in body["data"]] == made[:10]
    found = (await client.post("job/queue", json={"filter": {"args.segment": 0}})).json()
    assert (found["total_count"], found["page_count"]) == (9, 1)
    last = (await client.get("job", params={"page": -1})).json()
    assert (last["page"], [row["_id"] for row in last["data"]]) == (2, made[20:])
    down = (await client.get("job", params={"sort": '[["_id", -1]]', "per_page": 3})).json()
    assert [row["_id"] for row in down["data"]] == made[:-4:-1]
    down = (await client.get("job", params={"sort": "args.i", "order": -1, "per_page": 1})).json()
    assert down["data"][0]["_id"] == made[-1]
    assert (await client.get("job", params={"page": 99})).json()["data"] == []


async def test_the_catalogue(
    client: httpx.AsyncClient, kube: FakeApiServer, api: RunningApi
) -> None:
    rows = (await client.get("job/list")).json()["data"]
    assert [row["_id"] for row in rows] == [DUMMY, SECRET]
    assert rows[0]["doc"] == "just sleeps"
    assert set(rows[0]) >= {"author", "created_at", "schedule", "tag", "updated_at"}
    both = {"filter": {"qual_name": SECRET}, "search": "dummy"}
    found = (await client.request("GET", "job/list", json=both)).json()["data"]
    assert [row["_id"] for row in found] == [SECRET]
    unnamed = {"filter": {"schedule": None}, "search": "dummy", "sort": "schedule"}
    found = (await client.request("GET", "job/list", json=unnamed)).json()["data"]
    assert [row["_id"] for row in found] == [DUMMY]
    for name in ("_id", "qual_name", "name"):
        found = (await client.request("GET", "job/list", json={"filter": {name: SECRET}})).json()
        assert [row["_id"] for row in found["data"]] == [SECRET], name
    names = {"filter": {"name": SECRET}, "search": "dummy", "sort": "name"}
    found = (await client.request("GET", "job/list", json=names)).json()["data"]
    assert [row["name"] for row in found] == [SECRET]
    kube.remove("corejobtemplates", SECRET.lower())
    await api.until(lambda: api.service.catalogue.get(SECRET) is None)
    assert (await client.get("job/list")).json()["total_count"] == 1


async def test_the_catalogue_says_how_a_schedule_fares(
    client: httpx.AsyncClient, kube: FakeApiServer, api: RunningApi
) -> None:
    (row,) = (await client.get("job/list", params={"search": "dummy"})).json()["data"]
    told = ("next_run", "last_run", "last_job", "last_job_state", "skipped", "valid", "problem")
    assert {row[name] for name in (*told, "time_zone", "schedule_policy")} == {None}

    job_id = await enqueue(client, {})
    skipped, problem = f"skipped at noon: job {job_id} is still running", 'unknown field "x"'
    status = {
        "lastJobId": job_id,
        "nextScheduleTime": "2026-11-29T05:00:00.000000Z",
        "message": skipped,
        "conditions": [
            {"type": "Scheduled", "status": "False", "reason": "Skipped", "message": skipped},
            {"type": "Valid", "status": "False", "reason": "BadDefinition", "message": problem},
        ],
    }
    body = kube.objects["corejobtemplates"][DUMMY.lower()]
    spec = {**body["spec"], "schedule": "0 6 * * *", "timeZone": "Europe/Berlin"}
    kube.put("corejobtemplates", {**body, "spec": spec, "status": status})
    await api.until(lambda: (api.service.catalogue.get(DUMMY) or fail()).row["last_job"])
    (row,) = (await client.get("job/list", params={"search": "dummy"})).json()["data"]
    assert row["last_run"] == timestamps.iso(ids.created_at(job_id))
    assert {name: row[name] for name in told if name != "last_run"} == {
        "next_run": "2026-11-29T05:00:00",
        "last_job": job_id,
        "last_job_state": "pending",
        "skipped": skipped,
        "valid": False,
        "problem": problem,
    }
    assert (row["time_zone"], row["schedule_policy"]) == ("Europe/Berlin", "Skip")


def fail() -> Any:
    raise AssertionError("the template is gone")


async def test_a_job_made_by_kubectl_is_found_by_its_id(
    client: httpx.AsyncClient, kube: FakeApiServer, api: RunningApi
) -> None:
    body = kube.put("corejobs", {"metadata": {"name": "mine"}, "spec": {"qualName": DUMMY}})
    created = timestamps.parse(body["metadata"]["creationTimestamp"])
    assert created is not None
    job_id = ids.derived_id(created, body["metadata"]["uid"])
    await api.until(lambda: api.service.queue.get(job_id))
    assert (await client.get(f"job/{job_id}")).json()["data"]["_id"] == job_id
    assert (await client.put(f"job/kill/{job_id}")).json()["data"] is True
    assert kube.objects["corejobs"]["mine"]["spec"]["kill"] is True
    kube.remove("corejobs", "mine")
    await api.until(lambda: not api.service.queue.get(job_id))
    assert (await client.get("job")).json()["total_count"] == 0


async def test_pages_of_a_log(
    client: httpx.AsyncClient, record: Callable[..., Awaitable[Recorder]]
) -> None:
    job_id = await enqueue(client)
    recorder = await record(job_id)
    await recorder.log(*(f"line {i}" for i in range(25)))
    await recorder.log("bad", level=40)
    seen: list[str] = []
    for page in range(3):
        body = (await client.get(f"job/log/{job_id}", params={"page": page})).json()
        assert (body["page_count"], body["total_count"]) == (3, 26)
        seen += [row["message"] for row in body["data"]]
    assert seen == [f"line {i}" for i in range(25)] + ["bad"]
    row = body["data"][-1]
    assert (row["_id"], row["level"], row["levelno"]) == ("000000000026", "ERROR", 40)
    assert (row["identifier"], row["qual_name"], row["created"]) == (
        job_id,
        DUMMY,
        "1970-01-01T00:00:01.500000",
    )
    assert "exception" not in row

    async def messages(**more: Any) -> list[str]:
        answer = await client.request("GET", f"job/log/{job_id}", json={"per_page": 2, **more})
        return [row["message"] for row in answer.json()["data"]]

    assert await messages(sort=[["_id", -1]]) == ["bad", "line 24"]
    assert await messages(sort=[["levelno", -1], ["_id", 1]]) == ["bad", "line 0"]
    assert await messages(filter={"level": "ERROR"}) == ["bad"]
    assert await messages(filter={"message": {"$regex": "1$"}}, page=-1) == ["line 21"]


@pytest.mark.parametrize("count", [99, 100, 101, 250])
async def test_a_long_page_is_read_in_pieces_and_is_whole(
    client: httpx.AsyncClient, record: Callable[..., Awaitable[Recorder]], count: int
) -> None:
    job_id = await enqueue(client)
    await (await record(job_id)).log(*map(str, range(count)))
    wanted = [str(number) for number in range(count)]
    for sort, expected in ((1, wanted), (-1, wanted[::-1])):
        for more in ({}, {"level": "DEBUG"}, {"filter": {"levelno": 20}}):
            arguments = {"sort": [["_id", sort]], **more}
            answer = await client.request(
                "GET", f"job/log/{job_id}", json={"per_page": 1000, **arguments}
            )
            assert [row["message"] for row in answer.json()["data"]] == expected
            answer = await client.request(
                "GET", f"job/log/{job_id}", json={"per_page": 60, "page": 1, **arguments}
            )
            assert [row["message"] for row in answer.json()["data"]] == expected[60:120]


async def test_a_page_of_too_much_text_is_refused_and_a_shorter_one_is_not(
    client: httpx.AsyncClient,
    record: Callable[..., Awaitable[Recorder]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "MOST_TEXT", 1000)
    job_id = await enqueue(client)
    await (await record(job_id)).log("x" * 2000, *["x" * 100] * 20)
    answer = await client.get(f"job/log/{job_id}", params={"per_page": 5, "page": 1})
    assert answer.status_code == 200
    answer = await client.get(f"job/log/{job_id}", params={"per_page": 20})
    assert answer.status_code == 400
    assert "[per_page]" in answer.json()["error"]
    # A single record may exceed the limit.
    answer = await client.get(f"job/log/{job_id}", params={"per_page": 1})
    assert answer.json()["count"] == 1


async def test_the_log_of_a_past_job(
    client: httpx.AsyncClient,
    record: Callable[..., Awaitable[Recorder]],
    journal: Callable[[str], Awaitable[None]],
    api: RunningApi,
) -> None:
    job_id = await enqueue(client)
    await (await record(job_id)).log("a", "b")
    await api.status(job_id, state="complete")
    await journal(job_id)
    await api.until(lambda: not api.service.queue.get(job_id))
    body = (await client.get(f"job/log/{job_id}")).json()
    assert [row["message"] for row in body["data"]] == ["a", "b"]
    assert (await client.get(f"job/{job_id}")).json()["data"]["journal"] is True
