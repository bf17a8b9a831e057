"""Add the uid of the owning CoreJob to logs and past jobs; existing rows have no owner."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = ("job_log", "job")


def upgrade() -> None:
    """Add the column to both tables."""
    for table in _TABLES:
        op.add_column(table, sa.Column("owner", sa.Text))


def downgrade() -> None:
    """Drop the column from both tables."""
    for table in _TABLES:
        op.drop_column(table, "owner")
