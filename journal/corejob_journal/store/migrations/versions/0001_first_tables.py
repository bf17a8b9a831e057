"""Create the first tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_zero = sa.text("0")
_json = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Create the tables."""
    _positions()
    _lines()
    _past()
    _changes()


def downgrade() -> None:
    """Drop the tables with all their rows."""
    for table in (
        "counter",
        "change",
        "cookie",
        "job",
        "gap",
        "output",
        "log",
        "stream",
        "job_log",
    ):
        op.drop_table(table)


def _job_reference(table: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    column: sa.Column[int] = sa.Column("job", _number, nullable=False, autoincrement=False)
    name = f"fk_{table}_job"
    return column, sa.ForeignKeyConstraint(["job"], ["job_log.no"], name=name, ondelete="CASCADE")


def _positions() -> None:
    op.create_table(
        "job_log",
        sa.Column("no", _number, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("qual_name", sa.Text, nullable=False),
        sa.Column("username", sa.Text),
        sa.Column("last_seq", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("last_output", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("lines", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("bytes", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("settled_trial", sa.Integer, nullable=False, server_default=_zero),
        sa.Column("lost", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.Text),
        sa.Column("message", sa.Text),
        sa.PrimaryKeyConstraint("no", name="pk_job_log"),
        sa.UniqueConstraint("job_id", name="uq_job_log_job_id"),
    )
    op.create_table(
        "stream",
        sa.Column("no", _number, nullable=False),
        *_job_reference("stream"),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("pod_uid", sa.Text, nullable=False),
        sa.Column("pod", sa.Text),
        sa.Column("hostname", sa.Text),
        sa.Column("token", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("stamp", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("count", sa.Integer, nullable=False, server_default=_zero),
        sa.Column("last_n", sa.BigInteger, nullable=False, server_default=_zero),
        sa.Column("pieces", sa.Integer, nullable=False, server_default=_zero),
        sa.Column("done", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("ended", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("lost", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("no", name="pk_stream"),
        sa.UniqueConstraint("job", "trial", "pod_uid", name="uq_stream_job_trial_pod_uid"),
    )
    op.create_index("ix_stream_pod_uid", "stream", ["pod_uid"])


def _lines() -> None:
    op.create_table(
        "log",
        *_job_reference("log"),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("stream", _number, nullable=False),
        sa.Column("n", sa.BigInteger),
        sa.Column("epoch", sa.Double, nullable=False),
        sa.Column("levelno", sa.SmallInteger, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("exception", _json),
        sa.PrimaryKeyConstraint("job", "seq", name="pk_log"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "output",
        *_job_reference("output"),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("stream", _number, nullable=False),
        sa.Column("n", sa.BigInteger),
        sa.Column("epoch", sa.Double, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("job", "seq", name="pk_output"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gap",
        sa.Column("no", _number, nullable=False),
        *_job_reference("gap"),
        sa.Column("stream", _number, nullable=False),
        sa.Column("after_seq", sa.BigInteger, nullable=False),
        sa.Column("first_n", sa.BigInteger),
        sa.Column("last_n", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_gap"),
    )
    op.create_index("ix_gap_job_after_seq", "gap", ["job", "after_seq"])


def _past() -> None:
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
    op.create_index("ix_job_qual_name_state_job_id", "job", ["qual_name", "state", "job_id"])
    op.create_index("ix_job_state_job_id", "job", ["state", "job_id"])
    op.create_index("ix_job_finished_at", "job", ["finished_at"])
    op.create_index("ix_job_journaled_at", "job", ["journaled_at"])
    op.create_table(
        "cookie",
        sa.Column("qual_name", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", _json, nullable=False),
        sa.PrimaryKeyConstraint("qual_name", "key", name="pk_cookie"),
        sqlite_with_rowid=False,
    )


def _changes() -> None:
    op.create_table(
        "change",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_change"),
    )
    op.create_index("ix_change_at", "change", ["at"])
    counter = op.create_table(
        "counter",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.bulk_insert(counter, [{"name": "change", "value": 0}])
