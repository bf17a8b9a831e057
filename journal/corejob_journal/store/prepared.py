"""Statements of the recorder's ordinary transaction, whose SQL text is made once.

SQLAlchemy makes the text of a statement with each execution, or at least searches its cache for it.
For a short transaction that takes several times as long as the database itself.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

Values = tuple[Any, ...]
"""The values of a statement's parameters, in the order of the text, as the driver takes them."""


class Prepared:
    """A statement that never changes.

    Its values are passed to the driver as they are, and so are those of its rows: a boolean of
    SQLite is an integer, and JSON is text.

    Args:
        make: Returns the statement for a dialect, by its name. Called once for each dialect.
    """

    def __init__(self, make: Callable[[str], sa.ClauseElement]) -> None:
        self._make = make
        self._texts: dict[str, str] = {}

    def execute(
        self, connection: sa.Connection, values: Values | Sequence[Values]
    ) -> sa.CursorResult[Any]:
        """Execute the statement once, or once for each tuple of a list."""
        name = connection.dialect.name
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = _text(self._make(name), connection.dialect)
        return connection.exec_driver_sql(text, values)


def _text(statement: sa.ClauseElement, dialect: sa.Dialect) -> str:
    make: Any = type(dialect)
    # Names of parameters would need a dict for each row.
    positional = dialect if dialect.positional else make(paramstyle="format")
    return str(statement.compile(dialect=positional))


def insert(table: sa.Table) -> Prepared:
    """Return the insertion of rows; their values are those of all columns, in the table's order."""
    return Prepared(lambda _dialect: sa.insert(table))


def update(table: sa.Table, columns: Sequence[str]) -> Prepared:
    """Return the update of rows; their values are those of `columns`, then that of the key."""
    (key,) = table.primary_key.columns
    changes: list[Any] = [(name, sa.bindparam(f"new_{name}")) for name in columns]
    statement = sa.update(table).where(key == sa.bindparam("of_key")).ordered_values(*changes)
    return Prepared(lambda _dialect: statement)


class SelectIn:
    """Selects rows by the values of one column.

    The number of values is rounded up to a power of two, by repetition of the last one, so that
    there are few texts.

    Args:
        query: The query without the condition.
        column: The column.
    """

    def __init__(self, query: sa.Select[Any], column: sa.ColumnElement[int]) -> None:
        self._query = query
        self._column = column
        self._of_size = cache(self._prepare)

    def rows(self, connection: sa.Connection, values: Sequence[int]) -> Sequence[Any]:
        """Return the rows whose column has one of these values, which are at least one."""
        size = 1 << (len(values) - 1).bit_length()
        padded = tuple(values) + (values[-1],) * (size - len(values))
        return self._of_size(size).execute(connection, padded).all()

    def _prepare(self, size: int) -> Prepared:
        wanted = [sa.bindparam(f"value_{no}", type_=self._column.type) for no in range(size)]
        return Prepared(lambda _dialect: self._query.where(self._column.in_(wanted)))
