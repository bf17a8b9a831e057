"""Calls of the store that share transactions."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import source

from corejob_journal.store import ForeignJobError, StoreUnavailable, Writer
from corejob_journal.store.records import LogSource, PutDocument
from corejob_journal.store.shared import SharedTransactions


class FakeDatabase:
    """Runs works when the test lets it, and counts transactions."""

    def __init__(self) -> None:
        self.transactions = 0
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.failures: list[Exception] = []

    async def run(self, work: Callable[[Any], Any]) -> Any:
        self.transactions += 1
        self.began.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return work(None)


def answering(value: Any) -> Callable[[sa.Connection], Any]:
    def work(_: sa.Connection) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return work


async def gathered(shared: SharedTransactions, *values: Any) -> list[Any]:
    async with asyncio.timeout(DEADLINE):
        calls = (shared.run(answering(value)) for value in values)
        return list(await asyncio.gather(*calls, return_exceptions=True))


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


@pytest.fixture
def shared(database: FakeDatabase) -> SharedTransactions:
    return SharedTransactions(database)  # type: ignore[arg-type]


async def test_calls_that_arrive_together_or_meanwhile_share_a_transaction(
    database: FakeDatabase, shared: SharedTransactions
) -> None:
    first = asyncio.create_task(gathered(shared, *range(50)))
    await database.began.wait()
    second = asyncio.create_task(gathered(shared, *range(50, 100)))
    await asyncio.sleep(0)
    database.gate.set()
    assert await first + await second == list(range(100))
    assert database.transactions == 2


async def test_a_call_that_fails_does_not_fail_the_others(
    database: FakeDatabase, shared: SharedTransactions
) -> None:
    database.gate.set()
    refusal = ForeignJobError("another job's")
    assert await gathered(shared, 1, refusal, 3) == [1, refusal, 3]
    assert await gathered(shared, 4) == [4]


async def test_each_caller_learns_that_the_store_is_away(
    database: FakeDatabase, shared: SharedTransactions
) -> None:
    database.gate.set()
    away = StoreUnavailable("away")
    database.failures.append(away)
    assert await gathered(shared, 1, 2) == [away, away]
    assert database.transactions == 1


async def test_a_cancelled_caller_does_not_disturb_the_others(
    database: FakeDatabase, shared: SharedTransactions
) -> None:
    leaving = asyncio.create_task(shared.run(answering(1)))
    staying = asyncio.create_task(shared.run(answering(2)))
    await asyncio.sleep(0)
    leaving.cancel()
    database.gate.set()
    assert await staying == 2
    await shared.finish()


async def test_a_refused_log_leaves_the_logs_that_were_opened_with_it(writer: Writer) -> None:
    def pod(number: int, owner: str) -> LogSource:
        given = source(f"6743{number:020x}", uid=f"uid-{number}")
        return LogSource(
            given.job_id, "a.Job", "hans", 1, given.pod_uid, given.pod, given.hostname, owner
        )

    await writer.commit([PutDocument(pod(1, "").job_id, _DOCUMENT, 1.0, "uid-other")])
    opened = await asyncio.gather(
        *(writer.open_stream(pod(number, "uid-mine")) for number in range(3)),
        return_exceptions=True,
    )
    assert isinstance(opened[1], ForeignJobError)
    stored = await writer.streams(["uid-0", "uid-1", "uid-2"])
    assert [stored["uid-0"], stored["uid-2"]] == [opened[0], opened[2]]
    assert "uid-1" not in stored


_DOCUMENT = {"qual_name": "a.Job", "state": "complete", "args": {}}
