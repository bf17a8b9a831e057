"""Add the trials of past jobs, and the first and last record of each pod.

The records of logs that are finalised already stay unknown: to find them would read all logs.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the columns, and fill them for the logs that grow."""
    op.add_column("job", sa.Column("trials", sa.JSON(none_as_null=True)))
    for column in ("first_seq", "last_seq"):
        op.add_column("stream", sa.Column(column, sa.BigInteger))
    op.execute(
        "UPDATE stream SET first_seq = (SELECT min(log.seq) FROM log "
        "WHERE log.job = stream.job AND log.stream = stream.no), "
        "last_seq = (SELECT max(log.seq) FROM log "
        "WHERE log.job = stream.job AND log.stream = stream.no) WHERE NOT settled"
    )


def downgrade() -> None:
    """Drop the columns."""
    for column in ("last_seq", "first_seq"):
        op.drop_column("stream", column)
    op.drop_column("job", "trials")
