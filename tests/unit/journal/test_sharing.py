"""Several recorders: their shares, and take-overs when one joins, leaves, dies or hangs."""

import asyncio
import os
import signal
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from tests.support.fake_apiserver.logs import BASE_NS
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.signals import DEADLINE, poll
from tests.unit.journal.conftest import (
    Feeder,
    Recorder,
    locked,
    postgres_url,
    recorder_on,
    source,
    until_no_session,
)
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import CLOSING, done, event, texts

from corejob import timestamps
from corejob.names import LABEL_RECORDER
from corejob_journal.recorder import rendezvous
from corejob_journal.recorder.archive.queue_counts import QueueCounts
from corejob_journal.recorder.membership import PREFIX
from corejob_journal.recorder.rendezvous import SHARED_DUTIES
from corejob_journal.store import StoreUnavailable, Writer, engine, schema
from corejob_journal.store.records import Probe
from corejob_kube.cache import ObjectCache

CHILD = Path(__file__).with_name("recording_child.py")
A, B, C = "recorder-a", "recorder-b", "recorder-c"
JOBS = [f"6743{number:020x}" for number in range(12)]
QUICK_S = 0.3
SHORT_LEASE = (2.0, QUICK_S)


# --- shares -----------------------------------------------------------------------------------


def test_each_key_has_one_owner_whatever_the_order_of_the_members() -> None:
    for key in JOBS:
        assert rendezvous.owner([A, B, C], key) == rendezvous.owner([C, A, B], key)
        assert rendezvous.owner([A], key) == A


def test_the_shares_are_about_equal() -> None:
    counts = Counter(rendezvous.owner([A, B, C], f"key {number}") for number in range(3000))
    assert all(900 < counts[member] < 1100 for member in (A, B, C))


def test_only_the_keys_of_a_member_that_leaves_move() -> None:
    for number in range(1000):
        before = rendezvous.owner([A, B, C], str(number))
        if before != C:
            assert rendezvous.owner([A, B], str(number)) == before


# --- recorders --------------------------------------------------------------------------------


def share(recorder: Recorder) -> int:
    """Return the number of logs that a recorder follows."""
    value = recorder.supervisor.metrics.registry.get_sample_value("core4_recorder_followers")
    return int(value or 0)


async def begin(cluster: FakeCluster) -> None:
    """Create a running pod for each job."""
    for job_id in JOBS:
        await cluster.add_job(job_id)
        await cluster.add_pod(job_id)


async def write(cluster: FakeCluster, first: int, last: int) -> None:
    """Write the same lines into each job's log."""
    for job_id in JOBS:
        await cluster.logs[f"{job_id}-1"].write(*(event(n) for n in range(first, last + 1)))


async def check(cluster: FakeCluster, recorder: Recorder, last: int) -> None:
    """End all jobs after line `last`, and check that each log has each line once, in order."""
    for job_id in JOBS:
        await cluster.logs[f"{job_id}-1"].write(*done(last + 1))
        await cluster.end_pod(f"{job_id}-1", 0)
    for job_id in JOBS:
        status = await cluster.finalised(job_id)
        assert status["lost"] is False
        assert await recorder.messages(job_id) == [*texts(1, last), CLOSING]


@asynccontextmanager
async def child(
    cluster: FakeCluster, url: str, identity: str, lease: tuple[float, ...] = ()
) -> AsyncIterator[Process]:
    """Run a recorder in a process of its own; kill it at the end."""
    given = (cluster.url, NAMESPACE, url, identity, *map(str, lease))
    process = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), *given, stdout=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(2 * DEADLINE):
            assert await process.stdout.readline() == b"recording\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def pods(cluster: FakeCluster) -> None:
    """The pods of the recorders."""
    for identity in (A, B):
        await cluster.add_recorder(identity)


@pytest.mark.usefixtures("pods")
async def test_one_that_comes_takes_its_share_and_one_that_leaves_gives_it_back(
    cluster: FakeCluster, store_url: str
) -> None:
    await begin(cluster)
    async with recorder_on(cluster, store_url, A, renew_every=QUICK_S) as first:
        await poll(lambda: share(first) == len(JOBS))
        await write(cluster, 1, 20)
        async with recorder_on(cluster, store_url, B, renew_every=QUICK_S) as second:
            owned = sum(second.supervisor.membership.owns(job_id) for job_id in JOBS)
            assert 0 < owned < len(JOBS)
            parts = (len(JOBS) - owned, owned)
            await poll(lambda: (share(first), share(second)) == parts)
            await write(cluster, 21, 40)
            for job_id in JOBS:
                await first.until_count(40, job_id)
        # A clean shutdown: the others need not wait for its Lease to expire.
        assert list(cluster.objects["leases"]) == [PREFIX + A]
        await poll(lambda: share(first) == len(JOBS))
        await write(cluster, 41, 60)
        await check(cluster, first, 60)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("pods")
async def test_one_that_is_killed_is_replaced_once_its_lease_has_expired(
    cluster: FakeCluster, postgres_server: str
) -> None:
    url = postgres_url(postgres_server)
    await begin(cluster)
    async with recorder_on(cluster, url, A) as first:
        async with child(cluster, url, B) as process:
            await poll(lambda: 0 < share(first) < len(JOBS))
            await write(cluster, 1, 30)
            for job_id in JOBS:
                await first.until_count(30, job_id)
            await write(cluster, 31, 60)
            process.kill()
            await write(cluster, 61, 90)
            # The pod still exists, as when the kubelet is about to restart its container.
            for job_id in JOBS:
                await first.until_count(90, job_id)
        assert share(first) == len(JOBS)
        await check(cluster, first, 90)


@pytest.mark.usefixtures("pods")
async def test_one_whose_pod_is_gone_is_replaced_at_the_next_look(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await begin(cluster)
    lease = {"duration": 3600.0, "renew_every": QUICK_S}
    async with recorder_on(cluster, sqlite_url, A, **lease) as first:
        async with child(cluster, sqlite_url, B):
            await poll(lambda: 0 < share(first) < len(JOBS))
        cluster.remove("pods", B)
        await poll(lambda: share(first) == len(JOBS))
        await poll(lambda: list(cluster.objects["leases"]) == [PREFIX + A])
        await write(cluster, 1, 5)
        await check(cluster, first, 5)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("pods")
async def test_one_that_hangs_and_comes_back_stores_nothing_twice(
    cluster: FakeCluster, store_url: str
) -> None:
    await begin(cluster)
    duration, renew_every = SHORT_LEASE
    async with (
        recorder_on(cluster, store_url, A, duration=duration, renew_every=renew_every) as first,
        child(cluster, store_url, B, SHORT_LEASE) as process,
    ):
        await poll(lambda: 0 < share(first) < len(JOBS))
        await write(cluster, 1, 30)
        for job_id in JOBS:
            await first.until_count(30, job_id)
        with ExitStack() as lock:
            if store_url.startswith("sqlite"):
                # Not while it is in a transaction, whose lock nobody could take from it.
                lock.enter_context(locked(store_url))
            process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
        await write(cluster, 31, 60)
        await poll(lambda: share(first) == len(JOBS))
        for job_id in JOBS:
            await first.until_count(60, job_id)
        # The recorder has lines in buffers, and does not know yet that another took over its share.
        process.send_signal(signal.SIGCONT)
        await write(cluster, 61, 90)
        await poll(lambda: share(first) < len(JOBS))
        await write(cluster, 91, 120)
        for job_id in JOBS:
            await first.until_count(120, job_id)
        await check(cluster, first, 120)


async def test_a_lone_recorder_has_no_lease(cluster: FakeCluster, sqlite_url: str) -> None:
    async with recorder_on(cluster, sqlite_url) as recorder:
        assert recorder.supervisor.membership.owns("anything")
        assert cluster.objects["leases"] == {}


@pytest.mark.usefixtures("pods")
async def test_the_lease_is_found_by_its_label(cluster: FakeCluster, sqlite_url: str) -> None:
    async with recorder_on(cluster, sqlite_url, A):
        (lease,) = cluster.objects["leases"].values()
        assert lease["metadata"]["name"] == PREFIX + A
        assert LABEL_RECORDER in lease["metadata"]["labels"]
        assert lease["spec"]["holderIdentity"] == A
    assert cluster.objects["leases"] == {}


@pytest.mark.usefixtures("pods")
async def test_shared_duties_are_one_recorders(cluster: FakeCluster, sqlite_url: str) -> None:
    async with (
        recorder_on(cluster, sqlite_url, A) as first,
        recorder_on(cluster, sqlite_url, B) as second,
    ):
        both = [first.supervisor.membership, second.supervisor.membership]
        await poll(lambda: sum(member.owns(SHARED_DUTIES) for member in both) == 1)


def _idle_ms(connection: sa.Connection) -> int:
    name = "idle_in_transaction_session_timeout"
    query = sa.text("SELECT setting::int FROM pg_settings WHERE name = :name")
    return int(connection.execute(query, {"name": name}).scalar_one())


def _hang(connection: sa.Connection, holds: threading.Event, end: threading.Event) -> None:
    connection.execute(sa.select(schema.job_log.c.no).with_for_update())
    # From now on only: on a busy machine the other statements may also be far apart.
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 1000")
    holds.set()
    end.wait(DEADLINE)
    connection.execute(sa.select(schema.job_log.c.no))


async def test_one_that_hangs_in_a_transaction_holds_nobody_up(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PostgreSQL ends the session that hangs, and not the writer that waits for its lock.
    monkeypatch.setattr(engine, "_LOCK_MS", int(2 * DEADLINE * 1000))
    url = postgres_url(postgres_server)
    other, hanging = await Writer.open(url), await Writer.open(url)
    assert await hanging._database.run(_idle_ms) == engine._IDLE_MS
    feeder = Feeder(other, await other.open_stream(source()))
    holds, end = threading.Event(), threading.Event()
    work = partial(_hang, holds=holds, end=end)
    task = asyncio.create_task(hanging._database.run(work))
    try:
        assert await asyncio.to_thread(holds.wait, DEADLINE)
        async with asyncio.timeout(DEADLINE):
            assert (await feeder.feed("a line")).stale is False
        end.set()
        with pytest.raises(StoreUnavailable):
            await task
        await hanging.commit([Probe()])
    finally:
        end.set()
        await asyncio.gather(task, return_exceptions=True)
        await hanging.close()
        await other.close()


async def test_one_that_hangs_between_statements_sent_as_one_holds_nobody_up(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL does not consider this session idle."""
    monkeypatch.setattr(engine, "_LOCK_MS", 1000)
    url = postgres_url(postgres_server)
    writer = await Writer.open(url)
    feeder = Feeder(writer, await writer.open_stream(source()))
    append = feeder.append("a line")
    hanging = writer._database.engine.raw_connection().driver_connection
    assert isinstance(hanging, psycopg.Connection)
    other = await Writer.open(url)
    pipeline = hanging.pipeline()
    pipeline.__enter__()
    # Fetch the result: without it the server may not have the lock yet.
    assert hanging.execute("SELECT no FROM job_log FOR UPDATE").fetchall()
    try:
        with pytest.raises(StoreUnavailable):
            await other.commit([append])
        # The server may take longer to end the session than the next commit waits for the lock.
        await until_no_session(url, f"pid = {hanging.info.backend_pid}")
        async with asyncio.timeout(DEADLINE):
            (stored,) = await other.commit([append])
        assert not stored.stale
        with pytest.raises(psycopg.OperationalError):
            pipeline.__exit__(None, None, None)
    finally:
        hanging.close()
        await writer.close()
        await other.close()


# --- counting ---------------------------------------------------------------------------------


class Taken:
    """Records the counts that are to be stored."""

    def __init__(self) -> None:
        self.counts: list[dict[str, int]] = []

    def submit(self, operations: list[object]) -> "asyncio.Future[list[object]]":
        self.counts += [dict(each.states) for each in operations]  # type: ignore[attr-defined]
        future: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        future.set_result([])
        return future


def corejob(name: str, version: int) -> dict[str, object]:
    meta = {
        "name": name,
        "uid": name,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-24T00:00:00Z",
    }
    return {"metadata": meta, "spec": {"qualName": "a.Job"}, "status": {"state": "pending"}}


async def test_a_recorder_knows_the_counts_when_its_turn_comes() -> None:
    jobs, taken = ObjectCache("corejobs"), Taken()
    queue_counts = QueueCounts(jobs, taken, lambda: timestamps.from_epoch(BASE_NS / 1e9), pause=0.0)  # type: ignore[arg-type]
    queue_counts.assign(mine=False)
    queue_counts.start()
    jobs.put(corejob("a", 1))
    jobs.put(corejob("b", 2))
    await asyncio.sleep(0)
    assert taken.counts == []
    queue_counts.assign(mine=True)
    await poll(lambda: taken.counts == [{"pending": 2}])
    queue_counts.assign(mine=False)
    jobs.put(corejob("c", 3))
    await queue_counts.stop()
    assert taken.counts == [{"pending": 2}]
