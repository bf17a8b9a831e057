"""Reading the records, printed lines and gaps of a job's log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from corejob_journal.store import schema, trial_logs
from corejob_journal.store.records import Gap, LogRecord, LogState, OutputLine
from corejob_journal.store.slices import in_slices

_JOB_LOG: Final = schema.job_log
_LOG: Final = schema.log
_OUTPUT: Final = schema.output
_GAP: Final = schema.gap
_STREAM: Final = schema.stream

FULL_CHARACTERS: Final = 2**21
"""Characters of messages after which a read stops, since one message may have a million.

Callers read on from the last record, so they need no more at once.
"""
_LAZILY: Final = {"stream_results": True, "max_row_buffer": 250}


def _of_job(rows: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Return a query for the rows of job `:job_id` in a table."""
    return (
        sa.select(*columns)
        .join_from(_JOB_LOG, rows, rows.c.job == _JOB_LOG.c.no)
        .where(_JOB_LOG.c.job_id == sa.bindparam("job_id"))
    )


def _with_stream(rows: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Return a query for the rows of job `:job_id` in a table, joined with their streams."""
    return _of_job(rows, *columns).join(_STREAM, _STREAM.c.no == rows.c.stream)


_RECORDS = _with_stream(
    _LOG,
    _JOB_LOG.c.job_id,
    _LOG.c.seq,
    _STREAM.c.trial,
    _LOG.c.epoch,
    _LOG.c.levelno,
    _LOG.c.message,
    _LOG.c.exception,
    _STREAM.c.hostname,
    _JOB_LOG.c.username,
    _JOB_LOG.c.qual_name,
).order_by(_LOG.c.seq)
_AFTER = _RECORDS.where(_LOG.c.seq > sa.bindparam("seq")).limit(sa.bindparam("limit"))
_TEXTS = _of_job(_LOG, _LOG.c.seq, _LOG.c.message, _LOG.c.exception).order_by(_LOG.c.seq)
_NUMBERS = _of_job(_LOG, _LOG.c.seq).order_by(_LOG.c.seq)
_LEVELS = _of_job(_LOG, _LOG.c.levelno, sa.func.count()).group_by(_LOG.c.levelno)
_PRINTED = _with_stream(
    _OUTPUT,
    _JOB_LOG.c.job_id,
    _OUTPUT.c.seq,
    _OUTPUT.c.after_seq,
    _OUTPUT.c.epoch,
    _OUTPUT.c.channel,
    _OUTPUT.c.text,
    _STREAM.c.trial,
    _STREAM.c.hostname,
    _JOB_LOG.c.username,
    _JOB_LOG.c.qual_name,
).order_by(_OUTPUT.c.seq)
_LAST_PRINTED = _of_job(_OUTPUT, sa.func.max(_OUTPUT.c.seq)).where(
    _OUTPUT.c.after_seq <= sa.bindparam("last")
)
_GAPS = _with_stream(
    _GAP, _STREAM.c.trial, _GAP.c.after_seq, _GAP.c.first_n, _GAP.c.last_n, _GAP.c.reason
).order_by(_GAP.c.after_seq, _GAP.c.no)
_STATE = sa.select(
    _JOB_LOG.c.last_seq,
    _JOB_LOG.c.settled_trial,
    _JOB_LOG.c.lines,
    _JOB_LOG.c.bytes,
    _JOB_LOG.c.lost,
    _JOB_LOG.c.reason,
    _JOB_LOG.c.message,
).where(_JOB_LOG.c.job_id == sa.bindparam("job_id"))


@dataclass(frozen=True, slots=True)
class LogSelection:
    """The records of a range of a log that a minimum level, a start time and a trial select.

    The database may read each row of the range, so callers divide a long one.

    Attributes:
        job_id: The job.
        after: Number before the first record of the range.
        last: Number of the last record of the range.
        level: Minimum level number; 0 means all levels.
        since: Earliest time, in seconds since the epoch; None means all times.
        trial: Number of a trial; None means all trials.
    """

    job_id: str
    after: int
    last: int
    level: int = 0
    since: float | None = None
    trial: int | None = None

    @property
    def clauses(self) -> list[sa.ColumnElement[bool]]:
        """The conditions that records fulfil."""
        clauses = [_LOG.c.seq > self.after, _LOG.c.seq <= self.last]
        if self.level > 0:
            clauses.append(_LOG.c.levelno >= self.level)
        if self.since is not None:
            clauses.append(_LOG.c.epoch >= self.since)
        if self.trial is not None:
            clauses.append(trial_logs.of_trial(self.job_id, _LOG.c.stream, self.trial))
        return clauses


class LogPart(NamedTuple):
    """Successive records of a log.

    Attributes:
        records: The records, oldest first.
        gaps: All gaps of the log that precede one of these records, and perhaps later ones.
    """

    records: list[LogRecord]
    gaps: list[Gap]


def is_cut(records: Sequence[LogRecord], limit: int) -> bool:
    """True if `Store.log_after` may have stopped before the last record."""
    return (
        len(records) >= limit or sum(len(record.message) for record in records) >= FULL_CHARACTERS
    )


def _first_rows(
    connection: sa.Connection, query: sa.Select[*tuple[Any, ...]], **values: Any
) -> list[Any]:
    """Return the first rows, until their messages have `FULL_CHARACTERS` characters."""
    result, size = [], 0
    with connection.execution_options(**_LAZILY).execute(query, values) as rows:
        for row in rows:
            result.append(row)
            size += len(row.message)
            if size >= FULL_CHARACTERS:
                break
    return result


def after(connection: sa.Connection, *, job_id: str, seq: int, limit: int) -> LogPart:
    """Return the first records after a number, and the gaps if there are any records."""
    rows = _first_rows(connection, _AFTER, job_id=job_id, seq=seq, limit=limit)
    # After the records, so that all gaps before these records are found.
    return LogPart(
        [LogRecord(*row) for row in rows], gaps(connection, job_id=job_id) if rows else []
    )


def scan(connection: sa.Connection, *, wanted: LogSelection, limit: int) -> list[LogRecord]:
    """Return the first records of a range."""
    query = _RECORDS.where(*wanted.clauses).limit(limit)
    return [LogRecord(*row) for row in _first_rows(connection, query, job_id=wanted.job_id)]


def texts(
    connection: sa.Connection, *, wanted: LogSelection, limit: int
) -> list[tuple[int, str, dict[str, Any] | None]]:
    """Return number, message and exception of the first records of a range."""
    query = _TEXTS.where(*wanted.clauses).limit(limit)
    return _first_rows(connection, query, job_id=wanted.job_id)


def numbers(connection: sa.Connection, *, wanted: LogSelection) -> list[int]:
    """Return the numbers of the records of a range."""
    rows = connection.execute(_NUMBERS.where(*wanted.clauses), {"job_id": wanted.job_id})
    return [row[0] for row in rows]


def counts(connection: sa.Connection, *, wanted: LogSelection, part: int) -> dict[int, int]:
    """Return the number of records of a range in each part of `part` numbers of the log."""
    at = ((_LOG.c.seq - 1) // part).label("at")
    query = _of_job(_LOG, at, sa.func.count()).where(*wanted.clauses).group_by(at)
    return {int(row[0]): row[1] for row in connection.execute(query, {"job_id": wanted.job_id})}


def levels(connection: sa.Connection, *, wanted: LogSelection) -> dict[int, int]:
    """Return the number of records of a range with each level number."""
    return _level_counts(connection, wanted.job_id, *wanted.clauses)


def levels_of(connection: sa.Connection, *, job_id: str, numbers: Sequence[int]) -> dict[int, int]:
    """Return the number of records with each level number, among those with these numbers."""
    found: Counter[int] = Counter()
    for part in in_slices(numbers):
        found.update(_level_counts(connection, job_id, _LOG.c.seq.in_(part)))
    return dict(found)


def _level_counts(
    connection: sa.Connection, job_id: str, *clauses: sa.ColumnElement[bool]
) -> dict[int, int]:
    rows = connection.execute(_LEVELS.where(*clauses), {"job_id": job_id})
    return {int(row[0]): row[1] for row in rows}


def pick(connection: sa.Connection, *, job_id: str, numbers: Sequence[int]) -> list[LogRecord]:
    """Return the records with these numbers, in the order of `numbers`; skip missing ones."""
    found: dict[int, LogRecord] = {}
    for part in in_slices(numbers):
        query = _RECORDS.where(_LOG.c.seq.in_(part))
        for row in connection.execute(query, {"job_id": job_id}):
            record = LogRecord(*row)
            found[record.seq] = record
    return [found[number] for number in numbers if number in found]


def page(connection: sa.Connection, *, job_id: str, offset: int, limit: int) -> list[LogRecord]:
    """Return a page of records. Numbers have no gaps, so an offset is free."""
    query = _RECORDS.where(_LOG.c.seq > offset, _LOG.c.seq <= offset + limit)
    return [LogRecord(*row) for row in connection.execute(query, {"job_id": job_id})]


def outputs(
    connection: sa.Connection, *, job_id: str, seq: int, first: int, last: int, limit: int
) -> list[OutputLine]:
    """Return printed lines after a number, at records `first` to `last`."""
    query = _PRINTED.where(_OUTPUT.c.seq > seq, _OUTPUT.c.after_seq.between(first, last))
    return [OutputLine(*row) for row in connection.execute(query.limit(limit), {"job_id": job_id})]


def output_number(connection: sa.Connection, *, job_id: str, last: int) -> int:
    """Return the number of the last printed line after record `last` or earlier; 0 if none."""
    return connection.execute(_LAST_PRINTED, {"job_id": job_id, "last": last}).scalar() or 0


def gaps(connection: sa.Connection, *, job_id: str) -> list[Gap]:
    """Return the gaps of a job's log, in the order of the log."""
    return [Gap(*row) for row in connection.execute(_GAPS, {"job_id": job_id})]


def state(connection: sa.Connection, *, job_id: str) -> LogState | None:
    """Return the state of a job's log; None if there is no log."""
    row: Any = connection.execute(_STATE, {"job_id": job_id}).one_or_none()
    return LogState(*row) if row is not None else None


def qual_name(connection: sa.Connection, *, job_id: str) -> str | None:
    """Return the qual_name of the job whose log has that id; None if there is no log."""
    query = sa.select(_JOB_LOG.c.qual_name).where(_JOB_LOG.c.job_id == job_id)
    return connection.execute(query).scalar_one_or_none()
