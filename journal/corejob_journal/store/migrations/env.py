"""Alembic runs this for each command; the connection comes from `corejob_journal.store.migrate`."""

from alembic import context

from corejob_journal.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # With our own BEGIN (see `engine`), SQLite too can roll back DDL.
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
