"""Store the sources that a job has named together with its lines, so that no source is lost."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Create the table of sources."""
    op.create_table(
        "source",
        sa.Column("job", _number, nullable=False, autoincrement=False),
        sa.Column("names", _json, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_source"),
        sa.ForeignKeyConstraint(["job"], ["job_log.no"], name="fk_source_job", ondelete="CASCADE"),
    )


def downgrade() -> None:
    """Drop the table of sources."""
    op.drop_table("source")
