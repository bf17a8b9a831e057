"""Scans: off the event loop, one piece at a time for each user, and only for waiting clients."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import Recorder, RunningApi, enqueue
from tests.unit.api.test_loop_delay import asking

from corejob_api.http import call
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError
from corejob_api.query import ordering, patterns, scans
from corejob_api.query.filters import compile_filter
from corejob_api.query.scans import Scans
from corejob_api.query.selection import filter_argument, search_argument, sort_argument
from corejob_api.query.values import leaves

SLOW = "(a|b)*a(a|b){500}c"


class Busy:
    """Work that counts how many calls run at once, until it is told to end."""

    def __init__(self) -> None:
        self.now, self.most, self.done = 0, 0, 0
        self.end = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, _item: object = None) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.end.wait(DEADLINE)
        with self._lock:
            self.now -= 1
            self.done += 1

    async def runs(self, count: int = 1) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.now < count:  # noqa: ASYNC110  # of a thread
                await asyncio.sleep(0.002)


async def test_one_piece_at_a_time_runs_for_a_user() -> None:
    work, shared = Busy(), Scans()
    tasks = [asyncio.create_task(shared.of("a").map(work, [1])) for _ in range(3)]
    await work.runs()
    other = asyncio.create_task(shared.of("b").map(work, [1]))
    await work.runs(2)
    work.end.set()
    await asyncio.gather(*tasks, other)
    assert (work.most, work.done) == (2, 4)


async def test_the_next_piece_waits_for_one_that_was_cancelled() -> None:
    work, shared = Busy(), Scans()
    first = asyncio.create_task(shared.of("a").map(work, [1]))
    await work.runs()
    first.cancel()
    second = asyncio.create_task(shared.of("a").map(work, [1]))
    await asyncio.wait([second], timeout=0.05)
    assert work.most == 1
    work.end.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert (work.most, work.done) == (1, 2)


async def test_a_scan_that_waits_for_its_turn_can_be_cancelled() -> None:
    work, shared = Busy(), Scans()
    first = asyncio.create_task(shared.of("a").map(work, [1]))
    await work.runs()
    second = asyncio.create_task(shared.of("a").map(work, [1]))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    work.end.set()
    await first
    assert work.done == 1


async def test_a_scan_that_is_cancelled_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_PIECE_SECONDS", 0.0)
    work = Busy()
    task = asyncio.create_task(Scans().of("a").map(work, range(1000)))
    await work.runs()
    task.cancel()
    work.end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.done < 1000


async def test_pieces_make_up_the_whole_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_PIECE_SECONDS", 0.0)
    scan = Scans().of("a")
    assert await scan.map(lambda item: item * 2, [1, 2, 3]) == [2, 4, 6]
    assert await scan.keep(lambda item: item > 1, [1, 2, 3]) == [2, 3]
    assert await scan.map(str, []) == []
    with pytest.raises(ZeroDivisionError):
        await scan.map(lambda item: 1 / item, [1, 0])


async def test_work_ends_with_its_client() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    events = [{"type": "http.request"}, {"type": "http.disconnect"}]

    class Gone:
        async def receive(self) -> Any:
            return events.pop(0)

    with pytest.raises(ApiError, match="disconnected"):
        await call.while_connected(Gone(), work())  # type: ignore[arg-type]
    assert ended.is_set()


async def test_a_scan_of_a_client_that_is_gone_stops(
    served: RunningApi,
    record: Callable[..., Awaitable[Recorder]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served.client() as client:
        job_id = await enqueue(client)
    await (await record(job_id)).log(*["x"] * 500)
    seen = 0

    def slowly(_row: Any) -> bool:
        nonlocal seen
        seen += 1
        time.sleep(0.1)
        return True

    monkeypatch.setattr("corejob_api.query.selection.compile_filter", lambda _query: slowly)
    host, port = (served.url or "").removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(asking(f"/job/log/{job_id}", filter={"a": 1}))
    await served.until(lambda: seen > 0)
    writer.close()
    threads = served.service.scans._locks._locks
    await served.until(lambda: not threads)
    assert seen < 500


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [SLOW, "((x{30}){30})", r"\pL+", ".{60}", "a" * 400])
def test_patterns_of_large_programs_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"too costly: it compiles to \d+ steps, 300 are"):
        patterns.regex(pattern)
    assert patterns.regex(pattern, most=None).program > patterns.MAX_PROGRAM


@pytest.mark.parametrize(
    "pattern",
    [
        r"[\w.+-]+@[\w-]+\.[\w.-]+",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
        "error|warning|fatal|traceback|exception",
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "(a+)+$",
    ],
)
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert patterns.regex(pattern, "i").program < patterns.MAX_PROGRAM


@pytest.mark.parametrize("search", ["?" * 60, "*a?" * 40, "x" * 5000, "ü" * 300])
def test_searches_that_cost_too_much_are_refused(search: str) -> None:
    with pytest.raises(ApiError, match=r"\[search\]"):
        search_argument(Arguments({"search": search}))


def test_the_expressions_of_a_filter_are_summed_up() -> None:
    one = {"a": {"$regex": "x{150}"}}
    compile_filter({"$or": [one] * 6})
    for query in (
        {"$or": [one] * 7},
        {"$nor": [{"a": {"$not": {"$regex": "x{150}"}}}] * 7},
        {"a": {"$elemMatch": {"$or": [one] * 7}}},
        {"$and": [one, {"$or": [one, {"$and": [one] * 5}]}]},
    ):
        with pytest.raises(ValueError, match="too costly together"):
            compile_filter(query)


@pytest.mark.parametrize(
    "query",
    [
        {"a": {"$eq": list(range(30_000))}},
        {"a": {"$eq": {str(n): n for n in range(30_000)}}},
        {"$or": [{"a": {"$in": list(range(900))}} for _ in range(100)]},
    ],
)
def test_a_filter_has_a_size(query: Any) -> None:
    with pytest.raises(ApiError, match=r"\[filter\]: it has more than 20000 values"):
        filter_argument(Arguments({"filter": query}))


@pytest.mark.parametrize("sort", ["a" + ".a" * 20, [["a", 1], ["." * 400_000, -1]]])
def test_a_path_to_sort_by_is_bounded(sort: Any) -> None:
    with pytest.raises(ApiError, match=r"\[sort\]: the path \[.* has more than 20 parts"):
        sort_argument(Arguments({"sort": sort}))


def test_ways_through_nested_arrays_do_not_double() -> None:
    tree: Any = "x"
    for _ in range(30):
        tree = [{"0": tree}]
    # Without the visited arrays these are 17,711.
    assert 0 < len(leaves(tree, ("0",) * 20)) < 100


# --- the order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [1, -1])
def test_many_rows_are_sorted_in_parts_and_stay_stable(
    monkeypatch: pytest.MonkeyPatch, direction: int
) -> None:
    monkeypatch.setattr(ordering, "_AT_ONCE", 7)
    rows = [{"a": n % 5, "n": n} for n in range(100)]
    sort = (("a", direction),)
    keys = ordering.keys_of(sort)
    found = ordering.in_order([(row, keys(row)) for row in rows], sort)
    assert found == sorted(rows, key=lambda row: direction * row["a"])
    assert ordering.in_order([], sort) == []
