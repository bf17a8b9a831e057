"""Stores of both kinds, a fake cluster, and a recorder between them."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.signals import DEADLINE, poll
from tests.unit.journal import postgres
from tests.unit.journal.fake_cluster import FakeCluster

from corejob_journal.recorder.ingest import followed_pod, log_follower, rotation
from corejob_journal.recorder.membership import Membership
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.publish import timing
from corejob_journal.recorder.supervisor import Supervisor
from corejob_journal.store import Store, Writer, engine, schema
from corejob_journal.store import changes as changes_module
from corejob_journal.store.records import Append, LogPosition, LogSource, NewRecord, StreamState
from corejob_process.clock import system_clock

JOB = "6743aaaaaaaaaaaaaaaaaaaa"
OTHER = "6743bbbbbbbbbbbbbbbbbbbb"
LONE = "the-only-recorder"
NEVER_S = 86_400.0
"""Seconds that do not pass in a test."""
_databases = itertools.count()


@pytest.fixture(autouse=True)
def quickly_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat a log of the fake cluster as complete as soon as its container has ended."""
    monkeypatch.setattr(followed_pod, "_FLUSH_S", 0.0)


@pytest.fixture(autouse=True)
def no_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a finalised log wait for no operator: the fake cluster has none."""
    monkeypatch.setattr(timing, "FINAL_STATE_S", 0.5)


@pytest.fixture(autouse=True)
def patient_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep PostgreSQL from ending a session when this machine is busy between two statements."""
    monkeypatch.setattr(engine, "_IDLE_MS", 60_000)


@pytest.fixture(autouse=True)
def in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no reader lag so much that it may have missed a file, however busy this machine is."""
    monkeypatch.setattr(rotation, "LAG_S", NEVER_S)
    monkeypatch.setattr(log_follower, "_STILL_FRESH_S", NEVER_S)


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let changes in PostgreSQL come by notifications only.

    A poll that is due just after a commit, but before its notification, says that anything may have
    changed.
    """
    monkeypatch.setattr(changes_module, "_SLOW_POLL_S", NEVER_S)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.server(postgres.programs()) as place:
        yield place


def postgres_url(place: str) -> str:
    """Create a database, and return its URL."""
    name = f"journal{next(_databases)}"
    with psycopg.connect(f"postgresql://core4@/postgres?{place}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://core4@/{name}?{place}"


@pytest.fixture(scope="session")
def postgres_database(postgres_server: str) -> str:
    """URL of the database that the tests share, one after the other."""
    return postgres_url(postgres_server)


def emptied(url: str) -> str:
    """Empty a database: creating and deleting one takes longer than most tests."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


async def until_no_session(url: str, condition: str) -> None:
    """Wait until PostgreSQL has no other session in this database that meets an SQL condition.

    A session outlives its client until the server has handled what that has sent.
    """
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        f" AND pid <> pg_backend_pid() AND {condition}"
    )
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        await poll(lambda: connection.execute(query).fetchone() == (0,))


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the lock of a SQLite file like another program."""
    path = str(engine.parse_url(url).database)
    connection = sqlite3.connect(path, isolation_level=None, timeout=DEADLINE)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty store: each test runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return emptied(request.getfixturevalue("postgres_database"))


@pytest.fixture
async def writer(store_url: str) -> AsyncIterator[Writer]:
    opened = await Writer.open(store_url)
    yield opened
    await opened.close()


@pytest.fixture
async def store(store_url: str, writer: Writer) -> AsyncIterator[Store]:
    opened = await Store.open(store_url)
    yield opened
    await opened.close()


async def outputs(url: str, job_id: str) -> list[tuple[int, str, str]]:
    """Number, channel and text of the lines that a job printed; the product doesn't read them."""
    table, job_log = schema.output, schema.job_log
    query = (
        sa.select(table.c.seq, table.c.channel, table.c.text)
        .join_from(table, job_log, job_log.c.no == table.c.job)
        .where(job_log.c.job_id == job_id)
        .order_by(table.c.seq)
    )
    database = engine.Database(engine.parse_url(url), writer=False)
    try:
        rows = await database.run(lambda connection: connection.execute(query).all())
    finally:
        await database.close()
    return [(row.seq, row.channel, row.text) for row in rows]


def source(job_id: str = JOB, trial: int = 1, uid: str = "uid-1") -> LogSource:
    return LogSource(job_id, "a.Job", "hans", trial, uid, "pod-1", "node-1")


class Feeder:
    """Appends to one stream, with its current fencing token."""

    def __init__(self, writer: Writer, stream: StreamState) -> None:
        self.writer = writer
        self.stream = stream
        self.token = stream.fencing_token

    def append(self, *texts: str, **more: Any) -> Append:
        records = [NewRecord(None, 1.5, 20, text) for text in texts]
        expect, self.token = self.token, self.token + 1
        fields: dict[str, Any] = {
            "records": records,
            "lines": len(texts),
            "position": LogPosition(),
        }
        return Append(self.stream, expect, self.token, **{**fields, **more})

    async def feed(self, *texts: str, **more: Any) -> Any:
        return (await self.writer.commit([self.append(*texts, **more)]))[0]


@pytest.fixture
async def feeder(writer: Writer) -> Feeder:
    return Feeder(writer, await writer.open_stream(source()))


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    fake = FakeCluster()
    await fake.start()
    yield fake
    await fake.stop()


class Recorder:
    """A recorder in this process, and a reader of its store."""

    def __init__(self, supervisor: Supervisor, store: Store) -> None:
        self.supervisor = supervisor
        self.store = store

    async def messages(self, job_id: str = JOB) -> list[str]:
        found: list[str] = []
        while page := (await self.store.log_after(job_id, len(found))).records:
            assert [record.seq for record in page] == list(
                range(len(found) + 1, len(found) + len(page) + 1)
            )
            found += [record.message for record in page]
        return found

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> None:
        """Wait until a condition on the store holds."""
        async with asyncio.timeout(DEADLINE):
            changes = self.store.changes()
            async for _ in changes:
                if await condition():
                    break
            await changes.aclose()  # type: ignore[attr-defined]

    async def until_count(self, count: int, job_id: str = JOB) -> None:
        async def enough() -> bool:
            return await self.store.log_count(job_id) >= count

        await self.until(enough)


@asynccontextmanager
async def recorder_on(
    cluster: FakeCluster, url: str, identity: str | None = None, **lease: Any
) -> AsyncIterator[Recorder]:
    """A recorder that is stopped in good order at the end; one of several if it has a name.

    `lease` has the `duration` and `renew_every` of its membership.
    """
    writer = await Writer.open(url)
    store = await Store.open(url)
    async with kube_client(cluster.url) as kube:
        membership = Membership(
            kube, NAMESPACE, identity or LONE, alone=identity is None, now=system_clock, **lease
        )
        supervisor = Supervisor(kube, NAMESPACE, writer, RecorderMetrics(), membership=membership)
        try:
            await supervisor.start()
            yield Recorder(supervisor, store)
        finally:
            await supervisor.stop()
            await store.close()
            await writer.close()


@pytest.fixture
async def recorder(cluster: FakeCluster, sqlite_url: str) -> AsyncIterator[Recorder]:
    async with recorder_on(cluster, sqlite_url) as running:
        yield running
