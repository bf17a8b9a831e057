"""How many jobs were in the queue, over time: a row for each change.

The order of the rows is that of their numbers, in which they were written: a clock that was set
back does not mix them up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.records import AddCount, QueueCount

_TABLE: Final = schema.queue_history
_ROW: Final = sa.select(_TABLE.c.no, _TABLE.c.created, _TABLE.c.total, _TABLE.c.states)
_SOME: Final = 500
"""Values in one IN list."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A span of time cut into steps of equal length, of which each shows its last row.

    Attributes:
        start: The first moment of the span, in seconds since the epoch.
        end: The last one.
        seconds: Length of a step; steps begin at its multiples since the epoch.
    """

    start: float
    end: float
    seconds: int


def add(connection: sa.Connection, count: AddCount) -> None:
    """Write a row, unless the last one says the same.

    So doing it again does nothing, and neither does a recorder that has just started, nor a second
    one beside it.
    """
    if connection.dialect.name == "postgresql":
        # Only one at a time may look at the last row and add to it. SQLite has one writer anyway.
        lock = sa.select(schema.counter.c.value).where(schema.counter.c.name == "change")
        connection.execute(lock.with_for_update())
    last = connection.execute(
        sa.select(_TABLE.c.states).order_by(_TABLE.c.no.desc()).limit(1)
    ).scalar_one_or_none()
    states = dict(count.states)
    if last == states:
        return
    row = {"created": count.created, "total": sum(states.values()), "states": states}
    connection.execute(sa.insert(_TABLE).values(row))


def count_rows(connection: sa.Connection) -> int:
    """How many rows there are."""
    return connection.execute(sa.select(sa.func.count()).select_from(_TABLE)).scalar_one()


def page(
    connection: sa.Connection, *, offset: int, limit: int, descending: bool
) -> list[QueueCount]:
    """Rows in order, or from the last one on."""
    return _rows(connection, _cut(_ROW, offset=offset, limit=limit, descending=descending))


def after(connection: sa.Connection, *, no: int, limit: int) -> list[QueueCount]:
    """Rows after number `no`, in order."""
    return _rows(connection, _ROW.where(_TABLE.c.no > no).order_by(_TABLE.c.no).limit(limit))


def pick(connection: sa.Connection, *, numbers: Sequence[int]) -> list[QueueCount]:
    """The rows of these numbers, in their order."""
    found: dict[int, QueueCount] = {}
    for start in range(0, len(numbers), _SOME):
        query = _ROW.where(_TABLE.c.no.in_(numbers[start : start + _SOME]))
        found.update({row.no: row for row in _rows(connection, query)})
    return [found[no] for no in numbers if no in found]


def count_steps(connection: sa.Connection, *, steps: Steps) -> int:
    """How many steps have a row."""
    rows = _last_rows(connection, steps).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()


def page_steps(
    connection: sa.Connection, *, steps: Steps, offset: int, limit: int, descending: bool
) -> list[QueueCount]:
    """The last row of each step that has one, in order, or from the last one on."""
    query = _ROW.where(_TABLE.c.no.in_(_last_rows(connection, steps)))
    return _rows(connection, _cut(query, offset=offset, limit=limit, descending=descending))


def _last_rows(connection: sa.Connection, steps: Steps) -> sa.Select[tuple[int]]:
    """The number of the last row of each step."""
    quotient = _TABLE.c.created / sa.literal(float(steps.seconds))
    step: sa.ColumnElement[Any]
    # SQLite may be built without `floor`, but cuts off; PostgreSQL's cast would round.
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
