"""Counts of past jobs of each kind, updated in the transaction of each change."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.slices import in_slices
from corejob_journal.store.upsert import adding


class Kind(NamedTuple):
    """The key by which past jobs are counted."""

    qual_name: str
    state: str


@dataclass(slots=True)
class CountChanges:
    """Changes of the counts and sizes, for each kind."""

    jobs: Counter[Kind]
    bytes: Counter[Kind]

    @classmethod
    def empty(cls) -> "CountChanges":
        """Return no changes."""
        return cls(Counter(), Counter())

    def add(self, rows: Iterable[Any], sign: int = 1) -> None:
        """Add rows that have qual_name, state and size; a sign of -1 subtracts them."""
        for row in rows:
            kind = Kind(row.qual_name, row.state)
            self.jobs[kind] += sign
            self.bytes[kind] += sign * row.size

    def write(self, connection: sa.Connection) -> None:
        """Write the changes in the order of the kinds, so that two processes never deadlock."""
        rows = [
            {**kind._asdict(), "jobs": self.jobs[kind], "bytes": self.bytes[kind]}
            for kind in sorted(self.jobs)
            if self.jobs[kind] or self.bytes[kind]
        ]
        adding(connection, schema.tally, rows)


def lock(connection: sa.Connection) -> None:
    """Lock counts of jobs until the transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        row = sa.select(schema.counter.c.value).where(schema.counter.c.name == "change")
        connection.execute(row.with_for_update())


def stored(connection: sa.Connection, job_ids: Sequence[str]) -> list[Any]:
    """Return qual_name, state and size of those of the jobs that are stored."""
    table = schema.job
    rows: list[Any] = []
    for ids in in_slices(job_ids):
        query = sa.select(table.c.qual_name, table.c.state, table.c.size)
        rows += connection.execute(query.where(table.c.job_id.in_(ids))).all()
    return rows


def read(connection: sa.Connection) -> Mapping[Kind, int]:
    """Return the number of jobs of each kind; kinds without jobs are left out."""
    table = schema.tally
    query = sa.select(table.c.qual_name, table.c.state, table.c.jobs).where(table.c.jobs > 0)
    return {Kind(row.qual_name, row.state): row.jobs for row in connection.execute(query)}
