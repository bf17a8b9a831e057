"""Changes of the store reach other processes quickly."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import JOB, OTHER, Feeder, emptied, postgres_url, source

from corejob_journal.store import Store, Writer, upsert
from corejob_journal.store import changes as changes_module
from corejob_journal.store.engine import connect_sqlite
from corejob_journal.store.records import PutDocument

CHILD = Path(__file__).parent / "writing_child.py"


async def test_first_item_stands_for_everything(store: Store) -> None:
    changes = store.changes()
    async with asyncio.timeout(DEADLINE):
        assert await anext(changes) == frozenset()


@pytest.mark.usefixtures("notified")
async def test_a_subscriber_gets_the_jobs_that_changed(
    store: Store, writer: Writer, feeder: Feeder
) -> None:
    async with asyncio.timeout(DEADLINE):
        changes = store.changes()
        await anext(changes)
        await feeder.feed("a")
        assert await anext(changes) == {JOB}
        put = PutDocument(OTHER, {"qual_name": "a", "state": "killed"}, 1.0)
        await writer.commit([put, feeder.append("b")])
        assert await anext(changes) == {JOB, OTHER}


@pytest.mark.usefixtures("notified")
async def test_slow_iteration_gets_one_larger_set(
    store: Store, writer: Writer, feeder: Feeder
) -> None:
    other = Feeder(writer, await writer.open_stream(source(OTHER, uid="uid-2")))
    async with asyncio.timeout(DEADLINE):
        slow, quick = store.changes(), store.changes()
        await anext(slow)
        await anext(quick)
        await feeder.feed("a")
        assert await anext(quick) == {JOB}
        await other.feed("b")
        assert await anext(quick) == {OTHER}
        assert await anext(slow) == {JOB, OTHER}


@pytest.mark.usefixtures("notified")
async def test_iterations_may_end_and_begin(store: Store, feeder: Feeder) -> None:
    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            changes = store.changes()
            await anext(changes)
            await feeder.feed("a")
            assert await anext(changes) == {JOB}
            await changes.aclose()  # type: ignore[attr-defined]


async def test_close_ends_iterations(store_url: str, writer: Writer) -> None:
    store = await Store.open(store_url)
    changes = store.changes()
    await anext(changes)
    ended = asyncio.create_task(anext(changes, None))
    await asyncio.sleep(0)
    await store.close()
    async with asyncio.timeout(DEADLINE):
        assert await ended is None


async def test_store_that_comes_later(store_url: str) -> None:
    """The watch starts by itself once the tables exist."""
    store = await Store.open(store_url)
    first = asyncio.ensure_future(anext(store.changes()))
    writer = await Writer.open(store_url)
    async with asyncio.timeout(DEADLINE):
        assert await first == frozenset()
    await writer.close()
    await store.close()


@pytest.mark.usefixtures("notified")
async def test_another_process_is_heard_without_a_slow_poll(store_url: str, store: Store) -> None:
    """By a notification, or by a poll of SQLite every few milliseconds."""
    assert changes_module._POLL_S <= 0.01
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), "steps", store_url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    async with asyncio.timeout(DEADLINE):
        changes = store.changes()
        await anext(changes)
        await child.stdout.readline()
        while not await store.log_state(JOB):
            await anext(changes)
        seen = 0
        for count in range(1, 11):
            child.stdin.write(b"\n")
            await child.stdin.drain()
            while seen < count:
                await anext(changes)
                seen = await store.log_count(JOB)
        child.stdin.close()
        await child.wait()


@pytest.fixture
async def postgres_store(postgres_database: str) -> AsyncIterator[tuple[Store, Feeder]]:
    url = emptied(postgres_database)
    writer = await Writer.open(url)
    store = await Store.open(url)
    yield store, Feeder(writer, await writer.open_stream(source()))
    await store.close()
    await writer.close()


async def test_lines_come_though_no_notification_does(
    postgres_store: tuple[Store, Feeder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that runs each transaction in another session."""
    monkeypatch.setattr(upsert, "CHANNEL", "nobody_listens")
    store, feeder = postgres_store
    async with asyncio.timeout(DEADLINE):
        changes = store.changes(lambda: [JOB])
        everything = store.changes()
        await anext(changes)
        await anext(everything)
        for number in range(3):
            await feeder.feed(f"line {number}")
            await anext(changes)
            assert await anext(everything) == frozenset()
            assert await store.log_count(JOB) == number + 1


async def test_a_subscriber_of_some_jobs_gets_changes_of_those_only(
    postgres_store: tuple[Store, Feeder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsert, "CHANNEL", "nobody_listens")
    store, feeder = postgres_store
    other = Feeder(feeder.writer, await feeder.writer.open_stream(source(OTHER, uid="uid-2")))
    async with asyncio.timeout(DEADLINE):
        changes = store.changes(lambda: [JOB])
        await anext(changes)
        await other.feed("not watched")
        await feeder.feed("watched")
        assert await anext(changes) == {JOB}
        put = PutDocument(JOB, {"qual_name": "a", "state": "killed"}, 1.0)
        await feeder.writer.commit([put])
        assert await anext(changes) == {JOB}


@pytest.mark.parametrize("how", ["pg_terminate_backend", "UNLISTEN"])
async def test_lines_come_though_the_listening_session_is_lost(
    postgres_store: tuple[Store, Feeder],
    postgres_database: str,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if how == "UNLISTEN":
        monkeypatch.setattr(changes_module, "CHANNEL", "core4_other")
    store, feeder = postgres_store
    async with asyncio.timeout(DEADLINE):
        changes = store.changes(lambda: [JOB])
        await anext(changes)
        if how != "UNLISTEN":
            plain = postgres_database.replace("+psycopg", "")
            with psycopg.connect(plain, autocommit=True) as connection:
                ended = connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'core4-journal-changes'"
                ).fetchall()
            # The server may still be ending such a session of an earlier test.
            assert (True,) in ended
        await feeder.feed("a line")
        assert await anext(changes) in (frozenset(), {JOB})
        assert await store.log_count(JOB) == 1


async def test_an_idle_store_is_not_asked_for_its_jobs(
    postgres_store: tuple[Store, Feeder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "_SLOW_POLL_S", 0.01)
    asked = 0

    def watched() -> list[str]:
        nonlocal asked
        asked += 1
        return [JOB]

    store, feeder = postgres_store
    async with asyncio.timeout(DEADLINE):
        changes = store.changes(watched)
        await anext(changes)
        await feeder.feed("a line")
        await anext(changes)
        before = asked
        await asyncio.sleep(1.5)
        assert asked - before <= 2


async def test_the_thread_that_listens_survives_whatever_fails_in_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = changes_module._SqliteFeed
    last, failures = feed._last, [RecursionError("odd"), ValueError("odd"), MemoryError("odd")]

    def fail(connection: Any) -> int:
        if failures:
            raise failures.pop()
        return last(connection)

    monkeypatch.setattr(feed, "_last", staticmethod(fail))
    writer, store = await Writer.open(sqlite_url), await Store.open(sqlite_url)
    changes = store.changes()
    async with asyncio.timeout(DEADLINE):
        assert await anext(changes) == frozenset()
    assert failures == []
    assert caplog.text.count("the store's changes can't be seen") == 3
    await changes.aclose()  # type: ignore[attr-defined]
    await store.close()
    await writer.close()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """SQL statements that the watch of changes in SQLite has executed."""
    executed: list[str] = []
    connect = connect_sqlite

    def connect_and_trace(url: Any, **options: Any) -> Any:
        connection = connect(url, **options)
        connection.set_trace_callback(executed.append)
        return connection

    monkeypatch.setattr(changes_module, "connect_sqlite", connect_and_trace)
    return executed


async def no_more(statements: list[str]) -> None:
    """Wait until no statement was executed within 40 polling intervals."""
    count = -1
    async with asyncio.timeout(DEADLINE):
        while count != len(statements):
            count = len(statements)
            await asyncio.sleep(40 * changes_module._POLL_S)


async def test_sqlite_is_only_queried_while_a_job_is_watched(
    sqlite_url: str, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "_IDLE_CHECK_S", 0.01)
    writer, store = await Writer.open(sqlite_url), await Store.open(sqlite_url)
    feeder = Feeder(writer, await writer.open_stream(source()))
    watched: set[str] = set()
    changes = store.changes(lambda: watched)
    assert await anext(changes) == frozenset()
    for number in range(3):
        await no_more(statements)
        statements.clear()
        await feeder.feed("nobody follows")
        await no_more(statements)
        assert statements == []
        watched.add(JOB)
        store.resume_changes()
        async with asyncio.timeout(DEADLINE):
            assert await anext(changes) == frozenset()
            assert await store.log_count(JOB) == 2 * number + 1
            await feeder.feed("somebody follows")
            assert await anext(changes) == {JOB}
        assert statements
        watched.clear()
    await store.close()
    await writer.close()


async def test_a_transaction_that_commits_after_a_newer_one_is_seen(
    postgres_server: str,
) -> None:
    url = postgres_url(postgres_server).replace("+psycopg", "")
    older, newer = psycopg.connect(url), psycopg.connect(url)
    with psycopg.connect(url, autocommit=True) as reader:

        def state() -> Any:
            return reader.execute(changes_module._LAST_TRANSACTION).fetchone()

        older.execute("SELECT pg_current_xact_id()")
        newer.execute("SELECT pg_current_xact_id()")
        newer.commit()
        between = state()
        assert state() == between
        older.commit()
        assert state() != between
    older.close()
    newer.close()
