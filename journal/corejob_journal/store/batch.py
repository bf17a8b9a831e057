"""One transaction of the writer: turns operations into rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from corejob_journal.store import history, past_counts, prepared, schema
from corejob_journal.store.bounds import MOST_COOKIE_BYTES, CookieSizes, Sources
from corejob_journal.store.engine import encode_json
from corejob_journal.store.prepared import Prepared, SelectIn, Values
from corejob_journal.store.reader import cookies, sources
from corejob_journal.store.records import (
    AddCount,
    Append,
    Finalise,
    LogState,
    NewRecord,
    Operation,
    OperationResult,
    Probe,
    PutDocument,
)
from corejob_journal.store.slices import in_slices
from corejob_journal.store.upsert import put, rewrite, touch

Row = dict[str, Any]

_WARNING: Final = 30
_MOST_CHARACTERS: Final = 2_000
_MORE: Final = " … and more: the log names every gap"


@dataclass(slots=True)
class _JobRow:
    """A job's row of `job_log`, changed in memory and written once; fields are columns."""

    no: int
    job_id: str
    qual_name: str
    last_seq: int
    last_output: int
    lines: int
    bytes: int
    settled_trial: int
    lost: bool
    reason: str | None
    message: str | None

    def state(self) -> LogState:
        return LogState(
            self.last_seq,
            self.settled_trial,
            self.lines,
            self.bytes,
            bool(self.lost),
            self.reason,
            self.message,
        )

    def lose(self, reason: str | None, message: str | None) -> None:
        """Record that lines are missing, in addition to those recorded before."""
        before = self.message or ""
        if message and message not in before and not before.endswith(_MORE):
            self.message = f"{before}; {message}" if before else message
            if len(self.message) > _MOST_CHARACTERS:
                self.message = f"{self.message[:_MOST_CHARACTERS]}{_MORE}"
        self.lost = True
        self.reason = self.reason or reason


@dataclass(slots=True)
class _StreamRow:
    """A pod's row of `stream`, changed in memory and written once; fields are columns."""

    no: int
    token: int
    stamp: int
    count: int
    last_n: int
    pieces: int
    ahead: int
    done: bool
    ended: bool
    settled: bool
    lost: bool
    reason: str | None
    first_seq: int | None
    last_seq: int | None


_JOB_FIELDS: Final = tuple(_JobRow.__slots__)
_STREAM_FIELDS: Final = tuple(_StreamRow.__slots__)
# `job_id` and `qual_name` never change, and to write a column costs a write of its index.
_JOB_CHANGES: Final = _JOB_FIELDS[3:]
_STREAM_CHANGES: Final = _STREAM_FIELDS[1:]
_job_values: Final = attrgetter(*_JOB_CHANGES, "no")
_stream_values: Final = attrgetter(*_STREAM_CHANGES, "no")
# Rows are locked in ascending order, so that two recorders never deadlock. SQLite has no row locks
# and ignores `FOR UPDATE`.
_LOCK_JOBS: Final = SelectIn(
    sa.select(*(schema.job_log.c[name] for name in _JOB_FIELDS))
    .order_by(schema.job_log.c.no)
    .with_for_update(),
    schema.job_log.c.no,
)
_STREAMS: Final = SelectIn(
    sa.select(*(schema.stream.c[name] for name in _STREAM_FIELDS)), schema.stream.c.no
)
_INSERT_RECORDS: Final = prepared.insert(schema.log)
_INSERT_OUTPUTS: Final = prepared.insert(schema.output)
_UPDATE_STREAMS: Final = prepared.update(schema.stream, _STREAM_CHANGES)
_UPDATE_JOBS: Final = prepared.update(schema.job_log, _JOB_CHANGES)


class Batch:
    """Applies the operations of one transaction. An instance is used once."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._jobs: dict[int, _JobRow] = {}
        self._streams: dict[int, _StreamRow] = {}
        self._log: list[Values] = []
        self._output: list[Values] = []
        self._gaps: list[Row] = []
        self._cookies: dict[tuple[str, str], Any] = {}
        self._cookie_sizes: dict[str, CookieSizes] = {}
        self._sources: dict[int, Sources] = {}
        self._documents: dict[str, Row] = {}
        self._changed: set[str] = set()
        self._probed = False

    def run(self, operations: Sequence[Operation]) -> list[OperationResult]:
        """Apply the operations in order, write the rows, and return a result for each operation."""
        self._load(
            [operation for operation in operations if isinstance(operation, Append | Finalise)]
        )
        answers = [self._apply(operation) for operation in operations]
        self._write()
        return answers

    def _load(self, operations: Sequence[Append | Finalise]) -> None:
        jobs = sorted({operation.stream.job for operation in operations})
        streams = sorted({operation.stream.no for operation in operations})
        for part in in_slices(jobs):
            for row in _LOCK_JOBS.rows(self._connection, part):
                self._jobs[row[0]] = _JobRow(*row)
        for part in in_slices(streams):
            for row in _STREAMS.rows(self._connection, part):
                self._streams[row[0]] = _StreamRow(*row)

    def _apply(self, operation: Operation) -> OperationResult:
        if isinstance(operation, PutDocument):
            self._document(operation)
            return OperationResult(None)
        if isinstance(operation, AddCount):
            history.add(self._connection, operation)
            return OperationResult(None)
        if isinstance(operation, Probe):
            self._probed = True
            return OperationResult(None)
        job = self._jobs.get(operation.stream.job)
        stream = self._streams.get(operation.stream.no)
        if job is None or stream is None:  # retention deleted the job while it was followed
            return OperationResult(None, stale=True)
        if isinstance(operation, Finalise):
            # Another process has appended since, and may still append: it finalises the stream. A
            # stream that is finalised already may be so by this very operation, whose answer was
            # lost.
            stale = stream.token != operation.expected_token and not stream.settled
            if not stale:
                self._finalise(job, stream, operation)
            return OperationResult(job.state(), stale=stale)
        if stream.token == operation.next_token:  # stored before, by a commit whose answer was lost
            sources = self._sources_of(job) if operation.sources else None
            return OperationResult(job.state(), sources=sources, cookies=None)
        if stream.token != operation.expected_token or stream.settled:
            return OperationResult(job.state(), stale=True)
        cookies = self._append(job, stream, operation)
        return OperationResult(
            job.state(), sources=self._add_sources(job, operation), cookies=cookies
        )

    def _append(
        self, job: _JobRow, stream: _StreamRow, append: Append
    ) -> Sequence[tuple[str, Any]]:
        """Add an append's rows. Return its cookie changes that fit into the size limit."""
        for first, last, reason, cause in append.gaps:
            stream.lost = True
            stream.reason = stream.reason or reason
            job.lose(cause, reason)
            place = {"job": job.no, "stream": stream.no, "after_seq": job.last_seq}
            self._gaps.append({**place, "first_n": first, "last_n": last, "reason": reason})
        cookies, refusals = self._take_cookies(job, append)
        no, source = job.no, stream.no
        self._log += [
            (
                no,
                seq,
                source,
                n,
                epoch,
                levelno,
                message,
                None if exception is None else encode_json(exception),
            )
            for seq, (n, epoch, levelno, message, exception) in enumerate(
                [*append.records, *refusals], job.last_seq + 1
            )
        ]
        self._output += [
            (no, seq, source, n, epoch, channel, text, job.last_seq + before)
            for seq, (n, epoch, channel, text, before) in enumerate(
                append.outputs, job.last_output + 1
            )
        ]
        before = job.last_seq
        job.last_seq += len(append.records) + len(refusals)
        if job.last_seq > before:
            stream.first_seq = stream.first_seq or before + 1
            stream.last_seq = job.last_seq
        job.last_output += len(append.outputs)
        self._advance(job, stream, append)
        return cookies

    def _take_cookies(
        self, job: _JobRow, append: Append
    ) -> tuple[list[tuple[str, Any]], list[NewRecord]]:
        """Return the cookie changes that fit, and a log record for each change that does not."""
        taken: list[tuple[str, Any]] = []
        refusals: list[NewRecord] = []
        if not append.cookies:
            return taken, refusals
        name = job.qual_name
        if name not in self._cookie_sizes:
            self._cookie_sizes[name] = CookieSizes(cookies(self._connection, name))
        for key, value in append.cookies:
            if self._cookie_sizes[name].take(key, value):
                self._cookies[name, key] = value
                taken.append((key, value))
                continue
            text = (
                f"cookie [{key}] is not kept: all cookies of {name} together may have "
                f"{MOST_COOKIE_BYTES} bytes"
            )
            epoch = append.position.stamp / 1e9
            refusals.append(NewRecord(None, epoch, _WARNING, text))
        return taken, refusals

    def _sources_of(self, job: _JobRow) -> Sources:
        if job.no not in self._sources:
            self._sources[job.no] = sources(self._connection, job.no)
        return self._sources[job.no]

    def _add_sources(self, job: _JobRow, append: Append) -> Sources | None:
        if not append.sources:
            return None
        self._sources[job.no] = self._sources_of(job).with_more(append.sources)
        return self._sources[job.no]

    def _advance(self, job: _JobRow, stream: _StreamRow, append: Append) -> None:
        job.lines += append.lines
        job.bytes += append.bytes
        stream.token = append.next_token
        stream.stamp = append.position.stamp
        stream.count = append.position.count
        stream.last_n = append.position.last_n
        stream.pieces = append.position.pieces
        stream.ahead = append.position.ahead
        stream.done = stream.done or append.done
        # A restarted container's run has its own end.
        stream.ended = append.ended
        self._changed.add(job.job_id)

    def _finalise(self, job: _JobRow, stream: _StreamRow, finalise: Finalise) -> None:
        if stream.settled:
            return
        stream.settled = True
        if finalise.lost:
            stream.lost = True
            stream.reason = finalise.message or finalise.reason
            job.lose(finalise.reason, finalise.message)
        job.settled_trial = max(job.settled_trial, finalise.stream.trial)
        self._changed.add(job.job_id)

    def _document(self, put_document: PutDocument) -> None:
        document, trials = put_document.document, [*put_document.trials]
        enqueued = document.get("enqueued") or {}
        self._documents[put_document.job_id] = {
            "job_id": put_document.job_id,
            "qual_name": document["qual_name"],
            "state": document["state"],
            "username": enqueued.get("username"),
            "enqueued_at": enqueued.get("at") or "",
            "finished_at": document.get("finished_at") or "",
            "journaled_at": put_document.journaled_at,
            "size": len(msgspec.json.encode(document)) + len(msgspec.json.encode(trials)) - 2,
            "document": dict(document),
            "owner": put_document.owner,
            "trials": trials or None,
        }
        self._changed.add(put_document.job_id)

    def _write(self) -> None:
        self._execute(_INSERT_RECORDS, self._log)
        self._execute(_INSERT_OUTPUTS, self._output)
        if self._gaps:
            self._connection.execute(sa.insert(schema.gap), self._gaps)
        self._execute(_UPDATE_STREAMS, [_stream_values(row) for row in self._streams.values()])
        self._execute(_UPDATE_JOBS, [_job_values(row) for row in self._jobs.values()])
        self._write_cookies()
        rows = [
            {"job": no, "names": list(kept.names), "dropped": kept.dropped}
            for no, kept in self._sources.items()
        ]
        put(self._connection, schema.source, rows)
        self._write_documents()
        if self._changed:
            touch(self._connection, self._changed)
        elif self._probed:  # last, so that the row is locked after all others
            rewrite(self._connection)

    def _write_documents(self) -> None:
        if not self._documents:
            return
        past_counts.lock(self._connection)
        for job_id, owner in self._owners():
            if self._documents[job_id]["owner"] not in {None, owner}:
                del self._documents[job_id]
        changes = past_counts.CountChanges.empty()
        changes.add(past_counts.stored(self._connection, list(self._documents)), -1)
        rows = list(self._documents.values())
        put(self._connection, schema.job, rows)
        changes.add(past_counts.stored(self._connection, list(self._documents)))
        changes.write(self._connection)

    def _owners(self) -> list[tuple[str, str]]:
        """Return job id and owner of each of the documents that is stored and has an owner."""
        table = schema.job
        rows: list[Any] = []
        for ids in in_slices(list(self._documents)):
            query = sa.select(table.c.job_id, table.c.owner).where(
                table.c.job_id.in_(ids), table.c.owner.is_not(None)
            )
            rows += self._connection.execute(query).all()
        return [(row.job_id, row.owner) for row in rows]

    def _execute(self, statement: Prepared, rows: list[Values]) -> None:
        if rows:
            statement.execute(self._connection, rows)

    def _write_cookies(self) -> None:
        kept = [
            {"qual_name": qual_name, "key": key, "value": value}
            for (qual_name, key), value in self._cookies.items()
            if value is not None
        ]
        put(self._connection, schema.cookie, kept)
        for (qual_name, key), value in self._cookies.items():
            if value is None:
                table = schema.cookie
                self._connection.execute(
                    sa.delete(table).where(table.c.qual_name == qual_name, table.c.key == key)
                )
