"""Retention deletes whole past jobs, oldest first, and nothing else."""

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.unit.journal.conftest import Feeder, outputs, source

from corejob_journal.recorder import retention_policy
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.retention import command
from corejob_journal.recorder.retention.deletion import Retention
from corejob_journal.recorder.retention_policy import DeletionCounts, RetentionPolicy
from corejob_journal.store import Candidate, Store, Writer, schema
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.records import AddCount, NewOutput, PutDocument
from corejob_process.settings import load

DAY = 86_400.0
NOW = datetime(2026, 11, 24, tzinfo=UTC)
TODAY = NOW.timestamp()


def job_id(number: int, days: float = 0.0) -> str:
    """Return an id that was created `days` days ago."""
    return f"{int((TODAY - days * DAY) * 65536):012x}{number:012x}"


async def add(
    writer: Writer, number: int, *, days: float = 0.0, lines: int = 3, document: bool = True
) -> str:
    """Archive a job with a log, as of `days` days ago."""
    name = job_id(number, days)
    feeder = Feeder(writer, await writer.open_stream(source(name, uid=f"uid-{name}")))
    outputs = [NewOutput(None, 1.0, "stdout", "x")] * lines
    await feeder.feed(*["line"] * lines, outputs=outputs, bytes=lines * 100)
    if document:
        content = {"qual_name": "a.Job", "state": "complete"}
        await writer.commit([PutDocument(name, content, TODAY - days * DAY)])
    return name


class Bench:
    """Retention and its surroundings."""

    def __init__(self, store: Store, writer: Writer, url: str) -> None:
        self.store = store
        self.metrics = RecorderMetrics()
        self.commits = GroupCommit(writer, self.metrics)
        self.writer = writer
        self.kept: set[str] = set()
        self.url = url

    def of(self, limits: dict[str, int] | None = None, **more: Any) -> Retention:
        return Retention(
            store=self.store,
            commits=self.commits,
            policy=RetentionPolicy(**more),
            kept=lambda: self.kept,
            mine=lambda: True,
            metrics=self.metrics,
            now=lambda: NOW,
            **(limits or {}),
        )

    async def rows(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        database = Database(parse_url(self.url), writer=False)
        tables = ("job", "job_log", "log", "output", "stream", "gap", "dropped", "change")

        def count(connection: sa.Connection) -> dict[str, int]:
            query = sa.select(sa.func.count())
            return {
                name: connection.execute(
                    query.select_from(schema.metadata.tables[name])
                ).scalar_one()
                for name in tables
            }

        found = await database.run(count)
        await database.close()
        return found

    async def present(self, names: Collection[str]) -> list[str]:
        return [name for name in names if await self.store.document(name) is not None]

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
def bench(store: Store, writer: Writer, store_url: str) -> Bench:
    return Bench(store, writer, store_url)


async def test_by_age_whole_jobs_go(bench: Bench, writer: Writer) -> None:
    old = [await add(writer, number, days=10 + number) for number in range(3)]
    new = [await add(writer, 100 + number, days=number) for number in range(2)]
    counts = await bench.of(max_age_days=9.5).apply()
    assert (counts.jobs, counts.first, counts.last) == (3, TODAY - 12 * DAY, TODAY - 10 * DAY)
    assert await bench.present(old + new) == new
    for name in old:
        assert await bench.store.log_state(name) is None
        assert (await bench.store.log_after(name, 0)).records == []
        assert await outputs(bench.url, name) == []
    for name in new:
        assert len((await bench.store.log_after(name, 0)).records) == 3
    rows = await bench.rows()
    assert (rows["job"], rows["job_log"], rows["log"], rows["output"]) == (2, 2, 6, 6)
    assert (rows["stream"], rows["dropped"]) == (2, 0)
    assert rows["change"] in {0, 2}  # PostgreSQL has none
    assert await bench.store.past_kinds() == {("a.Job", "complete"): 2}
    assert bench.metric("core4_recorder_retention_jobs_total") == 3
    assert bench.metric("core4_recorder_retention_bytes_total") == counts.bytes > 3 * 1024
    assert bench.metric("core4_recorder_stored_bytes") == await bench.store.stored_bytes()


async def test_by_size_the_oldest_go_until_it_fits(bench: Bench, writer: Writer) -> None:
    names = [await add(writer, number, days=20 - number, lines=number) for number in range(1, 9)]
    whole = await bench.store.stored_bytes()
    first, second, *_ = await bench.store.oldest(None, 10)
    counts = await bench.of(max_bytes=whole - first.bytes - 1).apply()
    assert (counts.jobs, counts.bytes) == (2, first.bytes + second.bytes)
    assert await bench.present(names) == names[2:]
    assert await bench.store.stored_bytes() == whole - counts.bytes
    assert (await bench.of(max_bytes=whole - counts.bytes).apply()).jobs == 0
    assert (await bench.of(max_bytes=1).apply()).jobs == 6
    assert await bench.store.stored_bytes() == 0


async def test_a_job_whose_resource_is_there_stays(bench: Bench, writer: Writer) -> None:
    names = [await add(writer, number, days=30 - number) for number in range(4)]
    orphan = await add(writer, 9, days=30, document=False)
    bench.kept = {names[0], names[2], orphan}
    assert (await bench.of(max_bytes=1, max_age_days=1).apply()).jobs == 2
    assert await bench.present(names) == [names[0], names[2]]
    assert len((await bench.store.log_after(orphan, 0)).records) == 3


async def test_a_job_whose_resource_comes_during_the_run_stays(
    bench: Bench, writer: Writer
) -> None:
    names = [await add(writer, number, days=20) for number in range(6)]
    orphan = await add(writer, 7, days=20, document=False)
    retention = bench.of({"jobs_at_once": 2}, max_age_days=10)
    calls = 0

    def kept() -> set[str]:
        nonlocal calls
        calls += 1
        return {names[4], orphan} if calls > 2 else set()

    retention._kept = kept
    counts = await retention.apply()
    assert (counts.jobs, counts.orphans) == (5, 0)
    assert await bench.present(names) == [names[4]]
    assert await bench.store.log_state(orphan) is not None


async def test_a_log_without_a_job_goes_by_the_age_of_its_id(bench: Bench, writer: Writer) -> None:
    old = await add(writer, 1, days=20, document=False)
    new = await add(writer, 2, days=1, document=False)
    assert (await bench.of(max_bytes=1).apply()).orphans == 0
    counts = await bench.of(max_age_days=10).apply()
    assert (counts.jobs, counts.orphans) == (0, 1)
    assert await bench.store.log_state(old) is None
    assert len((await bench.store.log_after(new, 0)).records) == 3


async def test_the_history_of_the_queue_goes_by_age(bench: Bench, writer: Writer) -> None:
    for days in (9, 8, 7, 3, 1):
        await writer.commit([AddCount(TODAY - days * DAY, {"pending": days})])
    counts = await bench.of(max_age_days=5).apply()
    assert counts.history == 2
    left = await bench.store.history_page(offset=0, limit=10)
    # The row of seven days ago still gives the counts of five days ago.
    assert [row.total for row in left] == [7, 3, 1]
    assert (await bench.of(max_age_days=5).apply()).history == 0


async def test_a_dry_run_says_the_same_and_does_nothing(
    bench: Bench, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    names = [await add(writer, number, days=number) for number in range(6)]
    await add(writer, 9, days=20, document=False)
    for days in (9, 8, 1):
        await writer.commit([AddCount(TODAY - days * DAY, {"pending": days})])
    before = await bench.rows()
    limits: dict[str, Any] = {"max_age_days": 2.5, "max_bytes": 4000}
    with caplog.at_level("INFO"):
        dry = bench.of(**limits, dry_run=True)
        reported = await dry.apply()
        await dry.apply()
    assert await bench.rows() == before
    assert await bench.present(names) == names
    assert caplog.text.count("would delete") == 1
    assert f"{reported.jobs} past jobs, about {reported.bytes} bytes" in caplog.text
    assert bench.metric("core4_recorder_retention_jobs_total") == 0
    done = await bench.of(**limits).apply()
    assert done == reported
    assert (done.jobs, done.orphans, done.history) == (4, 1, 1)


async def test_nothing_is_set_and_nothing_goes(bench: Bench, writer: Writer) -> None:
    name = await add(writer, 1, days=10_000)
    assert not RetentionPolicy(dry_run=True).is_set
    assert (await bench.of().apply()).is_empty
    assert await bench.present([name]) == [name]


async def test_a_long_log_goes_bit_by_bit_and_also_after_a_crash(
    bench: Bench, writer: Writer
) -> None:
    name = await add(writer, 1, days=20, lines=250)
    await writer.drop([name])
    assert await bench.store.document(name) is None
    assert await writer.sweep(100)
    assert (await bench.rows())["log"] == 150
    # Its process is gone: the next run finishes it, even if nothing else is due.
    assert (await bench.of({"rows_at_once": 100}, max_age_days=100).apply()).is_empty
    rows = await bench.rows()
    assert (rows["log"], rows["output"], rows["job_log"], rows["dropped"]) == (0, 0, 0, 0)
    assert not await writer.sweep(100)


async def test_dropping_twice_counts_once(bench: Bench, writer: Writer, store_url: str) -> None:
    names = [await add(writer, number, days=20) for number in range(20)]
    await add(writer, 100)
    second = await Writer.open(store_url)
    counts = await asyncio.gather(*(each.drop(names) for each in (writer, second)))
    await second.close()
    assert sorted(counts) == [0, 20]
    assert await bench.store.past_kinds() == {("a.Job", "complete"): 1}


async def test_appends_go_on_between_the_transactions(
    bench: Bench, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each append waits for one transaction of the deletion at most."""
    for number in range(20):
        await add(writer, number, days=20)
    live = Feeder(writer, await writer.open_stream(source(job_id(999))))
    left: list[int] = []
    drop, drops = writer.drop, 0

    async def append() -> None:
        await live.feed("line")
        left.append((await bench.rows())["job"])

    async def dropped(job_ids: Sequence[str]) -> int:
        nonlocal drops
        count = await drop(job_ids)
        drops += 1
        if drops == 2:
            # One slow append below may last from before the first deletion until after the last.
            await append()
        return count

    monkeypatch.setattr(writer, "drop", dropped)
    taking = asyncio.create_task(bench.of({"jobs_at_once": 4}, max_age_days=1).apply())
    while not taking.done():
        await append()
    assert (await taking).jobs == 20
    assert 12 in left
    assert await bench.store.log_count(job_id(999)) == len(left)


async def test_more_than_a_slice(bench: Bench, writer: Writer) -> None:
    names = [await add(writer, number, days=20, lines=1) for number in range(11)]
    lost = [await add(writer, 50 + n, days=20, lines=1, document=False) for n in range(7)]
    bench.kept = {names[1], names[2], names[3], names[4]}
    counts = await bench.of({"page": 3, "jobs_at_once": 2}, max_age_days=1).apply()
    assert (counts.jobs, counts.orphans) == (7, len(lost))
    assert await bench.present(names) == names[1:5]


async def test_space_of_a_sqlite_file_is_given_back(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/journal.db", tmp_path / "journal.db"
    writer, store = await Writer.open(url), await Store.open(url)
    bench = Bench(store, writer, url)
    feeder = Feeder(writer, await writer.open_stream(source(job_id(1, 20))))
    await feeder.feed(*["x" * 1000] * 1000, bytes=1_000_000)
    content = {"qual_name": "a.Job", "state": "complete"}
    await writer.commit([PutDocument(job_id(1, 20), content, TODAY - 20 * DAY)])

    def pages() -> tuple[int, int]:
        with sqlite3.connect(path) as connection:
            names = ("page_count", "freelist_count")
            counted = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        connection.close()
        return counted[0], counted[1]

    full, _ = pages()
    assert full > 250
    assert (await bench.of(max_age_days=1).apply()).jobs == 1
    count, free = pages()
    assert count < full / 4
    assert free == 0
    await store.close()
    await writer.close()


# --- settings and the command -------------------------------------------------------------------


def test_settings() -> None:
    assert load(RetentionPolicy, {}) == RetentionPolicy()
    environ = {
        "CORE4_RETENTION_MAX_AGE_DAYS": "30.5",
        "CORE4_RETENTION_MAX_SIZE": "5Gi",
        "CORE4_RETENTION_DRY_RUN": "true",
    }
    found = load(RetentionPolicy, environ)
    assert found == RetentionPolicy(30.5, 5 * 2**30, dry_run=True)
    assert found.is_set
    sizes = {"7": 7, "2Ki": 2048, "1Mi": 2**20, "3Ti": 3 * 2**40}
    assert {text: retention_policy.parse_size(text) for text in sizes} == sizes
    for name, value in (
        ("MAX_AGE_DAYS", "a"),
        ("MAX_AGE_DAYS", "-1"),
        ("MAX_AGE_DAYS", "nan"),
        ("MAX_SIZE", "5G"),
        ("MAX_SIZE", "-5"),
        ("DRY_RUN", "maybe"),
    ):
        with pytest.raises(ValueError, match=f"CORE4_RETENTION_{name}"):
            load(RetentionPolicy, {f"CORE4_RETENTION_{name}": value})


def test_arguments_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    configured = RetentionPolicy(30, 2**30)
    assert command.parse(["--dry-run"], configured) == RetentionPolicy(30, 2**30, dry_run=True)
    found = command.parse(["--dry-run", "--max-age-days=7", "--max-size", "5Mi"], configured)
    assert found == RetentionPolicy(7, 5 * 2**20, dry_run=True)
    for arguments in ([], ["--dry-run", "--max-size=5G"]):
        with pytest.raises(SystemExit):
            command.parse(arguments, configured)
    error = capsys.readouterr().err
    assert "--dry-run" in error
    assert "5G" in error


def test_the_command_prints_the_number_and_size_of_jobs_to_delete() -> None:
    counts = DeletionCounts()
    counts.add(Candidate(TODAY - DAY, "a", 5))
    counts.add(Candidate(TODAY, "b", 6))
    lines = command.report(counts, RetentionPolicy(7, 0, dry_run=True)).splitlines()
    values = dict(line.split(":", 1) for line in lines)
    found = {name: value.strip() for name, value in values.items()}
    assert found["past jobs to delete"] == "2"
    assert found["bytes, about"] == "11"
    assert found["journaled from"] == "2026-11-23T00:00:00 UTC"
    assert found["journaled to"] == "2026-11-24T00:00:00 UTC"
    assert found["kept at most, bytes"] == "any"
    assert "-" in command.report(DeletionCounts(), RetentionPolicy())
