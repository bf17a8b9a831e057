"""Lines that arrive during a transaction gather unread, and are taken together after it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import JOB, Recorder
from tests.unit.journal.fake_cluster import FakeCluster

from corejob_journal.recorder.ingest import intake
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.reading import LogReader
from corejob_journal.store.records import Append

Commit = Callable[[Any], Awaitable[Any]]
FIRST, SECOND = [LogLine(1, b"first")], [LogLine(2, b"second"), LogLine(3, b"third")]


async def follow(
    cluster: FakeCluster,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    committing: Callable[[Commit, Any], Awaitable[Any]],
) -> list[str]:
    """Follow a log of two chunks. Return the order of reading on and of storing lines."""
    order: list[str] = []
    writer = recorder.supervisor.commits._writer
    real = writer.commit

    async def commit(operations: Any) -> Any:
        if not any(isinstance(operation, Append) for operation in operations):
            return await real(operations)
        answers = await committing(real, operations)
        order.append("stored")
        return answers

    async def read(_reader: LogReader, **_more: Any) -> AsyncGenerator[list[LogLine], None]:
        yield FIRST
        order.append("read on")
        yield SECOND
        await asyncio.Event().wait()

    monkeypatch.setattr(writer, "commit", commit)
    monkeypatch.setattr(LogReader, "read", read)
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB, runtime="container")
    await recorder.until_count(3)
    return order


async def test_a_follower_reads_on_when_its_lines_are_stored(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_GATHER_S", DEADLINE)

    async def commit(real: Commit, operations: Any) -> Any:
        return await real(operations)

    order = await follow(cluster, recorder, monkeypatch, commit)
    assert order[:2] == ["stored", "read on"]
    assert await recorder.messages() == ["first", "second", "third"]


async def test_a_store_that_hangs_stops_no_reading(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def commit(real: Commit, operations: Any) -> Any:
        await asyncio.sleep(intake._GATHER_S * 10)
        return await real(operations)

    order = await follow(cluster, recorder, monkeypatch, commit)
    assert order[:2] == ["read on", "stored"]
    assert await recorder.messages() == ["first", "second", "third"]
