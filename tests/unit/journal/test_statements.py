"""The number of SQL statements that a transaction of the writer takes, on both databases."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.unit.journal.conftest import Feeder, source

from corejob_journal.store import Writer

# Of a transaction with appends: the rows of their jobs and streams are read and written, and their
# records are inserted. The rest begins the transaction, and tells the readers.
MOST = {"sqlite": 8, "postgresql": 6}


@pytest.fixture
def database(store_url: str) -> str:
    """`sqlite` or `postgresql`."""
    return sa.make_url(store_url).get_backend_name()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """SQL statements that all engines have executed; one with many rows counts once."""
    executed: list[str] = []

    def execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    yield executed
    sa.event.remove(sa.Engine, "before_cursor_execute", execute)


async def test_a_line_more_takes_no_statement_more(
    feeder: Feeder, statements: list[str], database: str
) -> None:
    await feeder.feed("first")
    counts = []
    for lines in (1, 10, 1000):
        statements.clear()
        await feeder.feed(*map(str, range(lines)))
        counts.append(len(statements))
    assert counts == [counts[0]] * 3, statements
    assert counts[0] <= MOST[database], statements


async def test_jobs_share_the_statements_of_a_transaction(
    writer: Writer, statements: list[str], database: str
) -> None:
    feeders = [
        Feeder(writer, await writer.open_stream(source(f"{number:024x}", uid=f"uid-{number}")))
        for number in range(20)
    ]
    await writer.commit([feeder.append("first") for feeder in feeders])
    statements.clear()
    await writer.commit([feeder.append("a", "b") for feeder in feeders])
    assert len(statements) <= MOST[database], statements
