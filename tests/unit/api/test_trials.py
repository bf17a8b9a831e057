"""The trials of a job: in its detail, and `trial=N` as a filter of its log."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import STARTED, Record, RunningApi, enqueue, stream

from corejob_journal.store import Store, StoreUnavailable
from corejob_journal.store.records import Append, LogPosition, NewGap, NewOutput, NewRecord

FIRST = {
    "trial": 1,
    "state": "failed",
    "reason": "CodeError",
    "exitCode": 1,
    "startTime": "2026-11-24T00:00:01Z",
    "endTime": "2026-11-24T00:00:02Z",
    "node": "node-1",
    "pod": "pod-1",
}
SECOND = {"trial": 2, "state": "running", "startTime": "2026-11-24T00:00:03Z", "pod": "pod-2"}
RUNNING = {**STARTED, "trial": 2, "pod": "pod-2", "trials": [FIRST, SECOND]}
SHOWN = [
    {
        "trial": 1,
        "state": "failed",
        "reason": "CodeError",
        "exit_code": 1,
        "started_at": "2026-11-24T00:00:01",
        "finished_at": "2026-11-24T00:00:02",
        "node": "node-1",
        "pod": "pod-1",
        "log_from": "000000000001",
        "log_to": "000000000004",
    },
    {
        "trial": 2,
        "state": "running",
        "reason": None,
        "exit_code": None,
        "started_at": "2026-11-24T00:00:03",
        "finished_at": None,
        "node": None,
        "pod": "pod-2",
        "log_from": "000000000003",
        "log_to": "000000000005",
    },
]


async def trials(client: httpx.AsyncClient, job_id: str) -> list[dict[str, Any]]:
    answer = await client.get(f"job/{job_id}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"]["trials"])


async def messages(client: httpx.AsyncClient, job_id: str, **more: Any) -> list[str]:
    answer = await client.get(f"job/log/{job_id}", params=more)
    assert answer.status_code == 200, answer.text
    return [row["message"] for row in answer.json()["data"]]


@pytest.fixture
async def job_id(api: RunningApi, client: httpx.AsyncClient, record: Record) -> str:
    """A job in its second trial; the last record of the first one came late."""
    made = await enqueue(client)
    first = await record(made)
    await first.log("one", "two", gap=NewGap(1, 2, "rotated"))
    second = await record(made, trial=2, pod="pod-2")
    await second.log("three", level=40)
    await first.log("late")
    await second.log("four", gap=NewGap(5, 6, "rotated"))
    await first.settle()
    await api.status(made, **RUNNING, log={"trial": 2})
    return made


async def test_a_detail_lists_them_with_their_places_in_the_log(
    client: httpx.AsyncClient, job_id: str
) -> None:
    assert await trials(client, job_id) == SHOWN


async def test_rows_of_a_listing_have_none(client: httpx.AsyncClient, job_id: str) -> None:
    [row] = (await client.get("job")).json()["data"]
    assert row["_id"] == job_id
    assert "trials" not in row


async def test_they_are_the_same_once_the_job_is_past(
    api: RunningApi,
    client: httpx.AsyncClient,
    job_id: str,
    journal: Callable[[str], Awaitable[None]],
) -> None:
    await journal(job_id)
    await api.until(lambda: api.seen(job_id) is None)

    answer = (await client.get(f"job/{job_id}")).json()["data"]
    assert (answer["journal"], answer["trials"]) == (True, SHOWN)
    [row] = (await client.get("job/journal")).json()["data"]
    assert "trials" not in row


async def test_a_job_that_has_not_started_has_none(client: httpx.AsyncClient) -> None:
    assert await trials(client, await enqueue(client)) == []


async def test_without_the_store_only_the_places_are_missing(
    client: httpx.AsyncClient, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Store, "trial_logs", away)
    nowhere = {"log_from": None, "log_to": None}
    assert await trials(client, job_id) == [entry | nowhere for entry in SHOWN]


async def test_each_pod_of_a_suspended_trial_has_its_own_place(
    api: RunningApi, client: httpx.AsyncClient, record: Record
) -> None:
    made = await enqueue(client)
    for pod in ("pod-1", "pod-2"):
        await (await record(made, pod=pod)).log("x", "y")
    suspended = {**FIRST, "state": "pending", "reason": "Suspended"}
    resumed = {**SECOND, "trial": 1}
    await api.status(made, **{**RUNNING, "trial": 1, "trials": [suspended, resumed]})

    places = [(each["log_from"], each["log_to"]) for each in await trials(client, made)]
    assert [(int(first), int(last)) for first, last in places] == [(1, 2), (3, 4)]
    assert await messages(client, made, trial=1) == ["x", "y", "x", "y"]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"trial": 1}, ["one", "two", "late"]),
        ({"trial": 2}, ["three", "four"]),
        ({"trial": 3}, []),
        ({"trial": 2, "level": "ERROR"}, ["three"]),
        ({"trial": 1, "grep": "t"}, ["two", "late"]),
        ({"trial": 1, "tail": 2}, ["two", "late"]),
        ({"trial": 1, "filter": '{"message": "late"}'}, ["late"]),
        ({"trial": 1, "from": 2}, ["two", "late"]),
        ({"trial": 2, "before": 5}, ["three"]),
        ({"trial": 2, "sort": "_id", "order": -1}, ["four", "three"]),
    ],
)
async def test_the_records_of_one(
    client: httpx.AsyncClient, job_id: str, where: dict[str, Any], found: list[str]
) -> None:
    assert await messages(client, job_id, **where) == found


async def test_numbers_and_levels_of_one(client: httpx.AsyncClient, job_id: str) -> None:
    where = {"trial": 2, "ids_only": True, "count_levels": True}
    answer = (await client.get(f"job/log/{job_id}", params=where)).json()
    assert answer["data"] == ["000000000003", "000000000005"]
    assert (answer["total_count"], answer["levels"]["ERROR"], answer["levels"]["INFO"]) == (2, 1, 1)


async def test_the_text_of_one_has_its_gaps_only(client: httpx.AsyncClient, job_id: str) -> None:
    answer = await client.get(f"job/log/{job_id}", params={"trial": 2, "format": "text"})
    lines = [line.split(" ", 1)[1].strip() for line in answer.text.splitlines()]
    assert lines == ["ERROR    three", "lines 5 to 6 are missing here: rotated --", "INFO     four"]


async def test_the_log_of_a_trial_has_the_output_of_that_trial(
    client: httpx.AsyncClient, record: Record
) -> None:
    made = await enqueue(client)
    for number in (1, 2):
        recorder = await record(made, trial=number)
        lines = [NewOutput(1, 1.0, "stdout", f"before {number}")]
        lines.append(NewOutput(3, 1.0, "stdout", f"after {number}", 1))
        append = Append(
            recorder.stream, recorder.token, recorder.token + 1, LogPosition(),
            records=[NewRecord(2, 1.0, 20, f"record {number}")], outputs=lines, lines=3,
        )  # fmt: skip
        await recorder.writer.commit([append])

    for number in (1, 2):
        expected = [f"before {number}", f"record {number}", f"after {number}"]
        assert await messages(client, made, trial=number, output=True) == expected


async def test_a_bad_number_is_named_with_a_remedy(client: httpx.AsyncClient, job_id: str) -> None:
    answer = await client.get(f"job/log/{job_id}", params={"trial": 0})
    assert answer.status_code == 400
    assert "parameter [trial] must be the number of a trial" in answer.json()["error"]
    assert "the job's detail lists its trials" in answer.json()["error"]


@pytest.mark.parametrize("more", ["", "&output=true"])
async def test_a_stream_of_one_ends_with_its_log_and_the_job_goes_on(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, more: str
) -> None:
    made = await enqueue(caller)
    first = await record(made)
    await first.log("one", gap=NewGap(1, 1, "rotated"))
    await served.status(made, **STARTED, trials=[{**SECOND, "trial": 1}], log={"trial": 1})
    path = f"job/log/{made}?follow=true&trial=1{more}"
    async with stream(caller, "GET", path) as frames:
        assert [event for event, _ in await frames.take(2)] == ["gap", "log"]
        await served.status(made, state="failed", trials=[FIRST])
        await first.log("late")
        assert (await frames.next())[1]["message"] == "late"
        second = await record(made, trial=2, pod="pod-2")
        await second.log("three", gap=NewGap(1, 1, "rotated"))
        await served.status(made, **RUNNING)
        await first.settle()
        assert await frames.rest() == [("close", {"log": 2, "gap": 1})]

    async with stream(caller, "GET", path.replace("trial=1", "trial=2")) as frames:
        assert [event for event, _ in await frames.take(2)] == ["gap", "log"]
        await served.status(made, state="complete")
        await second.settle()
        await served.log_complete(made, 2)
        assert await frames.rest() == [("close", {"log": 1, "gap": 1})]


async def test_a_stream_of_a_trial_to_come_waits_for_it(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    made = await enqueue(caller)
    await served.status(made, **STARTED, trials=[{**SECOND, "trial": 1}])
    async with stream(caller, "GET", f"job/log/{made}?follow=true&trial=2") as frames:
        first = await record(made)
        await first.log("one")
        await first.settle()
        second = await record(made, trial=2, pod="pod-2")
        await served.status(made, **RUNNING)
        await second.log("two")
        assert (await frames.next())[1]["message"] == "two"


async def test_a_suspended_trial_goes_on(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    made = await enqueue(caller)
    first = await record(made)
    await first.log("one")
    await first.settle()
    suspended = {**FIRST, "state": "pending", "reason": "Suspended"}
    await served.status(made, state="pending", trial=1, trials=[suspended], reason="Starting")
    await served.log_complete(made)
    async with stream(caller, "GET", f"job/log/{made}?follow=true&trial=1") as frames:
        assert (await frames.next())[1]["message"] == "one"
        await (await record(made, pod="pod-2")).log("resumed")
        assert (await frames.next())[1]["message"] == "resumed"


async def test_a_stream_of_a_trial_of_the_parent_ends_at_once(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    made = await enqueue(caller, {"trial": 3})
    async with stream(caller, "GET", f"job/log/{made}?follow=true&trial=2") as frames:
        assert await frames.rest() == [("close", {"log": 0})]
