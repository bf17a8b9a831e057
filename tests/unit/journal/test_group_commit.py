"""Group commit on a store that may be unavailable."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.signals import DEADLINE

from corejob_journal.recorder import group_commit as module
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.store import StoreUnavailable
from corejob_journal.store.records import Operation, OperationResult, PutDocument


class FakeWriter:
    """A writer that answers when the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.began = asyncio.Event()
        self.failures: list[Exception] = []
        self.poison = ""

    async def commit(self, operations: Sequence[Operation]) -> list[OperationResult]:
        names = [put.job_id for put in operations if isinstance(put, PutDocument)]
        self.batches.append(names)
        self.sizes.append(len(operations))
        self.began.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.poison in names:
            raise ValueError(self.poison)
        return [OperationResult(None) for _ in operations]


def put(name: str) -> list[Operation]:
    return [PutDocument(name, {})]


@pytest.fixture
def fake() -> FakeWriter:
    return FakeWriter()


@pytest.fixture
async def commits(fake: FakeWriter) -> Any:
    queue = GroupCommit(fake, RecorderMetrics())  # type: ignore[arg-type]
    queue.start()
    yield queue
    fake.gate.set()
    await queue.close(1.0)


async def test_appends_that_arrive_during_a_commit_share_the_next(
    commits: GroupCommit, fake: FakeWriter
) -> None:
    first = commits.submit(put("a"))
    await fake.began.wait()
    others = [commits.submit(put(name)) for name in "bcd"]
    fake.gate.set()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(first, *others)
    assert fake.batches == [["a"], ["b", "c", "d"]]


async def test_store_away_is_waited_for(commits: GroupCommit, fake: FakeWriter) -> None:
    fake.failures = [StoreUnavailable("full"), StoreUnavailable("full")]
    async with asyncio.timeout(DEADLINE):
        answer = commits.submit(put("a"))
        await fake.began.wait()
        fake.began.clear()
        fake.gate.set()
        await fake.began.wait()
        assert commits.problem == "full"
        await answer
    assert commits.problem is None
    assert fake.batches == [["a"]] * 3


@pytest.mark.filterwarnings("ignore")
async def test_bad_value_does_not_hold_up_others(commits: GroupCommit, fake: FakeWriter) -> None:
    fake.poison = "b"
    futures = [commits.submit(put(name)) for name in "abc"]
    fake.gate.set()
    async with asyncio.timeout(DEADLINE):
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [list, ValueError, list]


async def test_trouble_is_told_when_it_comes_and_when_it_goes(
    commits: GroupCommit, fake: FakeWriter
) -> None:
    told: list[str | None] = []
    commits.listen(told.append)
    fake.failures = [StoreUnavailable("full"), StoreUnavailable("full"), StoreUnavailable("away")]
    fake.gate.set()
    async with asyncio.timeout(DEADLINE):
        await commits.submit(put("a"))
    assert told == ["full", "away", None]


async def test_a_full_store_is_noticed_without_an_append(
    fake: FakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.02)
    told: asyncio.Queue[str | None] = asyncio.Queue()
    queue = GroupCommit(fake, RecorderMetrics())  # type: ignore[arg-type]
    queue.listen(told.put_nowait)
    fake.failures = [StoreUnavailable("full")]
    fake.gate.set()
    queue.start()
    async with asyncio.timeout(DEADLINE):
        assert [await told.get(), await told.get()] == ["full", None]
    await queue.close(1.0)


async def test_a_ping_waits_until_the_store_takes_something(
    commits: GroupCommit, fake: FakeWriter
) -> None:
    first = commits.submit(put("a"))
    pings = [asyncio.create_task(commits.ping()) for _ in range(3)]
    await fake.began.wait()
    assert not any(ping.done() for ping in pings)
    fake.gate.set()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(first, *pings)
    # All three share one probe.
    assert fake.sizes == [1, 1]


async def test_reading_again_does_not_mean_that_writing_can_be_done(
    commits: GroupCommit, fake: FakeWriter
) -> None:
    answers: list[Exception | str] = [StoreUnavailable("away"), "read"]

    async def work(_: object) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with asyncio.timeout(DEADLINE):
        assert await commits.call(work) == "read"
        assert commits.problem == "away"
        fake.gate.set()
        await commits.ping()
    assert commits.problem is None


async def test_close_commits_what_is_queued(fake: FakeWriter) -> None:
    queue = GroupCommit(fake, RecorderMetrics())  # type: ignore[arg-type]
    queue.start()
    fake.gate.set()
    answer = queue.submit(put("a"))
    await queue.close(1.0)
    assert answer.done()
    assert fake.batches == [["a"]]
