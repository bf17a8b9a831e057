"""Delete past jobs in transactions that are small enough not to delay other writers.

One transaction deletes the document, and with it the job's place in listings, and notes its log,
which may be long, in the table `dropped`. Later transactions delete the log in parts (`sweep`).
After a crash the next sweep continues from that table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from corejob_journal.store import past_counts, schema
from corejob_journal.store.upsert import insert_new

_JOB: Final = schema.job
_LOG: Final = schema.job_log
_HISTORY: Final = schema.queue_history
_JOB_BYTES: Final = 1024
"""Estimated size of a job beside its document and lines: indexes, the rows of log and streams."""
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """A past job that retention may delete.

    Attributes:
        at: When the job was journaled, in seconds since the epoch.
        bytes: Approximate size in the store.
    """

    at: float
    job_id: str
    bytes: int


def stored_bytes(connection: sa.Connection) -> int:
    """Return the approximate size of all jobs: documents, log lines, and a constant per job."""
    documents = sa.select(sa.func.coalesce(sa.func.sum(schema.tally.c.bytes), 0))
    lines = sa.select(sa.func.coalesce(sa.func.sum(_LOG.c.bytes), 0))
    jobs = sa.select(sa.func.coalesce(sa.func.sum(schema.tally.c.jobs), 0))
    parts = [int(connection.execute(query).scalar_one()) for query in (documents, lines, jobs)]
    return parts[0] + parts[1] + _JOB_BYTES * parts[2]


def oldest(connection: sa.Connection, *, after: Candidate | None, limit: int) -> list[Candidate]:
    """Return past jobs after `after`, in the order in which they were journaled."""
    size = _JOB.c.size + sa.func.coalesce(_LOG.c.bytes, 0) + _JOB_BYTES
    query = sa.select(_JOB.c.journaled_at, _JOB.c.job_id, size)
    query = query.join_from(_JOB, _LOG, _LOG.c.job_id == _JOB.c.job_id, isouter=True)
    if after is not None:
        cursor = sa.tuple_(_JOB.c.journaled_at, _JOB.c.job_id)
        query = query.where(cursor > sa.tuple_(after.at, after.job_id))
    query = query.order_by(_JOB.c.journaled_at, _JOB.c.job_id).limit(limit)
    return [Candidate(*row) for row in connection.execute(query)]


def orphans(connection: sa.Connection, *, after: str, before: str, limit: int) -> list[str]:
    """Return ids, between two ids (exclusive), of jobs that have a log but no document.

    Their CoreJobs were deleted before they were journaled.
    """
    documents = sa.select(_JOB.c.job_id).where(_JOB.c.job_id == _LOG.c.job_id)
    undropped = sa.select(schema.dropped.c.job).where(schema.dropped.c.job == _LOG.c.no)
    query = sa.select(_LOG.c.job_id).where(_LOG.c.job_id > after, _LOG.c.job_id < before)
    query = query.where(~documents.exists(), ~undropped.exists())
    return list(connection.execute(query.order_by(_LOG.c.job_id).limit(limit)).scalars())


def drop(connection: sa.Connection, *, job_ids: Sequence[str]) -> int:
    """Delete these past jobs and note their logs for `sweep`. Idempotent.

    Return the number of documents deleted.
    """
    logs = connection.execute(sa.select(_LOG.c.no).where(_LOG.c.job_id.in_(job_ids)))
    for no in sorted(logs.scalars()):
        insert_new(connection, schema.dropped, {"job": no})
    past_counts.lock(connection)
    columns = (_JOB.c.qual_name, _JOB.c.state, _JOB.c.size)
    gone: Sequence[Any] = connection.execute(
        sa.delete(_JOB).where(_JOB.c.job_id.in_(job_ids)).returning(*columns)
    ).all()
    changes = past_counts.CountChanges.empty()
    changes.add(gone, -1)
    changes.write(connection)
    connection.execute(sa.delete(schema.change).where(schema.change.c.job_id.in_(job_ids)))
    return len(gone)


def sweep(connection: sa.Connection, *, rows: int) -> bool:
    """Delete about `rows` rows of dropped logs. Return True if there may be more."""
    query = sa.select(schema.dropped.c.job).order_by(schema.dropped.c.job).limit(_AT_ONCE)
    for no in connection.execute(query).scalars().all():
        for table in (schema.log, schema.output):
            rows -= _delete_first(connection, table, no, rows)
            if rows <= 0:
                return True
        # The delete cascades to the streams and gaps, which are few.
        connection.execute(sa.delete(_LOG).where(_LOG.c.no == no))
        rows -= 1
    return connection.execute(query.limit(1)).first() is not None


def _delete_first(connection: sa.Connection, table: sa.Table, no: int, rows: int) -> int:
    first = sa.select(table.c.seq).where(table.c.job == no).order_by(table.c.seq).limit(rows)
    statement = sa.delete(table).where(table.c.job == no, table.c.seq.in_(first))
    return connection.execute(statement).rowcount


def _old_history(before: float) -> sa.Select[tuple[int]]:
    """Return a query for the history rows whose counts ended before time `before`.

    The last row before that time is not among them, since its counts were still valid then.
    """
    within = sa.select(_HISTORY.c.no).where(_HISTORY.c.created < before)
    last = within.order_by(_HISTORY.c.created.desc(), _HISTORY.c.no.desc()).limit(1)
    return within.where(_HISTORY.c.no < last.scalar_subquery())


def count_history(connection: sa.Connection, *, before: float) -> int:
    """Return the number of rows of the queue's history that `drop_history` would delete."""
    rows = _old_history(before).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()


def drop_history(connection: sa.Connection, *, before: float, rows: int) -> int:
    """Delete at most `rows` rows of the queue's history, oldest first. Return their number.

    The last row before time `before` stays, since its counts were still valid then.
    """
    numbers = _old_history(before).order_by(_HISTORY.c.no).limit(rows)
    return connection.execute(sa.delete(_HISTORY).where(_HISTORY.c.no.in_(numbers))).rowcount


def give_back(connection: sa.Connection, *, pages: int) -> bool:
    """Return up to `pages` free pages of a SQLite file to the file system.

    Return True if there are more. PostgreSQL does this itself, so the result is False.
    """
    if connection.dialect.name != "sqlite":
        return False
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA incremental_vacuum({pages})")
    cursor.fetchall()  # each step of the statement frees one page
    cursor.execute("PRAGMA freelist_count")
    (left,) = cursor.fetchone() or (0,)
    cursor.close()
    return int(left) > 0
