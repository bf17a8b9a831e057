"""Counting the queue: the changes that write a row, and those that don't."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from tests.support.signals import DEADLINE, poll
from tests.unit.journal.conftest import JOB, OTHER, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster

from corejob import model, timestamps
from corejob.model import CoreJob
from corejob_journal.recorder.archive.queue_counts import QueueCounts
from corejob_journal.store import Store, StoreUnavailable
from corejob_journal.store.records import AddCount, Operation
from corejob_kube.cache import ObjectCache

NOW = timestamps.from_epoch(1_795_500_000.25)
LONG = 3600.0
Counts = dict[str, int]


class FakeCommits:
    """Stores counts, or delays and fails as a test sets."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[AddCount] = asyncio.Queue()
        self.times: list[float] = []
        self.held: list[asyncio.Future[Any]] | None = None
        self.failures: list[Exception] = []

    def submit(self, operations: Sequence[Operation]) -> "asyncio.Future[Any]":
        (count,) = operations
        assert isinstance(count, AddCount)
        self.taken.put_nowait(count)
        self.times.append(time.monotonic())
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failures:
            future.set_exception(self.failures.pop())
        elif self.held is None:
            future.set_result([])
        else:
            self.held.append(future)
        return future

    async def next(self) -> Counts:
        async with asyncio.timeout(DEADLINE):
            return dict((await self.taken.get()).states)

    def rest(self) -> list[Counts]:
        return [dict(self.taken.get_nowait().states) for _ in range(self.taken.qsize())]


class Jobs(ObjectCache):
    """The recorder's cache of CoreJobs."""

    def __init__(self) -> None:
        super().__init__("corejobs")
        self._last = 0

    def set(self, name: str, state: str, *, spec: Any = None, **status: Any) -> None:
        self._last += 1
        meta = {
            "name": name,
            "uid": name,
            "resourceVersion": str(self._last),
            "creationTimestamp": "2026-11-24T00:00:00Z",
        }
        body = {"qualName": "a.Job", **(spec or {})}
        self.put({"metadata": meta, "spec": body, "status": {"state": state, **status}})

    def delete(self, name: str) -> None:
        self._last += 1
        self.drop({"metadata": {"name": name, "resourceVersion": str(self._last)}})


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def commits() -> FakeCommits:
    return FakeCommits()


def of(jobs: Jobs, commits: FakeCommits, pause: float = 0.0) -> QueueCounts:
    return QueueCounts(jobs, commits, lambda: NOW, pause=pause)  # type: ignore[arg-type]


@asynccontextmanager
async def counting(
    jobs: Jobs, commits: FakeCommits, pause: float = 0.0
) -> AsyncIterator[QueueCounts]:
    made = of(jobs, commits, pause)
    made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_every_change_of_the_counts_is_written(jobs: Jobs, commits: FakeCommits) -> None:
    async with counting(jobs, commits):
        assert await commits.next() == {}
        jobs.set("a", "pending")
        assert await commits.next() == {"pending": 1}
        jobs.set("b", "pending")
        assert await commits.next() == {"pending": 2}
        jobs.set("a", "running")
        assert await commits.next() == {"pending": 1, "running": 1}
        jobs.set("a", "complete")
        assert await commits.next() == {"pending": 1}
        jobs.set("b", "pending", spec={"kill": True})
        assert await commits.next() == {"killed": 1}
        jobs.delete("b")
        assert await commits.next() == {}
    assert commits.rest() == []


async def test_the_time_is_that_of_the_count(jobs: Jobs, commits: FakeCommits) -> None:
    async with counting(jobs, commits):
        async with asyncio.timeout(DEADLINE):
            count = await commits.taken.get()
    assert count.created == 1_795_500_000.25


async def test_jobs_that_were_there_before_are_in_the_first_count(
    jobs: Jobs, commits: FakeCommits
) -> None:
    made = of(jobs, commits)
    for number in range(5):
        jobs.set(str(number), "running" if number else "error")
    made.start()
    assert await commits.next() == {"running": 4, "error": 1}
    await made.stop()
    assert commits.rest() == []


async def test_a_change_that_leaves_the_counts_is_not_written(
    jobs: Jobs, commits: FakeCommits
) -> None:
    async with counting(jobs, commits):
        await commits.next()
        jobs.set("a", "running")
        await commits.next()
        jobs.set("a", "running", progress={"value": 0.5})
        jobs.set("b", "complete")
        jobs.delete("b")
        jobs.set("c", "pending")
        assert await commits.next() == {"pending": 1, "running": 1}
    assert commits.rest() == []


async def test_only_the_latest_counts_of_a_burst_are_written_and_never_forgotten(
    jobs: Jobs, commits: FakeCommits
) -> None:
    async with counting(jobs, commits, LONG):
        await commits.next()
        for number in range(50):
            jobs.set(str(number), "pending")
        for number in range(50):
            jobs.set(str(number), "running")
    # The stop came within the pause, so only the last counts of the burst were written.
    assert commits.rest() == [{"running": 50}]


async def test_there_is_a_pause_between_two_rows(jobs: Jobs, commits: FakeCommits) -> None:
    async with counting(jobs, commits, 0.1):
        for number in range(4):
            await commits.next()
            jobs.set(str(number), "pending")
    pauses = [after - before for before, after in pairwise(commits.times[:4])]
    assert len(pauses) == 3
    assert min(pauses) > 0.095


async def test_while_the_store_is_away_the_latest_waits(jobs: Jobs, commits: FakeCommits) -> None:
    commits.held = []
    async with counting(jobs, commits):
        await commits.next()
        for number in range(10):
            jobs.set(str(number), "pending")
        (waiting,) = commits.held
        commits.held = None
        waiting.set_result([])
        assert await commits.next() == {"pending": 10}
    assert commits.rest() == []


@pytest.mark.filterwarnings("ignore")
async def test_a_count_that_is_refused_does_not_end_the_counting(
    jobs: Jobs, commits: FakeCommits
) -> None:
    commits.failures = [ValueError("no")]
    async with counting(jobs, commits):
        await commits.next()
        jobs.set("a", "pending")
        assert await commits.next() == {"pending": 1}


async def test_nothing_is_written_before_all_jobs_are_in(jobs: Jobs, commits: FakeCommits) -> None:
    made = of(jobs, commits)
    jobs.set("a", "pending")
    await made.stop()
    assert commits.rest() == []


async def test_a_change_costs_the_same_among_twenty_thousand_jobs(
    jobs: Jobs, commits: FakeCommits
) -> None:
    parsed = 0

    def parse(body: Any) -> CoreJob:
        nonlocal parsed
        parsed += 1
        return model.parse(body)

    made = QueueCounts(jobs, commits, lambda: NOW, pause=0.0, parse=parse)  # type: ignore[arg-type]
    made.start()
    try:
        for number in range(20_000):
            jobs.set(str(number), "pending")
        assert await commits.next() == {"pending": 20_000}
        parsed = 0
        for number in range(10):
            jobs.set(str(number), "running")
        assert await commits.next() == {"pending": 19_990, "running": 10}
    finally:
        await made.stop()
    assert parsed == 10


# --- within the recorder ----------------------------------------------------------------------


async def rows(store: Store) -> list[Counts]:
    try:
        return [row.states for row in await store.history_page(offset=0, limit=100)]
    except StoreUnavailable:
        return []


async def test_a_recorder_that_starts_anew_goes_on_from_the_last_row(
    cluster: FakeCluster, store_url: str
) -> None:
    await cluster.add_job(JOB, state="pending", trial=0)

    async with recorder_on(cluster, store_url) as recorder:

        async def has(*expected: Counts) -> None:
            async def reached() -> bool:
                return await rows(recorder.store) == list(expected)

            await poll(reached)

        await has({"pending": 1})
        await cluster.set_job(JOB, state="error", trial=0)
        await has({"pending": 1}, {"error": 1})
    async with recorder_on(cluster, store_url) as recorder:
        await cluster.add_job(OTHER, state="pending", trial=0)
        before = [{"pending": 1}, {"error": 1}]

        async def grown() -> bool:
            return len(await rows(recorder.store)) > 2

        await poll(grown)
        assert await rows(recorder.store) == [*before, {"pending": 1, "error": 1}]
    # Changes while no recorder ran appear in one row.
    cluster.remove("corejobs", OTHER)
    await cluster.set_job(JOB, state="killed")
    async with recorder_on(cluster, store_url) as recorder:

        async def caught_up() -> bool:
            return len(await rows(recorder.store)) > 3

        await poll(caught_up)
        assert (await rows(recorder.store))[3:] == [{"killed": 1}]


async def test_the_last_change_before_the_end_is_kept(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    async with recorder_on(cluster, sqlite_url) as recorder:

        async def started() -> bool:
            return await rows(recorder.store) == [{}]

        await poll(started)
        await cluster.add_job(JOB, state="pending", trial=0)

        async def seen() -> bool:
            return recorder.supervisor.jobs.get(JOB) is not None

        await poll(seen)
    store = await Store.open(sqlite_url)
    assert await rows(store) == [{}, {"pending": 1}]
    await store.close()
