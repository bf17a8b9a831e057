"""Insert or update rows, and notify readers of changes, in both SQL dialects."""

import functools
from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from corejob_journal.store import schema
from corejob_journal.store.changes import CHANNEL
from corejob_journal.store.prepared import Prepared

_IDS_A_NOTE: Final = 300
"""Maximum number of ids in one notification, whose payload must be shorter than 8,000 bytes."""

_NOTIFY: Final = Prepared(
    lambda _dialect: sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("payload")))
)
_NEXT_CHANGE: Final = Prepared(
    lambda _dialect: (
        sa.update(schema.counter)
        .where(schema.counter.c.name == sa.bindparam("of_name"))
        .values(value=schema.counter.c.value + sa.literal_column("1"))
        .returning(schema.counter.c.value)
    )
)
_CHANGES: Final = Prepared(lambda dialect: _putting(dialect, schema.change, ["job_id", "at"]))


def _insert(dialect: str, table: sa.Table) -> Any:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@functools.cache
def _new(dialect: str, table: sa.Table) -> Any:
    statement = _insert(dialect, table).on_conflict_do_nothing()
    return statement.returning(*table.primary_key.columns)


def _putting(dialect: str, table: sa.Table, columns: Collection[str]) -> Any:
    """Return the statement that inserts rows, or replaces existing rows of the same key."""
    statement = _insert(dialect, table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def insert_new(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless it exists. Return True if it was inserted."""
    return connection.execute(_new(connection.dialect.name, table), dict(row)).first() is not None


def put(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or replace existing rows of the same primary key."""
    if not rows:
        return
    connection.execute(_putting(connection.dialect.name, table, rows[0]), rows)


def adding(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or add their numbers to existing rows of the same primary key."""
    if not rows:
        return
    statement = _insert(connection.dialect.name, table)
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
            _NOTIFY.execute(connection, (CHANNEL, ",".join(ids[start : start + _IDS_A_NOTE])))
        return
    number = _NEXT_CHANGE.execute(connection, ("change",)).scalar_one()
    _CHANGES.execute(connection, [(job_id, number) for job_id in ids])
