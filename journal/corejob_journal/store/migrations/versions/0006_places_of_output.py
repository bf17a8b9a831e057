"""Add the place in the log to printed lines; existing ones come after the log of their job."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEX = "ix_output_job_after_seq"


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column(
        "output",
        sa.Column("after_seq", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.execute(
        "UPDATE output SET after_seq = (SELECT last_seq FROM job_log WHERE job_log.no = output.job)"
    )
    op.create_index(_INDEX, "output", ["job", "after_seq"])


def downgrade() -> None:
    """Drop the column and its index."""
    op.drop_index(_INDEX, "output")
    op.drop_column("output", "after_seq")
