"""Index past jobs for listing, count them by kind, and note the logs that retention drops.

Times become texts as in the document, since filters compare those.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True)
_ordered = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_OLD: Final = {
    "ix_job_qual_name_state_job_id": ("qual_name", "state", "job_id"),
    "ix_job_state_job_id": ("state", "job_id"),
    "ix_job_finished_at": ("finished_at",),
    "ix_job_journaled_at": ("journaled_at",),
}
_NEW: Final = {
    "ix_job_qual_name_state_job_id": ("qual_name", "state", "job_id"),
    "ix_job_state_job_id": ("state", "job_id"),
    "ix_job_username_job_id": ("username", "job_id"),
    "ix_job_enqueued_at_job_id": ("enqueued_at", "job_id"),
    "ix_job_finished_at_job_id": ("finished_at", "job_id"),
    "ix_job_journaled_at_job_id": ("journaled_at", "job_id"),
}


def upgrade() -> None:
    """Rebuild the table of past jobs from their documents, and count them by kind."""
    _put_aside({**_OLD})
    op.create_table(
        "job",
        sa.Column("job_id", _ordered, nullable=False),
        sa.Column("qual_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("username", _ordered),
        sa.Column("enqueued_at", _ordered, nullable=False),
        sa.Column("finished_at", _ordered, nullable=False),
        sa.Column("journaled_at", sa.Double, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("document", _json, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job"),
    )
    if _is_sqlite():
        enqueued, finished, username = (
            f"json_extract(document, '$.{path}')"
            for path in ("enqueued.at", "finished_at", "enqueued.username")
        )
        size = "length(CAST(document AS BLOB))"
    else:
        enqueued, finished, username = (
            f"document #>> '{{{path}}}'"
            for path in ("enqueued,at", "finished_at", "enqueued,username")
        )
        size = "octet_length(document::text)"
    _copy(
        job_id="job_id",
        qual_name="qual_name",
        state="state",
        username=username,
        enqueued_at=f"coalesce({enqueued}, '')",
        finished_at=f"coalesce({finished}, '')",
        journaled_at="journaled_at",
        size=size,
        document="document",
    )
    op.drop_table("job_before")
    _index(_NEW)
    latest: list[Any] = [sa.text("finished_at DESC"), "job_id", "qual_name", "state"]
    op.create_index("ix_job_finished_at_latest", "job", latest)
    _counts()


def _counts() -> None:
    op.create_table(
        "tally",
        sa.Column("qual_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("qual_name", "state", name="pk_tally"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO tally (qual_name, state, jobs, bytes) "
        "SELECT qual_name, state, count(*), sum(size) FROM job GROUP BY qual_name, state"
    )
    op.create_table(
        "dropped",
        sa.Column("job", _number, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("job", name="pk_dropped"),
        sa.ForeignKeyConstraint(["job"], ["job_log.no"], name="fk_dropped_job", ondelete="CASCADE"),
    )


def downgrade() -> None:
    """Rebuild the former table from the present one."""
    op.drop_table("dropped")
    op.drop_table("tally")
    _put_aside({**_NEW, "ix_job_finished_at_latest": ()})
    op.create_table(
        "job",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("qual_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("enqueued_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("journaled_at", sa.Double, nullable=False),
        sa.Column("document", _json, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job"),
    )
    _copy(
        job_id="job_id",
        qual_name="qual_name",
        state="state",
        enqueued_at=_epoch("nullif(enqueued_at, '')"),
        finished_at=_epoch("nullif(finished_at, '')"),
        journaled_at="journaled_at",
        document="document",
    )
    op.drop_table("job_before")
    _index(_OLD)


def _copy(**columns: str) -> None:
    """Fill the new table from the old one, with an SQL expression for each column."""
    expressions: list[Any] = [sa.literal_column(text) for text in columns.values()]
    values = sa.select(*expressions)
    table = sa.table("job", *map(sa.column, columns))
    op.execute(
        table.insert().from_select(list(columns), values.select_from(sa.table("job_before")))
    )


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _epoch(text: str) -> str:
    """Return SQL that converts the text of a UTC time to seconds since the epoch."""
    if _is_sqlite():
        return f"(julianday({text}) - 2440587.5) * 86400.0"
    return f"extract(epoch FROM ({text})::timestamp)"


def _put_aside(indexes: Mapping[str, Any]) -> None:
    for name in indexes:
        op.drop_index(name, table_name="job")
    op.rename_table("job", "job_before")
    if not _is_sqlite():  # PostgreSQL keeps the name of the key's index; the new table needs it
        op.execute("ALTER TABLE job_before RENAME CONSTRAINT pk_job TO pk_job_before")


def _index(indexes: Mapping[str, Sequence[str]]) -> None:
    for name, columns in indexes.items():
        op.create_index(name, "job", list(columns))
