"""Listing past jobs in the store: each query plan finds the same rows as a full scan."""

import asyncio
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from corejob_journal.store import (
    Kind,
    PastCursor,
    PastJob,
    PastOrder,
    PastQuery,
    Store,
    Writer,
    past,
)
from corejob_journal.store.conditions import (
    Absent,
    Among,
    Compare,
    Condition,
    Either,
    Every,
    Not,
    OfKinds,
)
from corejob_journal.store.records import PutDocument

COUNT = 120
ORDERS = [
    PastOrder(column, down, ids)
    for column in ("job_id", "enqueued_at", "finished_at")
    for down, ids in itertools.product((False, True), repeat=2)
    if column != "job_id" or down is ids
]


def job_id(number: int) -> str:
    return f"{number:024x}"


def document(number: int) -> dict[str, Any]:
    """Few are of class `b`; the order of `É` and `z` differs between language and code points."""
    ended = f"2026-11-{1 + number % 7:02}T00:00:00" if number % 4 else None
    return {
        "_id": job_id(number),
        "qual_name": "b" if number % 30 == 0 else f"a.{number % 2}",
        "state": "error" if number % 5 == 0 else "complete",
        "enqueued": {
            "at": f"2026-10-{1 + number % 9:02}T00:00:00",
            "username": (None, "z", "É", "")[number % 4],
        },
        "finished_at": ended,
    }


DOCUMENTS = [document(number) for number in range(COUNT)]


@pytest.fixture(autouse=True)
async def jobs(writer: Writer) -> None:
    await writer.commit([PutDocument(each["_id"], each, 1.0) for each in DOCUMENTS])


def place(order: PastOrder, doc: dict[str, Any]) -> PastCursor:
    values = {
        "job_id": doc["_id"],
        "enqueued_at": doc["enqueued"]["at"],
        "finished_at": doc["finished_at"] or "",
    }
    return PastCursor(values[order.column], doc["_id"])


def model(order: PastOrder, fits: Callable[[dict[str, Any]], bool]) -> list[PastCursor]:
    found = sorted((doc for doc in DOCUMENTS if fits(doc)), key=lambda doc: str(doc["_id"]))
    places = [place(order, doc) for doc in found]
    places.sort(key=lambda each: each.job_id, reverse=order.ids_descending)
    places.sort(key=lambda each: each.value, reverse=order.descending)
    return places


def of_kinds(kinds: Collection[tuple[str, str]]) -> Callable[[dict[str, Any]], bool]:
    return lambda doc: (doc["qual_name"], doc["state"]) in kinds


def failed(fits: Callable[[dict[str, Any]], bool]) -> Callable[[dict[str, Any]], bool]:
    return lambda doc: fits(doc) and doc["state"] == "error"


def places(jobs: Sequence[PastJob]) -> list[PastCursor]:
    return [job.cursor for job in jobs]


async def page(
    store: Store, past_query: PastQuery, order: PastOrder, offset: int, limit: int
) -> list[PastCursor]:
    return places(await store.past_page(past_query, order, lambda _: (offset, limit)))


async def walk(
    store: Store, past_query: PastQuery, order: PastOrder, limit: int
) -> list[PastCursor]:
    found: list[PastCursor] = []
    while jobs := await store.past_after(past_query, order, found[-1] if found else None, limit):
        assert len(jobs) <= limit
        found += places(jobs)
    return found


async def test_the_kinds_are_counted(store: Store, writer: Writer) -> None:
    counted = await store.past_kinds()
    for kind, jobs in counted.items():
        same = [d for d in DOCUMENTS if (d["qual_name"], d["state"]) == kind]
        assert len(same) == jobs
    assert sum(counted.values()) == COUNT
    again = {**DOCUMENTS[1], "state": "killed"}
    await writer.commit([PutDocument(again["_id"], again, 2.0)] * 2)
    changed = await store.past_kinds()
    assert changed[Kind("a.1", "complete")] == counted[Kind("a.1", "complete")] - 1
    assert changed[Kind("a.1", "killed")] == 1
    assert sum(changed.values()) == COUNT


async def test_two_writers_count_a_job_once(store: Store, store_url: str, writer: Writer) -> None:
    second = await Writer.open(store_url)
    for number in range(1000, 1020):
        put = PutDocument(job_id(number), {**document(number), "qual_name": "new"}, 1.0)
        other = PutDocument(job_id(number + 50), {**document(1), "qual_name": "new"}, 1.0)
        await asyncio.gather(writer.commit([put, other]), second.commit([other, put]))
    await second.close()
    counted = await store.past_kinds()
    assert sum(jobs for kind, jobs in counted.items() if kind.qual_name == "new") == 40


@pytest.mark.parametrize("along", [None, False, True])
async def test_kinds_in_each_order_by_each_way(
    store: Store, monkeypatch: pytest.MonkeyPatch, along: bool | None
) -> None:
    if along is not None:
        monkeypatch.setattr(past, "_along_is_cheaper", lambda *_: along)
    tally = await store.past_kinds()
    one = frozenset({Kind("a.1", "error")})
    some = frozenset(kind for kind in tally if kind.state == "error") | {Kind("b", "complete")}
    for kinds, order in itertools.product((frozenset(tally), one, some & set(tally)), ORDERS):
        past_query = PastQuery(tally, kinds)
        rows = model(order, of_kinds(kinds))
        assert await walk(store, past_query, order, 5) == rows
        for offset in range(0, len(rows) + 9, 9):
            assert await page(store, past_query, order, offset, 9) == rows[offset : offset + 9]
    assert await page(store, PastQuery(tally, frozenset()), PastOrder(), 0, 9) == []
    assert await walk(store, PastQuery(tally, frozenset()), PastOrder("finished_at"), 9) == []


CONDITIONS: list[tuple[Condition, Callable[[dict[str, Any]], bool]]] = [
    (Compare("job_id", ">=", job_id(100)), lambda d: d["_id"] >= job_id(100)),
    (Compare("job_id", "<", "0000000000000000000000Z"), lambda d: True),
    (Compare("finished_at", "=", "2026-11-03T00:00:00"), lambda d: "-03T" in str(d["finished_at"])),
    (Compare("finished_at", "<=", "2026-11-02"), lambda d: "-01T" in str(d["finished_at"])),
    (Compare("finished_at", ">=", ""), lambda d: d["finished_at"] is not None),
    (Absent("finished_at"), lambda d: d["finished_at"] is None),
    (Not(Absent("finished_at")), lambda d: d["finished_at"] is not None),
    (Absent("username"), lambda d: d["enqueued"]["username"] is None),
    (Compare("username", "=", ""), lambda d: d["enqueued"]["username"] == ""),
    (Compare("username", ">", "z"), lambda d: d["enqueued"]["username"] == "É"),
    (Not(Compare("username", ">", "z")), lambda d: d["enqueued"]["username"] != "É"),
    (Among("username", ("z", "x")), lambda d: d["enqueued"]["username"] == "z"),
    (Not(Among("username", ("z",))), lambda d: d["enqueued"]["username"] != "z"),
    (Among("username", ()), lambda d: False),
    (Either(()), lambda d: False),
    (Every(()), lambda d: True),
    (OfKinds(frozenset()), lambda d: False),
    (
        Either((Absent("username"), OfKinds(frozenset({Kind("b", "error")})))),
        lambda d: d["enqueued"]["username"] is None or d["qual_name"] == "b",
    ),
    (
        Not(Every((Absent("finished_at"), Compare("enqueued_at", ">", "2026-10-05")))),
        lambda d: not (d["finished_at"] is None and d["enqueued"]["at"] > "2026-10-05"),
    ),
]


async def test_conditions(store: Store) -> None:
    tally = await store.past_kinds()
    error = frozenset(kind for kind in tally if kind.state == "error")
    orders = (PastOrder(), PastOrder("finished_at", descending=True))
    for (condition, fits), order in itertools.product(CONDITIONS, orders):
        past_query = PastQuery(tally, frozenset(tally), (condition,))
        assert await walk(store, past_query, order, 50) == model(order, fits), condition
        narrow = PastQuery(tally, error, (condition,))
        rows = model(order, failed(fits))
        assert await walk(store, narrow, order, 7) == rows, condition
        half = len(rows) // 2
        assert await page(store, narrow, order, half, 5) == rows[half : half + 5], condition


async def test_documents_by_id(store: Store) -> None:
    ids = [job_id(number) for number in (5, 3, 4000, 4)]
    assert [doc["_id"] for doc in await store.past_documents(ids)] == [ids[0], ids[1], ids[3]]
    assert await store.past_documents([]) == []
