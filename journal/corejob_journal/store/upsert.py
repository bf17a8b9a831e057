"""Insert or update rows, and notify readers of changes, in both SQL dialects."""

import functools
from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from corejob_journal.store import schema
from corejob_journal.store.changes import CHANNEL

_IDS_A_NOTE: Final = 300
"""Maximum number of ids in one notification, whose payload must be shorter than 8,000 bytes."""

_NEXT_CHANGE: Final = (
    sa.update(schema.counter)
    .where(schema.counter.c.name == "change")
    .values(value=schema.counter.c.value + 1)
    .returning(schema.counter.c.value)
)


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    return _insert_into(connection.dialect.name, table)


def _insert_into(dialect: str, table: sa.Table) -> Any:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@functools.cache
def _new(dialect: str, table: sa.Table) -> Any:
    statement = _insert_into(dialect, table).on_conflict_do_nothing()
    return statement.returning(*table.primary_key.columns)


def insert_new(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless it exists. Return True if it was inserted."""
    return connection.execute(_new(connection.dialect.name, table), dict(row)).first() is not None


def put(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or replace existing rows of the same primary key."""
    if not rows:
        return
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def adding(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or add their numbers to existing rows of the same primary key."""
    if not rows:
        return
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {
        name: table.c[name] + statement.excluded[name] for name in rows[0] if name not in keys
    }
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def rewrite(connection: sa.Connection) -> None:
    """Write a row without changing it, which needs the same locks and disk as any change."""
    connection.execute(sa.update(schema.counter).values(value=schema.counter.c.value))


def touch(connection: sa.Connection, job_ids: Collection[str]) -> None:
    """Notify readers, at the commit, that these jobs changed."""
    ids = sorted(job_ids)
    if connection.dialect.name == "postgresql":
        for start in range(0, len(ids), _IDS_A_NOTE):
            payload = ",".join(ids[start : start + _IDS_A_NOTE])
            connection.execute(sa.select(sa.func.pg_notify(CHANNEL, payload)))
        return
    number = connection.execute(_NEXT_CHANGE).scalar_one()
    put(connection, schema.change, [{"job_id": job_id, "at": number} for job_id in ids])
