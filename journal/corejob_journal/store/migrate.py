"""Migrate the tables with Alembic; the migrations are part of this package."""

import logging
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from corejob_journal.store import revision as revisions
from corejob_journal.store.errors import SchemaError

log = logging.getLogger(__name__)

_LOCK: Final = 0x636F726534  # "core4": key of our advisory lock in PostgreSQL
_SCRIPTS: Final = Path(__file__).parent / "migrations"


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _lock(connection: sa.Connection) -> None:
    """Take the migration lock until the transaction ends.

    SQLite's writers hold the file's lock from the start of the transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Migrate up to `revision` in the connection's transaction, all or nothing.

    Raises:
        SchemaError: A later version of this program migrated the tables.
    """
    _lock(connection)
    config = _config(connection)
    have = revisions.current(connection)
    scripts = ScriptDirectory.from_config(config)
    if have is not None and have not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaError(f"the store has revision {have}, which this version does not know")
    if have == scripts.get_current_head() and revision == "head":
        return
    log.info("migrating the store from %s to %s", have or "nothing", revision)
    command.upgrade(config, revision)


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Migrate down to `revision`; `base` removes all tables."""
    _lock(connection)
    command.downgrade(_config(connection), revision)
