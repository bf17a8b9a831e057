"""The revision of the tables. Alembic is only imported if they have to be migrated."""

from typing import Final

import sqlalchemy as sa

HEAD: Final = "0008"
"""The newest revision, that of the last of the migrations."""
_TABLE: Final = sa.table("alembic_version", sa.column("version_num", sa.Text))


def current(connection: sa.Connection) -> str | None:
    """Return the revision of the tables; None if there are none."""
    if not sa.inspect(connection).has_table(_TABLE.name):
        return None
    return connection.execute(sa.select(_TABLE.c.version_num)).scalar_one_or_none()


def upgrade(connection: sa.Connection) -> None:
    """Migrate the tables to the newest revision, unless they have it.

    Raises:
        SchemaError: A later version of this program migrated the tables.
    """
    if current(connection) == HEAD:
        return
    from corejob_journal.store import migrate  # noqa: PLC0415  # the import takes long

    migrate.upgrade(connection)
