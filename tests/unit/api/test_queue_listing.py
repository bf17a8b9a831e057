"""Listings of the queue, against whole rows that are masked, filtered, sorted and cut."""

import fnmatch
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob import document, timestamps
from corejob_api.http.arguments import Arguments
from corejob_api.http.paging import PageRequest
from corejob_api.query import patterns
from corejob_api.query.filters import compile_filter
from corejob_api.query.scans import Scans
from corejob_api.query.selection import Selection, search_argument
from corejob_api.query.values import key, leaves
from corejob_api.queue.catalogue import Catalogue
from corejob_api.queue.index import Queue
from corejob_api.queue.listing import QueueListing
from corejob_api.queue.masking import Masking
from corejob_kube.cache import ObjectCache

NOW = timestamps.from_epoch(1_800_000_000)
NAMES = ("shop.orders.Import", "shop.stock.Export", "other.Secret")
JOBS = st.lists(
    st.fixed_dictionaries(
        {
            "qualName": st.sampled_from(NAMES),
            "args": st.sampled_from([{}, {"n": 1}, {"n": "1"}, {"n": [2, 3]}, {"n": {"m": 1}}]),
            "priority": st.integers(0, 2),
            "state": st.sampled_from(["pending", "running", "failed", "killed"]),
        }
    ),
    max_size=12,
)
FILTERS: list[dict[str, Any]] = [
    {},
    {"args.n": 1},
    {"args.n": {"$gte": 2}},
    {"args.n.m": {"$exists": True}},
    {"state": {"$in": ["running", "killed"]}},
    {"qual_name": {"$regex": "^shop"}, "priority": {"$lt": 2}},
    {"name": "UnauthorizedJob"},
    {"$or": [{"highstate": "stopped"}, {"$nor": [{"message": None}]}]},
    {"prog.message": None, "prog.value": 0.5},
    {"sources": {"$size": 1}},
    {"runtime": {"$gt": 5}},
    {"age": {"$gt": 1_000_000}, "no_such_field": None},
    {"enqueued.username": "anna"},
]
SORTS: list[Any] = [
    None,
    [["_id", 1]],
    [["_id", -1]],
    [["_id", -1], ["priority", 1]],
    [["priority", -1], ["_id", 1]],
    [["priority", 1], ["_id", -1]],
    [["args.n", -1]],
    [["qual_name", 1], ["state", -1]],
    [["age", 1]],
    [["no_such_field", 1]],
]


def queue_of(jobs: list[dict[str, Any]]) -> Queue:
    cache = ObjectCache("corejobs")
    queue = Queue(cache, Catalogue(ObjectCache("corejobtemplates")))
    # Not in the order of their ids.
    for number, job in sorted(enumerate(jobs), key=lambda pair: (pair[0] % 3, pair[0])):
        name = f"{0x6743000000000000 + number * 65536 * 7:016x}{number:08x}"
        meta = {"name": name, "uid": name, "resourceVersion": str(number + 1)}
        spec = {key: value for key, value in job.items() if key != "state"}
        status: dict[str, Any] = {"state": job["state"], "trial": 1, "message": f"of {number}"}
        status["startTime"] = "2027-01-15T07:59:50Z"
        status["progress"] = {"value": 0.5, "message": "secret"}
        status["sources"] = ["a.csv"]
        spec["username"] = ("anna", "otto")[number % 2]
        cache.put({"metadata": meta, "spec": spec, "status": status})
    return queue


def listing(may_read: bool, **given: Any) -> QueueListing:
    arguments = Arguments({name: value for name, value in given.items() if value})
    masking = Masking(lambda name: may_read or name != "other.Secret")
    return QueueListing(Selection.of(arguments), search_argument(arguments), masking, NOW)


def plain(
    rows: list[dict[str, Any]], query: Any, sort: Any, search: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows that a listing shows, in order, by the definitions of docs/rest.md."""
    predicate = compile_filter(query)
    found = [row for row in rows if predicate(row)]
    for name, direction in reversed(sort or [["_id", 1]]):
        path = tuple(name.split("."))

        def sort_key(row: Any, path: Any = path, direction: int = direction) -> Any:
            keys: list[Any] = []
            for leaf in leaves(row, path):
                keys += map(key, leaf) if isinstance(leaf, list) else [key(leaf)]
            return (min if direction > 0 else max)(keys)

        found.sort(key=sort_key, reverse=direction < 0)
    return (row for row in found if fnmatch.fnmatch(row["qual_name"].lower(), f"*{search}*"))


@given(
    JOBS,
    st.sampled_from(FILTERS),
    st.sampled_from(SORTS),
    st.sampled_from(["", "s", "shop", "unauth", "o?ders"]),
    st.booleans(),
    st.integers(-3, 3),
)
async def test_a_page_is_that_of_all_rows(  # drawn
    jobs: list[dict[str, Any]], query: Any, sort: Any, search: str, may_read: bool, page: int
) -> None:
    queue = queue_of(jobs)
    asked = PageRequest(page, 3)
    listed = listing(may_read, filter=query, sort=sort, search=search)
    entries, window = await listed.page(queue, asked, Scans().of("anna"))
    rows = [listed.masking.row(document.document(entry.job, NOW)) for entry in queue.queued()]
    expected = list(plain(rows, query, sort, search))
    assert window == asked.window(len(expected))
    found = [listed.masking.row(entry.row(NOW)) for entry in entries]
    assert found == expected[window.start : window.stop]


async def test_a_filter_can_not_probe_what_its_user_may_not_read() -> None:
    job = {"qualName": "other.Secret", "args": {"n": 1}, "priority": 0, "state": "running"}
    queue = queue_of([job])
    for query in ({"args.n": 1}, {"qual_name": "other.Secret"}, {"prog.message": "secret"}):
        _, window = await listing(True, filter=query).page(queue, PageRequest(0, 9), SCAN)
        assert window.total == 1
        _, window = await listing(False, filter=query).page(queue, PageRequest(0, 9), SCAN)
        assert window.total == 0


SCAN = Scans().of("anna")
MANY = [
    {"qualName": NAMES[n % 2], "args": {"n": n}, "priority": n % 5, "state": "pending"}
    for n in range(2000)
]


@pytest.mark.parametrize(
    "given", [{}, {"sort": [["_id", -1]]}, {"filter": {"args.n": {"$gte": 5}}}, {"search": "ord"}]
)
async def test_only_the_jobs_of_the_page_are_rendered(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    rendered = 0
    render = document.document

    def counted(job: Any, now: datetime) -> Any:
        nonlocal rendered
        rendered += 1
        return render(job, now)

    monkeypatch.setattr(document, "document", counted)
    queue = queue_of(MANY)
    entries, window = await listing(True, **given).page(queue, PageRequest(2, 10), SCAN)
    assert [entry.row(NOW)["_id"] for entry in entries] == [entry.job.id for entry in entries]
    assert window.total in {2000, 1995, 1000}
    assert rendered == 10


async def test_each_version_of_a_job_renders_a_field_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    part_of = document.part_of

    def counted(names: frozenset[str]) -> Any:
        render = part_of(names)

        def rendering(job: Any, now: datetime) -> Any:
            rendered.append(job.name)
            return render(job, now)

        return rendering

    monkeypatch.setattr(document, "part_of", counted)
    queue = queue_of(MANY[:10])
    waiting = listing(True, filter={"state": "pending"}, sort=[["priority", 1]])
    for _ in range(2):
        _, window = await waiting.page(queue, PageRequest(0, 10), SCAN)
        assert window.total == 10
    assert len(rendered) == 10
    old = queue.queued()[3]
    meta = {"name": old.job.name, "uid": old.job.uid, "resourceVersion": "99"}
    queue.put({"metadata": meta, "spec": MANY[3], "status": {"state": "running"}})
    _, window = await waiting.page(queue, PageRequest(0, 10), SCAN)
    assert window.total == 9
    assert rendered[10:] == [old.job.name]
    # A page that shows a job keeps its document, whose age is that of this moment.
    assert all(entry.row(NOW)["age"] > 0 for entry in queue.queued())
    aged = listing(True, filter={"age": {"$gt": 0}})
    _, window = await aged.page(queue, PageRequest(0, 10), SCAN)
    later = replace(aged, now=timestamps.from_epoch(0))
    assert window.total == 10
    _, window = await later.page(queue, PageRequest(0, 10), SCAN)
    assert window.total == 0


async def test_a_search_looks_at_each_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    search = patterns.Pattern.__call__

    def counted(self: patterns.Pattern, text: str) -> bool:
        searched.append(text)
        return search(self, text)

    monkeypatch.setattr(patterns.Pattern, "__call__", counted)
    _, window = await listing(True, search="stock").page(queue_of(MANY), PageRequest(0, 10), SCAN)
    assert window.total == 1000
    assert sorted(searched) == sorted(NAMES[:2])


def test_an_entry_keeps_its_version_of_the_job() -> None:
    queue = queue_of(MANY[:1])
    (old,) = queue.queued()
    assert old.row(NOW)["state"] == "pending"
    meta = {"name": old.job.name, "uid": old.job.uid, "resourceVersion": "99"}
    status = {"state": "running", "startTime": "2027-01-15T07:59:50Z"}
    queue.put({"metadata": meta, "spec": MANY[0], "status": status})
    (new,) = queue.queued()
    assert (old.row(NOW)["state"], new.row(NOW)["state"]) == ("pending", "running")
    assert new.row(NOW)["runtime"] == 10.0
    assert new.identity == old.identity
