"""Listing past jobs: with every query plan of the store, the rows equal those of the documents."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, SECRET, RunningApi, running

from corejob_api.http.arguments import Arguments
from corejob_api.past import resource
from corejob_api.query import patterns
from corejob_api.query.scans import Scans
from corejob_api.query.selection import Selection
from corejob_api.queue.masking import UNAUTHORIZED, mask
from corejob_journal.store import Writer
from corejob_journal.store.records import PutDocument

OTHER = "core4.queue.other.Job"
NAMES = (DUMMY, OTHER, SECRET)
STATES = ("complete", "complete", "error", "killed")
USERS = ("hans", "", None, "scheduler")


def document(number: int) -> dict[str, Any]:
    """Return a past job; fields have different periods, and times don't follow the ids."""
    name, minute = NAMES[number % 3], number * 7 % 40
    ended = None if number % 5 == 0 else f"2026-11-{1 + number % 9:02}T12:{minute:02}:00"
    if ended and number % 2:
        ended += ".512000"
    return {
        "_id": f"{number:024x}",
        "name": name,
        "qual_name": name,
        "args": {"segment": number % 4, "text": f"t{number % 7}"},
        "state": STATES[number % 4],
        "prog": {"value": 1.0, "message": "said"},
        "trial": number % 3,
        "priority": number % 2,
        "enqueued": {"at": f"2026-10-{1 + number % 20:02}T08:00:00", "username": USERS[number % 4]},
        "finished_at": ended,
        "message": f"message {number}",
        "last_error": None,
        "sources": [],
    }


DOCUMENTS = [document(number) for number in range(60)]


@pytest.fixture
async def past(writer: Writer) -> None:
    await writer.commit([PutDocument(each["_id"], each, 1.0) for each in DOCUMENTS])


@pytest.fixture
async def dev(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    """The client of a user who may not read SECRET."""
    async with api.client("dev") as made:
        yield made


async def get(client: httpx.AsyncClient, **arguments: Any) -> dict[str, Any]:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in arguments.items()
    }
    answer = await client.get("job/journal", params=texts)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refused(client: httpx.AsyncClient, **arguments: Any) -> str:
    answer = await client.get("job/journal", params=arguments)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


def numbers(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return [int(row["_id"], 16) for row in rows]


async def walk(client: httpx.AsyncClient, **arguments: Any) -> list[Any]:
    """Return all rows, by cursor."""
    found, cursor = [], ""
    while True:
        body = await get(client, cursor=cursor, **arguments)
        assert body["page"] is body["page_count"] is body["total_count"] is None
        assert body["count"] == len(body["data"]) <= body["per_page"]
        found += body["data"]
        cursor = body["next_cursor"]
        if cursor is None:
            return found


async def expected(
    query: Any = None, sort: Any = None, search: str | None = None, *, masked: bool = False
) -> list[dict[str, Any]]:
    """Return the rows that the queue's own code selects."""
    given = {"filter": query or {}, "sort": sort or [["_id", 1]]}
    rows = [mask(row) if masked and row["qual_name"] == SECRET else row for row in DOCUMENTS]
    if search:
        fits = patterns.wildcard(search)
        rows = [row for row in rows if fits(row["qual_name"])]
    selection = Selection.of(Arguments(given))
    return await selection.apply(rows, Scans().of("test"), lambda row: row)


FILTERS: list[dict[str, Any]] = [
    {},
    {"qual_name": DUMMY},
    {"qual_name": SECRET},
    {"name": UNAUTHORIZED},
    {"qual_name": {"$regex": "SECRET", "$options": "i"}},
    {"qual_name": {"$not": {"$regex": "^core4"}}},
    {"state": "error"},
    {"state": {"$in": ["error", "killed", 3]}},
    {"state": {"$exists": False}},
    {"state": None},
    {"qual_name": DUMMY, "state": "complete"},
    {"qual_name": {"$ne": DUMMY}, "state": {"$nin": ["complete"]}},
    {"$or": [{"qual_name": DUMMY}, {"state": "killed"}]},
    {"$nor": [{"qual_name": DUMMY}, {"state": "killed"}]},
    {"_id": DOCUMENTS[7]["_id"]},
    {"_id": {"$gte": DOCUMENTS[10]["_id"], "$lt": DOCUMENTS[20]["_id"]}},
    {"_id": 7},
    {"finished_at": None},
    {"finished_at": {"$ne": None}},
    {"finished_at": {"$gte": "2026-11-05"}},
    {"finished_at": {"$lte": "2026-11-05T12:07:00"}},
    {"finished_at": {"$not": {"$gt": "2026-11-05"}}},
    {"finished_at": {"$gte": None}},
    {"finished_at": {"$lt": None}},
    {"finished_at": {"$gt": 5}},
    {"finished_at": {"$gt": ""}},
    {"finished_at": ""},
    {"finished_at": {"$in": [None, DOCUMENTS[1]["finished_at"], 5, True]}},
    {"finished_at": {"$nin": [None, DOCUMENTS[1]["finished_at"]]}},
    {"finished_at": {"$in": []}},
    {"finished_at": {"$exists": True}},
    {"enqueued.at": {"$gte": "2026-10-05", "$lt": "2026-10-07"}, "state": "complete"},
    {"enqueued.username": "hans"},
    {"enqueued.username": ""},
    {"enqueued.username": None},
    {"enqueued.username": {"$gte": ""}},
    {"enqueued.username": {"$ne": "hans"}},
    {"enqueued.username": {"$regex": "^s"}},
    {"enqueued.username": "hans\u0000"},
    {"$or": [{"enqueued.username": "hans"}, {"state": "error", "finished_at": None}]},
    {"$nor": [{"enqueued.username": "hans"}, {"finished_at": {"$gt": "2026-11-05"}}]},
    {"$or": [{"enqueued.username": "hans"}, {"args.segment": 1}]},
    {"$and": [{"state": "complete"}, {"$and": [{"args.segment": 0}, {"finished_at": None}]}]},
    {"args.segment": 1},
    {"args": None},
    {"args.text": "t3", "qual_name": DUMMY},
    {"enqueued": None},
    {"trial": {"$gte": 1}, "finished_at": {"$gt": "2026-11-04"}},
    {"$or": [{}, {"state": "error"}]},
]
SORTS: list[list[list[Any]]] = [
    [["_id", 1]],
    [["_id", -1]],
    [["finished_at", 1]],
    [["finished_at", -1]],
    [["finished_at", -1], ["_id", -1]],
    [["finished_at", 1], ["_id", -1]],
    [["enqueued.at", -1]],
    [["enqueued.at", 1], ["_id", -1], ["state", 1]],
]
UNINDEXED: list[list[list[Any]]] = [
    [["qual_name", 1]],
    [["state", -1], ["finished_at", 1]],
    [["priority", -1], ["_id", -1]],
    [["finished_at", 1], ["state", 1]],
]


@pytest.mark.usefixtures("past")
async def test_filters_find_what_they_find_in_the_documents(
    client: httpx.AsyncClient, dev: httpx.AsyncClient
) -> None:
    for query in FILTERS:
        for asking, masked in ((client, False), (dev, True)):
            rows = await expected(query, masked=masked)
            body = await get(asking, filter=query, per_page=100)
            assert body["data"] == rows, query
            assert body["total_count"] == len(rows), query
            assert await walk(asking, filter=query, per_page=7) == rows, query


@pytest.mark.usefixtures("past")
async def test_sorts_are_those_of_the_documents(
    client: httpx.AsyncClient, dev: httpx.AsyncClient
) -> None:
    queries: tuple[dict[str, Any], ...] = (
        {},
        {"state": "complete"},
        {"qual_name": {"$ne": OTHER}},
        {"args.segment": 1},
    )
    for sort, query in itertools.product([*SORTS, *UNINDEXED], queries):
        for asking, masked in ((client, False), (dev, True)):
            rows = await expected(query, sort, masked=masked)
            body = await get(asking, filter=query, sort=sort, per_page=100)
            assert numbers(body["data"]) == numbers(rows), (sort, query)
            if sort in SORTS:
                found = await walk(asking, filter=query, sort=sort, per_page=4)
                assert numbers(found) == numbers(rows), (sort, query)


@pytest.mark.usefixtures("past")
async def test_pages_from_both_ends(client: httpx.AsyncClient) -> None:
    for query in ({}, {"state": "complete"}, {"trial": 1}, {"finished_at": None}):
        for sort in (SORTS[0], SORTS[3], UNINDEXED[0]):
            rows = numbers(await expected(query, sort))
            count = -(-len(rows) // 8)
            for page in range(-count, count + 1):
                body = await get(client, filter=query, sort=sort, per_page=8, page=page)
                start = (page % count if page < count else page) * 8
                assert numbers(body["data"]) == rows[start : start + 8], (query, sort, page)
                assert (body["total_count"], body["page_count"]) == (len(rows), count)
                assert body["page"] == start // 8
                assert body["count"] == len(body["data"])


@pytest.mark.usefixtures("past")
async def test_a_page_says_where_the_next_one_begins(client: httpx.AsyncClient) -> None:
    for query in ({}, {"trial": 1}):
        rows = numbers(await expected(query))
        first = await get(client, filter=query, per_page=9)
        found = numbers(first["data"])
        cursor = first["next_cursor"]
        while cursor is not None:
            body = await get(client, filter=query, per_page=9, cursor=cursor)
            found += numbers(body["data"])
            cursor = body["next_cursor"]
        assert found == rows
        assert (await get(client, filter=query, per_page=9, page=-1))["next_cursor"] is None
    assert (await get(client, sort=UNINDEXED[0]))["next_cursor"] is None


@pytest.mark.usefixtures("past")
async def test_a_cursor_holds_while_jobs_come(client: httpx.AsyncClient, writer: Writer) -> None:
    newest = [["_id", -1]]
    first = await get(client, sort=newest, per_page=10)
    late = {**document(61), "_id": f"{1000:024x}"}
    await writer.commit([PutDocument(late["_id"], late, 1.0)])
    second = await get(client, sort=newest, per_page=10, cursor=first["next_cursor"])
    assert numbers(first["data"] + second["data"]) == list(range(59, 39, -1))


@pytest.mark.usefixtures("past")
async def test_search(client: httpx.AsyncClient, dev: httpx.AsyncClient) -> None:
    for search in ("dummy", "OTHER?Job", "other*secret", "unauth", "none"):
        for asking, masked in ((client, False), (dev, True)):
            rows = await expected(search=search, masked=masked)
            assert (await get(asking, search=search, per_page=100))["data"] == rows, search


@pytest.mark.usefixtures("past")
async def test_unreadable_past_jobs_are_masked_and_cannot_be_probed(
    dev: httpx.AsyncClient,
) -> None:
    rows = (await get(dev, per_page=100))["data"]
    hidden = [row for row in rows if row["qual_name"] == UNAUTHORIZED]
    assert len(rows) == 60
    assert len(hidden) == 20
    assert all(row["args"] is row["message"] is None for row in hidden)
    assert SECRET not in json.dumps(rows)
    for query in (
        {"qual_name": SECRET},
        {"message": DOCUMENTS[2]["message"]},
        {"args.segment": 2, "_id": DOCUMENTS[2]["_id"]},
    ):
        assert (await get(dev, filter=query))["data"] == []


@pytest.mark.usefixtures("past")
async def test_a_long_look_ends_and_goes_on(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "_MOST_READ", 6)
    query = {"message": {"$in": ["message 3", "message 50"]}}
    first = await get(client, filter=query, cursor="")
    assert (numbers(first["data"]), first["next_cursor"] is None) == ([3], False)
    assert numbers(await walk(client, filter=query)) == [3, 50]


@pytest.mark.usefixtures("past")
async def test_too_much_to_sort_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "_MOST_SORTED", 59)
    assert "narrow the filter" in await refused(client, sort="priority")
    body = await get(client, sort="priority", filter={"state": "error"})
    assert body["total_count"] == 15


@pytest.mark.usefixtures("past")
async def test_bad_arguments(client: httpx.AsyncClient) -> None:
    cursor = (await get(client, per_page=3))["next_cursor"]
    assert "another sort" in await refused(client, cursor=cursor, sort="finished_at")
    assert "exclude" in await refused(client, cursor=cursor, page=1)
    assert "goes with a sort" in await refused(client, cursor=cursor, sort="trial")
    for bad in ("x", "é", "W10", "bnVsbA", cursor[:-3]):
        assert "not a cursor of this server" in await refused(client, cursor=bad)
    assert "at most 1000" in await refused(client, per_page=1001)
    assert "[per_page]" in await refused(client, per_page=0)
    assert "[$no]" in await refused(client, filter='{"qual_name": {"$no": 1}}')
    assert "sort is 1 or -1" in await refused(client, sort='[["_id", 2]]')


async def test_nothing_is_past(client: httpx.AsyncClient) -> None:
    body = await get(client)
    paging = {key: body[key] for key in ("page", "page_count", "count", "total_count", "data")}
    assert paging == {"page": 0, "page_count": 0, "count": 0, "total_count": 0, "data": []}
    assert await walk(client, filter={"state": "error"}) == []


async def test_store_away_is_503(kube: FakeApiServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    async with running(kube, url, tmp_path) as api, api.client() as client:
        answer = await client.get("job/journal")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.usefixtures("past")
async def test_many_at_once(client: httpx.AsyncClient) -> None:
    bodies = await asyncio.gather(*(get(client, filter={"trial": n % 3}) for n in range(12)))
    assert [body["total_count"] for body in bodies] == [20] * 12
