"""Group commit in front of a store that may be away."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.journal.fake_cluster import DEADLINE

from corejob_journal.recorder.commits import Commits
from corejob_journal.recorder.metrics import Metrics
from corejob_journal.store import StoreUnavailable
from corejob_journal.store.records import Operation, PutDocument, Stored


class FakeWriter:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.began = asyncio.Event()
        self.failures: list[Exception] = []
        self.poison = ""

    async def commit(self, operations: Sequence[Operation]) -> list[Stored]:
        names = [put.job_id for put in operations if isinstance(put, PutDocument)]
        self.batches.append(names)
        self.began.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.poison in names:
            raise ValueError(self.poison)
        return [Stored(None) for _ in operations]


def put(name: str) -> list[Operation]:
    return [PutDocument(name, {})]


@pytest.fixture
def fake() -> FakeWriter:
    return FakeWriter()


@pytest.fixture
async def commits(fake: FakeWriter) -> Any:
    queue = Commits(fake, Metrics())  # type: ignore[arg-type]
    queue.start()
    yield queue
    fake.gate.set()
    await queue.close(1.0)


async def test_what_arrives_meanwhile_goes_together(commits: Commits, fake: FakeWriter) -> None:
    first = commits.submit(put("a"))
    await fake.began.wait()
    others = [commits.submit(put(name)) for name in "bcd"]
    fake.gate.set()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(first, *others)
    assert fake.batches == [["a"], ["b", "c", "d"]]


async def test_store_away_is_waited_for(commits: Commits, fake: FakeWriter) -> None:
    fake.failures = [StoreUnavailable("full"), StoreUnavailable("full")]
    async with asyncio.timeout(DEADLINE):
        answer = commits.submit(put("a"))
        await fake.began.wait()
        fake.began.clear()
        fake.gate.set()
        await fake.began.wait()
        assert commits.trouble == "full"
        await answer
    assert commits.trouble is None
    assert fake.batches == [["a"]] * 3


@pytest.mark.filterwarnings("ignore")
async def test_bad_value_does_not_hold_up_others(commits: Commits, fake: FakeWriter) -> None:
    fake.poison = "b"
    futures = [commits.submit(put(name)) for name in "abc"]
    fake.gate.set()
    async with asyncio.timeout(DEADLINE):
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [list, ValueError, list]


async def test_close_commits_what_is_queued(fake: FakeWriter) -> None:
    queue = Commits(fake, Metrics())  # type: ignore[arg-type]
    queue.start()
    fake.gate.set()
    answer = queue.submit(put("a"))
    await queue.close(1.0)
    assert answer.done()
    assert fake.batches == [["a"]]
