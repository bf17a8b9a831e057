"""The migrations: up and down, with the same tables as the code defines."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.unit.journal.conftest import JOB, OTHER, Feeder, source

from corejob_journal.recorder.main import open_store
from corejob_journal.store import (
    SchemaError,
    Store,
    StoreUnavailable,
    Writer,
    migrate,
    revision,
    schema,
)
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.records import (
    AddCount,
    Finalise,
    LogPosition,
    NewGap,
    NewOutput,
    NewRecord,
    PutDocument,
)


def execute(statement: sa.TextClause, row: dict[str, Any], connection: sa.Connection) -> None:
    connection.execute(statement, row)


def select(query: Any, connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    return connection.execute(query).all()


async def test_migrations_make_what_the_code_says(store_url: str, writer: Writer) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    database = Database(parse_url(store_url), writer=True)
    assert await database.run(differences) == []
    await database.close()


def test_the_newest_revision_is_that_of_the_last_migration() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == revision.HEAD


async def test_down_and_up_again(store_url: str) -> None:
    writer = await Writer.open(store_url)
    await writer.close()
    database = Database(parse_url(store_url), writer=True)
    await database.run(lambda connection: migrate.downgrade(connection, "base"))
    tables = await database.run(lambda connection: sa.inspect(connection).get_table_names())
    assert tables == ["alembic_version"]
    await database.run(migrate.upgrade)
    assert await database.run(revision.current) == "0008"
    await database.close()


async def test_the_history_of_the_queue_comes_and_goes_without_touching_the_rest(
    store_url: str,
) -> None:
    put = PutDocument("a" * 24, {"qual_name": "a", "state": "complete"}, 1.0)
    count = AddCount(1.0, {"pending": 1})
    for _ in range(2):
        writer = await Writer.open(store_url)
        await writer.commit([put, count])
        await writer.close()
        store = await Store.open(store_url)
        assert await store.history_count() == 1
        database = Database(parse_url(store_url), writer=True)
        await database.run(lambda connection: migrate.downgrade(connection, "0001"))
        assert await database.run(revision.current) == "0001"
        assert await store.document("a" * 24) is not None
        with pytest.raises(StoreUnavailable):
            await store.history_count()
        await store.close()
        await database.close()


async def fill(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Write rows into every table that keeps something, and return all rows."""
    writer = await Writer.open(url)
    first = Feeder(writer, await writer.open_stream(source()))
    second = Feeder(writer, await writer.open_stream(source(OTHER, uid="uid-2")))
    gone = Feeder(writer, await writer.open_stream(source("c" * 24, uid="uid-3")))
    exception = {"info": "ValueError('ä')", "text": ["a\n"]}
    records = [NewRecord(3, 1.25, 40, "quote ' and %s :name", exception)]
    outputs = [NewOutput(4, 1.5, "stderr", "printed \r")]
    enqueued = {"at": "2026-11-24T12:00:00.250000", "username": "hans"}
    document = {"qual_name": "a.Job", "state": "complete", "enqueued": enqueued}
    finished = {"finished_at": "2026-11-25T12:00:00"}
    await writer.commit(
        [
            first.append(records=records, outputs=outputs, position=LogPosition(5, 1, 4, 2)),
            first.append("after the gap", gaps=[NewGap(5, 7, "rotated")]),
            second.append("another job's", cookies=[("seen", [1, None])], sources=["a.csv"]),
            gone.append("of a job that retention has taken away"),
            Finalise(second.stream, second.token, lost=True, reason="PodGone", message="unknown"),
            PutDocument(JOB, document | finished, 7.0),
            PutDocument("c" * 24, document | finished, 8.0),
            AddCount(9.0, {"running": 2}),
        ]
    )
    await writer.drop(["c" * 24])
    await writer.close()
    return await content(url)


async def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables."""
    database = Database(parse_url(url), writer=True)

    def rows(connection: sa.Connection) -> dict[str, list[tuple[object, ...]]]:
        return {
            name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for name, table in schema.metadata.tables.items()
        }

    found = await database.run(rows)
    await database.close()
    return found


@pytest.mark.parametrize("revision", ["0003", "0002", "0001"])
async def test_going_down_and_up_again_keeps_what_the_older_tables_hold(
    store_url: str, revision: str
) -> None:
    before = await fill(store_url)
    # SQLite notifies readers in other processes by a table, PostgreSQL by a channel.
    silent = {"change"} if "postgresql" in store_url else set()
    assert {name for name, rows in before.items() if not rows} == silent
    database = Database(parse_url(store_url), writer=True)
    await database.run(lambda connection: migrate.downgrade(connection, revision))
    await database.close()
    writer = await Writer.open(store_url)
    after = await content(store_url)
    lost = {"0003": {"source"}, "0002": {"source", "dropped"}}
    lost["0001"] = {"source", "dropped", "queue_history"}
    # The place of printed lines is lost: they come after the log.
    assert {row[-1] for row in after["output"]} == {2}
    before["output"] = [(*row[:-1], 2) for row in before["output"]]
    # So are the places of trials whose logs are finalised.
    settled = [column.name for column in schema.stream.c].index("settled")
    assert {(row[settled], row[-2:]) for row in before["stream"]} == {
        (False, (1, 2)),
        (True, (1, 1)),
        (False, (1, 1)),
    }
    before["stream"] = [
        (*row[:-2], None, None) if row[settled] else row for row in before["stream"]
    ]
    assert {name for name in before if before[name] != after[name]} == lost[revision]
    assert all(after[name] == [] for name in lost[revision])
    # Writing goes on after the last record.
    feeder = Feeder(writer, await writer.open_stream(source()))
    assert feeder.stream.position.last_n == 0
    assert (await feeder.feed("more")).state.last_seq == 3
    await writer.close()


async def test_all_the_way_down_with_all_that_there_is(store_url: str) -> None:
    before = await fill(store_url)
    database = Database(parse_url(store_url), writer=True)
    await database.run(lambda connection: migrate.downgrade(connection, "base"))
    tables = await database.run(lambda connection: sa.inspect(connection).get_table_names())
    assert tables == ["alembic_version"]
    await database.close()
    assert (await fill(store_url)).keys() == before.keys()


async def test_past_jobs_can_be_listed_after_a_migration_and_before_it_is_undone(
    store_url: str,
) -> None:
    enqueued = {"at": "2026-11-24T12:00:00.250000", "username": "hans"}
    documents = [
        {"qual_name": "a", "state": "complete", "enqueued": enqueued, "finished_at": "2026-11-25"},
        {"qual_name": "b", "state": "error", "enqueued": {"at": None, "username": None}},
    ]
    database = Database(parse_url(store_url), writer=True)
    await database.run(lambda connection: migrate.upgrade(connection, "0002"))
    old = sa.text(
        "INSERT INTO job (job_id, qual_name, state, enqueued_at, finished_at, journaled_at, "
        "document) VALUES (:job_id, :qual_name, :state, NULL, NULL, 7, :document)"
    )
    for job_id, document in zip(("1" * 24, "2" * 24), documents, strict=True):
        text = json.dumps(document, separators=(",", ":"))
        row = {"job_id": job_id, "document": text} | {
            k: document[k] for k in ("qual_name", "state")
        }
        await database.run(partial(execute, old, row))
    for _ in range(2):
        writer = await Writer.open(store_url)
        await writer.close()
        table = schema.job.c
        columns = sa.select(table.username, table.enqueued_at, table.finished_at, table.size)
        columns = columns.order_by(table.job_id)
        rows = await database.run(partial(select, columns))
        sizes = [len(json.dumps(each, separators=(",", ":"))) for each in documents]
        assert [tuple(row) for row in rows] == [
            ("hans", enqueued["at"], "2026-11-25", sizes[0]),
            (None, "", "", sizes[1]),
        ]
        store = await Store.open(store_url)
        assert await store.past_kinds() == {("a", "complete"): 1, ("b", "error"): 1}
        assert await store.document("1" * 24) == documents[0]
        await store.close()
        await database.run(lambda connection: migrate.downgrade(connection, "0002"))
        query = sa.text("SELECT enqueued_at, finished_at, journaled_at FROM job ORDER BY job_id")
        times = await database.run(partial(select, query))
        assert times[0] == (pytest.approx(1795521600.25, abs=1e-3), 1795564800, 7)
        assert times[1] == (None, None, 7)
    await database.close()


async def test_opening_again_changes_nothing(store_url: str) -> None:
    put = PutDocument("a" * 24, {"qual_name": "a", "state": "complete"}, 1.0)
    for _ in range(2):
        writer = await Writer.open(store_url)
        await writer.commit([put])
        await writer.close()
    store = await Store.open(store_url)
    assert await store.document("a" * 24) is not None
    await store.close()


async def test_later_version_is_refused(store_url: str) -> None:
    writer = await Writer.open(store_url)
    await writer.close()
    database = Database(parse_url(store_url), writer=True)
    text = sa.text("UPDATE alembic_version SET version_num = '9999'")
    await database.run(lambda connection: connection.execute(text))
    await database.close()
    with pytest.raises(SchemaError, match="9999"):
        await Writer.open(store_url)


async def test_settings_of_sqlite(sqlite_url: str) -> None:
    writer = await Writer.open(sqlite_url)
    await writer.close()
    database = Database(parse_url(sqlite_url), writer=True)

    def pragmas(connection: sa.Connection) -> list[object]:
        names = ["journal_mode", "synchronous", "foreign_keys", "busy_timeout", "auto_vacuum"]
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await database.run(pragmas) == ["wal", 2, 1, 5000, 2]
    await database.close()


async def test_recorders_that_start_at_once_all_open_the_store(store_url: str) -> None:
    """One of them creates the tables; the others wait, however long that takes."""
    opening = (open_store(store_url, lambda _problem: None) for _ in range(3))
    for writer in await asyncio.gather(*opening):
        await writer.close()


async def test_a_writer_waits_for_another_one_that_creates_the_file(sqlite_url: str) -> None:
    path = str(sa.make_url(sqlite_url).database)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE some (value)")
    other.execute("BEGIN IMMEDIATE")  # before it has switched to WAL
    opening = asyncio.create_task(Writer.open(sqlite_url))
    await asyncio.wait([opening], timeout=0.2)
    waited = not opening.done()
    other.execute("ROLLBACK")
    other.close()
    await (await opening).close()
    assert waited
