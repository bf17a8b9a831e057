"""How many past jobs there are of each kind, kept up with each change of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.upsert import adding

_SOME: Final = 500
"""Values in one IN list."""


class Kind(NamedTuple):
    """What past jobs are counted by."""

    qual_name: str
    state: str


@dataclass(slots=True)
class Difference:
    """Jobs that come and go, by kind."""

    jobs: Counter[Kind]
    bytes: Counter[Kind]

    @classmethod
    def none(cls) -> "Difference":
        """Nothing yet."""
        return cls(Counter(), Counter())

    def add(self, rows: Iterable[Any], sign: int = 1) -> None:
        """Rows that have a qual_name, a state and a size; a sign of -1 for those that go."""
        for row in rows:
            kind = Kind(row.qual_name, row.state)
            self.jobs[kind] += sign
            self.bytes[kind] += sign * row.size

    def write(self, connection: sa.Connection) -> None:
        """Write it, in the order of the kinds: two processes never wait in a circle."""
        rows = [
            {**kind._asdict(), "jobs": self.jobs[kind], "bytes": self.bytes[kind]}
            for kind in sorted(self.jobs)
            if self.jobs[kind] or self.bytes[kind]
        ]
        adding(connection, schema.tally, rows)


def lock(connection: sa.Connection) -> None:
    """Only one process at a time may change the past jobs. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        one = sa.select(schema.counter.c.value).where(schema.counter.c.name == "change")
        connection.execute(one.with_for_update())


def known(connection: sa.Connection, job_ids: Sequence[str]) -> list[Any]:
    """Kinds and sizes of these of the past jobs."""
    table = schema.job
    found: list[Any] = []
    for start in range(0, len(job_ids), _SOME):
        query = sa.select(table.c.qual_name, table.c.state, table.c.size)
        query = query.where(table.c.job_id.in_(job_ids[start : start + _SOME]))
        found += connection.execute(query).all()
    return found


def read(connection: sa.Connection) -> Mapping[Kind, int]:
    """How many jobs there are of each kind that there is one of."""
    table = schema.tally
    query = sa.select(table.c.qual_name, table.c.state, table.c.jobs).where(table.c.jobs > 0)
    return {Kind(row.qual_name, row.state): row.jobs for row in connection.execute(query)}
