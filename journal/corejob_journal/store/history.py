"""History of the queue's job counts: one row for each change.

Rows are ordered by their numbers, in the order of writing, so that a clock that was set back does
not reorder them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from corejob_journal.store import past_counts, schema
from corejob_journal.store.records import AddCount, QueueCount
from corejob_journal.store.slices import in_slices

_TABLE: Final = schema.queue_history
_ROW: Final = sa.select(_TABLE.c.no, _TABLE.c.created, _TABLE.c.total, _TABLE.c.states)


@dataclass(frozen=True, slots=True)
class Steps:
    """A time span divided into steps of equal length; each step is represented by its last row.

    Attributes:
        start: Start of the span (inclusive), in seconds since the epoch.
        end: End of the span (inclusive), in seconds since the epoch.
        seconds: Length of a step; steps begin at its multiples since the epoch.
    """

    start: float
    end: float
    seconds: int


def add(connection: sa.Connection, count: AddCount) -> None:
    """Insert a row unless the last row has the same counts.

    The call is idempotent: a retry, a restarted recorder or a second recorder adds no duplicate.
    """
    # Another recorder must not insert between reading the last row and inserting the next.
    past_counts.lock(connection)
    last = connection.execute(
        sa.select(_TABLE.c.states).order_by(_TABLE.c.no.desc()).limit(1)
    ).scalar_one_or_none()
    states = dict(count.states)
    if last == states:
        return
    row = {"created": count.created, "total": sum(states.values()), "states": states}
    connection.execute(sa.insert(_TABLE).values(row))


def count_rows(connection: sa.Connection) -> int:
    """Return the number of rows."""
    return connection.execute(sa.select(sa.func.count()).select_from(_TABLE)).scalar_one()


def page(
    connection: sa.Connection, *, offset: int, limit: int, descending: bool
) -> list[QueueCount]:
    """Return a page of rows, in ascending or descending order."""
    return _rows(connection, _cut(_ROW, offset=offset, limit=limit, descending=descending))


def after(connection: sa.Connection, *, no: int, limit: int) -> list[QueueCount]:
    """Return rows after number `no`, in ascending order."""
    return _rows(connection, _ROW.where(_TABLE.c.no > no).order_by(_TABLE.c.no).limit(limit))


def pick(connection: sa.Connection, *, numbers: Sequence[int]) -> list[QueueCount]:
    """Return the rows with these numbers, in the order of `numbers`, without missing ones."""
    rows: dict[int, QueueCount] = {}
    for part in in_slices(numbers):
        query = _ROW.where(_TABLE.c.no.in_(part))
        rows.update({row.no: row for row in _rows(connection, query)})
    return [rows[no] for no in numbers if no in rows]


def count_steps(connection: sa.Connection, *, steps: Steps) -> int:
    """Return the number of steps that have a row."""
    rows = _last_rows(connection, steps).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()


def page_steps(
    connection: sa.Connection, *, steps: Steps, offset: int, limit: int, descending: bool
) -> list[QueueCount]:
    """Return a page of the last rows of the steps, in ascending or descending order.

    Steps without a row are left out.
    """
    query = _ROW.where(_TABLE.c.no.in_(_last_rows(connection, steps)))
    return _rows(connection, _cut(query, offset=offset, limit=limit, descending=descending))


def _last_rows(connection: sa.Connection, steps: Steps) -> sa.Select[tuple[int]]:
    """Return a query for the number of the last row of each step."""
    quotient = _TABLE.c.created / sa.literal(float(steps.seconds))
    step: sa.ColumnElement[Any]
    # SQLite may be built without `floor`, but its cast truncates; PostgreSQL's cast would round.
    if connection.dialect.name == "sqlite":
        step = sa.cast(quotient, sa.Integer)
    else:
        step = sa.func.floor(quotient)
    within = _TABLE.c.created.between(steps.start, steps.end)
    return sa.select(sa.func.max(_TABLE.c.no)).where(within).group_by(step)


def _cut(query: sa.Select[Any], *, offset: int, limit: int, descending: bool) -> sa.Select[Any]:
    order = _TABLE.c.no.desc() if descending else _TABLE.c.no
    return query.order_by(order).offset(offset).limit(limit)


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[QueueCount]:
    return [QueueCount(*row) for row in connection.execute(query)]
