"""Ownership of logs and past jobs: each belongs to one CoreJob, identified by its uid.

A job id alone does not identify a CoreJob, since another CoreJob may have the same name.
"""

from typing import Any, Final

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.errors import ForeignJobError
from corejob_journal.store.records import LogSource

_OWNERS: Final = sa.union_all(
    *(
        sa.select(table.c.owner, table.c.qual_name, sa.literal(is_past).label("is_past")).where(
            table.c.job_id == sa.bindparam("job_id")
        )
        for table, is_past in ((schema.job, 1), (schema.job_log, 0))
    )
)
"""The owners of the document and of the log of a job id."""


def is_foreign(connection: sa.Connection, job_id: str, owner: str, qual_name: str) -> bool:
    """True if the log or the document of that id belongs to another CoreJob.

    Rows of earlier versions have no owner; for these the qual_name is compared.
    """
    rows = connection.execute(_OWNERS, {"job_id": job_id})
    return any(_differs(row, owner, qual_name) for row in rows)


def check(connection: sa.Connection, source: LogSource) -> None:
    """Check that a new source may append to the log of its job.

    Raises:
        ForeignJobError: The log belongs to another CoreJob, or the job is past.
    """
    if source.owner is None:
        return
    rows = connection.execute(_OWNERS, {"job_id": source.job_id}).all()
    if any(_differs(row, source.owner, source.qual_name) for row in rows):
        raise ForeignJobError(f"job id {source.job_id} is another job's: nothing of it is stored")
    if any(row.is_past for row in rows):
        raise ForeignJobError(f"job {source.job_id} is past: its log takes nothing more")


def _differs(row: Any, owner: str, qual_name: str) -> bool:
    return bool(row.owner != owner if row.owner is not None else row.qual_name != qual_name)


def adopt(connection: sa.Connection, source: LogSource) -> None:
    """Set the owner of a log that an earlier version stored without one."""
    table = schema.job_log
    connection.execute(
        sa.update(table)
        .where(table.c.job_id == source.job_id, table.c.owner.is_(None))
        .values(owner=source.owner)
    )
