"""Add the history of the queue's job counts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table. It starts empty, since earlier counts were never recorded."""
    op.create_table(
        "queue_history",
        sa.Column("no", _number, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("states", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_queue_history"),
    )
    op.create_index("ix_queue_history_created", "queue_history", ["created"])


def downgrade() -> None:
    """Drop the table with all its rows."""
    op.drop_table("queue_history")
