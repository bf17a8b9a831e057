"""A store that can't be written to: the message, and its way to the API and back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from tests.support.fake_apiserver.http import use_kubeconfig, write_kubeconfig
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import (
    LONE,
    Feeder,
    locked,
    postgres_url,
    recorder_on,
    source,
)
from tests.unit.journal.fake_cluster import FakeCluster

from corejob.names import ANNOTATION_STORE_PROBLEM, LABEL_RECORDER
from corejob_journal.recorder import group_commit, main
from corejob_journal.recorder.membership import PREFIX
from corejob_journal.recorder.settings import RecorderSettings
from corejob_journal.store import Store, StoreUnavailable, Writer, engine
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.records import NewRecord, OperationResult, Probe

LOCKED = "another program keeps the store locked"
OTHER_RECORDER = "another-recorder"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the store all the time, and wait only briefly for a lock."""
    monkeypatch.setattr(group_commit, "_IDLE_S", 0.02)
    monkeypatch.setattr(engine, "_BUSY_S", 0.05)


# --- messages ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
async def test_a_locked_file(sqlite_url: str) -> None:
    writer = await Writer.open(sqlite_url)
    with locked(sqlite_url), pytest.raises(StoreUnavailable, match=LOCKED):
        await writer.commit([Probe()])
    await writer.commit([Probe()])
    await writer.close()


async def test_a_full_file(sqlite_url: str) -> None:
    writer = await Writer.open(sqlite_url)
    feeder = Feeder(writer, await writer.open_stream(source()))
    big = feeder.append(records=[NewRecord(None, 1.5, 20, "x" * 2**20)])
    pages = "PRAGMA max_page_count = "
    await writer._database.run(lambda c: c.exec_driver_sql(pages + "1"))
    with pytest.raises(StoreUnavailable, match="the store is full, make room on its volume"):
        await writer.commit([big])
    await writer._database.run(lambda c: c.exec_driver_sql(pages + "1000000"))
    assert (await writer.commit([big]))[0].stale is False
    await writer.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("53100", "the store is full, make room on its volume (all of it is taken"),
        ("57P01", "the store does not answer: all of it is taken"),
    ],
)
async def test_words_of_postgresql(postgres_server: str, code: str, words: str) -> None:
    database = Database(parse_url(postgres_url(postgres_server)), writer=True)
    text = f"DO $$ BEGIN RAISE 'all of it\nis taken' USING ERRCODE = '{code}'; END $$"
    with pytest.raises(StoreUnavailable) as caught:
        await database.run(lambda connection: connection.execute(sa.text(text)))
    assert str(caught.value).startswith(words)
    await database.close()


@pytest.mark.usefixtures("notified")
async def test_a_probe_writes_and_changes_nothing(store: Store, writer: Writer) -> None:
    changes = store.changes()
    assert await anext(changes) == frozenset()
    feeder = Feeder(writer, await writer.open_stream(source()))
    answers = await writer.commit([Probe(), feeder.append("a"), Probe()])
    assert [answer.state is None for answer in answers] == [True, False, True]
    assert await writer.commit([Probe()]) == [OperationResult(None)]
    async with asyncio.timeout(DEADLINE):
        assert await anext(changes) == {source().job_id}
    await changes.aclose()  # type: ignore[attr-defined]


# --- reported in the Lease --------------------------------------------------------------------


def told(cluster: FakeCluster, identity: str) -> Any:
    """Return the store's problem in the Lease of a recorder."""
    lease = cluster.objects["leases"].get(PREFIX + identity, {"metadata": {}})
    return (lease["metadata"].get("annotations") or {}).get(ANNOTATION_STORE_PROBLEM)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("identity", [None, OTHER_RECORDER], ids=["alone", "one of several"])
async def test_the_lease_tells_while_nothing_can_be_written(
    cluster: FakeCluster, sqlite_url: str, identity: str | None
) -> None:
    name = identity or LONE
    await cluster.add_recorder(name)
    async with recorder_on(cluster, sqlite_url, identity) as recorder:
        with locked(sqlite_url):
            await cluster.until(lambda: told(cluster, name))
            assert LOCKED in told(cluster, name)
            lease = cluster.objects["leases"][PREFIX + name]
            assert LABEL_RECORDER in lease["metadata"]["labels"]
            assert lease["spec"]["leaseDurationSeconds"] > 0
            # The Lease is renewed, since readers must not trust an expired one.
            before = lease["metadata"]["resourceVersion"]
            await cluster.until(
                lambda: (
                    cluster.objects["leases"][PREFIX + name]["metadata"]["resourceVersion"]
                    != before
                ),
            )
        await cluster.until(lambda: told(cluster, name) is None)
        if identity is None:
            await cluster.until(lambda: cluster.objects["leases"] == {})
        assert recorder.supervisor.commits.problem is None
    assert cluster.objects["leases"] == {}


async def test_the_lease_of_a_dead_recorder_is_deleted_when_the_next_one_starts(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    meta = {
        "name": PREFIX + "a-former-recorder",
        "labels": {LABEL_RECORDER: "member"},
        "annotations": {ANNOTATION_STORE_PROBLEM: "the store is full"},
    }
    cluster.put("leases", {"metadata": meta, "spec": {}})
    async with recorder_on(cluster, sqlite_url):
        await cluster.until(lambda: cluster.objects["leases"] == {})


@asynccontextmanager
async def serving(cluster: FakeCluster, url: str) -> AsyncIterator[None]:
    """Run the recorder's process without its signal handlers."""
    stop = asyncio.Event()
    settings = RecorderSettings(NAMESPACE, store_url=url, identity=LONE, host="127.0.0.1", port=0)
    task = asyncio.create_task(main.serve(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.mark.usefixtures("quick")
async def test_a_recorder_that_starts_before_it_can_write_tells_too(
    cluster: FakeCluster, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_kubeconfig(write_kubeconfig(tmp_path, cluster.url), monkeypatch)
    await (await Writer.open(sqlite_url)).close()
    with locked(sqlite_url):
        async with serving(cluster, sqlite_url):
            await cluster.until(lambda: told(cluster, LONE))
            assert LOCKED in told(cluster, LONE)
        # The process ended while it was waiting, and removed its Lease.
        assert cluster.objects["leases"] == {}
    with ExitStack() as lock:
        lock.enter_context(locked(sqlite_url))
        async with serving(cluster, sqlite_url):
            await cluster.until(lambda: told(cluster, LONE))
            lock.close()
            await cluster.until(lambda: cluster.objects["leases"] == {})


async def test_a_session_on_a_server_that_became_read_only_is_replaced(
    postgres_server: str,
) -> None:
    """After a failover a new session reaches the server that accepts writes."""
    url = postgres_url(postgres_server)
    writer = await Writer.open(url)
    await writer.commit([Probe()])
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        writer._database.engine.dispose()
        with pytest.raises(StoreUnavailable, match="read-only"):
            await writer.commit([Probe()])
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await writer.commit([Probe()])
    await writer.close()
