"""Ownership of logs and past jobs: each belongs to one CoreJob, identified by its uid.

A job id alone does not identify a CoreJob, since another CoreJob may have the same name.
"""

from typing import Any

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.errors import ForeignJobError
from corejob_journal.store.records import LogSource


def is_foreign(connection: sa.Connection, job_id: str, owner: str, qual_name: str) -> bool:
    """True if the log or the document of that id belongs to another CoreJob.

    Rows of earlier versions have no owner; for these the qual_name is compared.
    """
    for table in (schema.job, schema.job_log):
        query = sa.select(table.c.owner, table.c.qual_name).where(table.c.job_id == job_id)
        row: Any = connection.execute(query).one_or_none()
        if row is None:
            continue
        if row.owner != owner if row.owner is not None else row.qual_name != qual_name:
            return True
    return False


def check(connection: sa.Connection, source: LogSource) -> None:
    """Check that a new source may append to the log of its job.

    Raises:
        ForeignJobError: The log belongs to another CoreJob, or the job is past.
    """
    if source.owner is None:
        return
    if is_foreign(connection, source.job_id, source.owner, source.qual_name):
        raise ForeignJobError(f"job id {source.job_id} is another job's: nothing of it is stored")
    query = sa.select(schema.job.c.job_id).where(schema.job.c.job_id == source.job_id)
    if connection.execute(query).first() is not None:
        raise ForeignJobError(f"job {source.job_id} is past: its log takes nothing more")


def adopt(connection: sa.Connection, source: LogSource) -> None:
    """Set the owner of a log that an earlier version stored without one."""
    table = schema.job_log
    connection.execute(
        sa.update(table)
        .where(table.c.job_id == source.job_id, table.c.owner.is_(None))
        .values(owner=source.owner)
    )
