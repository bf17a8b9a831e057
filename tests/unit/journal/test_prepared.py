"""The statements of the recorder's ordinary transaction: few, and their texts are made once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler
from tests.unit.journal.conftest import Feeder, source

from corejob_journal.store import Store, Writer, schema
from corejob_journal.store.prepared import SelectIn
from corejob_journal.store.records import NewOutput, NewRecord


@contextmanager
def executed(writer: Writer) -> Iterator[list[str]]:
    """Collect the texts of the writer's statements; one of many rows counts once."""
    texts: list[str] = []

    def note(_connection: Any, _cursor: Any, text: str, *_more: Any) -> None:
        texts.append(text)

    engine = writer._database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield texts
    sa.event.remove(engine, "before_cursor_execute", note)


async def feeders(writer: Writer, number: int) -> list[Feeder]:
    return [
        Feeder(writer, await writer.open_stream(source(f"{job:024}", uid=f"uid-{job}")))
        for job in range(number)
    ]


async def test_transactions_have_as_many_statements_for_many_lines_and_jobs_as_for_one(
    writer: Writer,
) -> None:
    jobs = await feeders(writer, 5)
    with executed(writer) as one:
        await writer.commit([jobs[0].append("a")])
    with executed(writer) as many:
        await writer.commit([job.append("b", "c", "d") for job in jobs])
    assert len(many) == len(one) <= 8


async def test_transactions_make_no_text_that_was_made_before(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await feeders(writer, 4)
    await writer.commit([job.append("a") for job in jobs])
    made: list[str] = []
    make = SQLCompiler.__init__

    def noted(self: SQLCompiler, *arguments: Any, **more: Any) -> None:
        make(self, *arguments, **more)
        made.append(str(self))

    monkeypatch.setattr(SQLCompiler, "__init__", noted)
    await writer.commit([job.append("b", "c") for job in jobs])
    await writer.commit([job.append("d") for job in jobs[:3]])
    assert made == []


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 500])
async def test_rows_are_selected_by_any_number_of_values(writer: Writer, number: int) -> None:
    jobs = await feeders(writer, 9)
    wanted = [jobs[index % 9].stream.job for index in range(number)]
    query = SelectIn(sa.select(schema.job_log.c.no).order_by("no"), schema.job_log.c.no)
    found = await writer._database.run(lambda connection: query.rows(connection, wanted))
    assert [row[0] for row in found] == sorted(set(wanted))


async def test_values_of_all_columns_come_back_as_they_were_stored(
    writer: Writer, store: Store, feeder: Feeder
) -> None:
    error = {"info": "ValueError('ü')", "text": ["Traceback\n", "% ? :x\n"]}
    records = [NewRecord(None, 1.5, 20, "100% ? :x ü"), NewRecord(7, 2.25, 40, "bad", error)]
    outputs = [NewOutput(8, 2.5, "stderr", "% ? :y")]
    answer = await feeder.feed(records=records, outputs=outputs, lines=3)
    assert answer.state.lost is False
    found = (await store.log_after(feeder.stream.job_id, 0, 10)).records
    assert [(one.epoch, one.levelno, one.message, one.exception) for one in found] == [
        (1.5, 20, "100% ? :x ü", None),
        (2.25, 40, "bad", error),
    ]
    select = sa.select(schema.log.c.n, schema.log.c.seq).order_by("seq")
    rows = await writer._database.run(lambda connection: connection.execute(select).all())
    assert [tuple(row) for row in rows] == [(None, 1), (7, 2)]
    select = sa.select(
        *(schema.output.c[name] for name in ("seq", "n", "epoch", "channel", "text"))
    )
    rows = await writer._database.run(lambda connection: connection.execute(select).all())
    assert [tuple(row) for row in rows] == [(1, 8, 2.5, "stderr", "% ? :y")]
