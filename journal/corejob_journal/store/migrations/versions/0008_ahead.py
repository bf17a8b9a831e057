"""Add the time of the last line before a node's clock was set back."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the column."""
    column = sa.Column("ahead", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    op.add_column("stream", column)


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("stream", "ahead")
