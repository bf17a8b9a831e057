"""The parts of a job's log that its trials wrote."""

from dataclasses import dataclass

import sqlalchemy as sa

from corejob_journal.store import schema

_STREAM = schema.stream
_LOGS = (
    sa.select(
        _STREAM.c.trial, _STREAM.c.pod, _STREAM.c.first_seq, _STREAM.c.last_seq, _STREAM.c.settled
    )
    .join_from(schema.job_log, _STREAM, _STREAM.c.job == schema.job_log.c.no)
    .where(schema.job_log.c.job_id == sa.bindparam("job_id"))
    .order_by(_STREAM.c.no)
)


@dataclass(frozen=True, slots=True)
class TrialLog:
    """The part of a log that one pod wrote.

    Attributes:
        trial: Number of the trial.
        pod: Name of the pod; None if unknown.
        first_seq: Number of its first record; None without records, and for a log that was
            finalised by an earlier version.
        last_seq: Number of its last record; likewise. Records of another pod may be between them.
        finalised: True if the pod's log is completely stored, or known to be lost.
    """

    trial: int
    pod: str | None
    first_seq: int | None
    last_seq: int | None
    finalised: bool


def read(connection: sa.Connection, *, job_id: str) -> list[TrialLog]:
    """Return the parts of a job's log, one for each pod, in the order in which they began."""
    return [TrialLog(*row) for row in connection.execute(_LOGS, {"job_id": job_id})]


def of_trial(job_id: str, stream: sa.ColumnElement[int], trial: int) -> sa.ColumnElement[bool]:
    """Return the clause for rows of a trial of a job.

    Args:
        job_id: The job.
        stream: The rows' number of the stream.
        trial: Number of the trial.
    """
    log, streams = schema.job_log.alias(), _STREAM.alias()
    numbers = (
        sa.select(streams.c.no)
        .join_from(log, streams, streams.c.job == log.c.no)
        .where(log.c.job_id == job_id, streams.c.trial == trial)
    )
    return stream.in_(numbers)
