"""One transaction of the writer: turns operations into rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from corejob_journal.store import history, past_counts, schema
from corejob_journal.store.bounds import MOST_COOKIE_BYTES, CookieSizes, Sources
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
            self.lost,
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
    done: bool
    ended: bool
    settled: bool
    lost: bool
    reason: str | None


_JOB_FIELDS = tuple(_JobRow.__slots__)
_STREAM_FIELDS = tuple(_StreamRow.__slots__)


class Batch:
    """Applies the operations of one transaction. An instance is used once."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._jobs: dict[int, _JobRow] = {}
        self._streams: dict[int, _StreamRow] = {}
        self._log: list[Row] = []
        self._output: list[Row] = []
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
        columns = [schema.job_log.c[name] for name in _JOB_FIELDS]
        # Rows are locked in ascending order, so that two recorders never deadlock. SQLite has no
        # row locks and ignores `FOR UPDATE`.
        for part in in_slices(jobs):
            query = sa.select(*columns).where(schema.job_log.c.no.in_(part)).order_by(columns[0])
            for row in self._connection.execute(query.with_for_update()):
                self._jobs[row.no] = _JobRow(*row)
        fields = [schema.stream.c[name] for name in _STREAM_FIELDS]
        for part in in_slices(streams):
            for row in self._connection.execute(sa.select(*fields).where(fields[0].in_(part))):
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
            self._finalise(job, stream, operation)
            return OperationResult(job.state())
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
        seq = job.last_seq
        for seq, record in enumerate([*append.records, *refusals], job.last_seq + 1):
            self._log.append(
                {
                    "job": job.no,
                    "seq": seq,
                    "stream": stream.no,
                    "n": record[0],
                    "epoch": record[1],
                    "levelno": record[2],
                    "message": record[3],
                    "exception": record[4],
                }
            )
        job.last_seq = seq
        for number, (n, epoch, channel, text) in enumerate(append.outputs, job.last_output + 1):
            key = {"job": job.no, "seq": number, "stream": stream.no}
            self._output.append({**key, "n": n, "epoch": epoch, "channel": channel, "text": text})
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
        stream.done = stream.done or append.done
        stream.ended = stream.ended or append.ended
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
        document = put_document.document
        enqueued = document.get("enqueued") or {}
        self._documents[put_document.job_id] = {
            "job_id": put_document.job_id,
            "qual_name": document["qual_name"],
            "state": document["state"],
            "username": enqueued.get("username"),
            "enqueued_at": enqueued.get("at") or "",
            "finished_at": document.get("finished_at") or "",
            "journaled_at": put_document.journaled_at,
            "size": len(msgspec.json.encode(document)),
            "document": dict(document),
            "owner": put_document.owner,
        }
        self._changed.add(put_document.job_id)

    def _write(self) -> None:
        self._insert(schema.log, self._log)
        self._insert(schema.output, self._output)
        self._insert(schema.gap, self._gaps)
        self._update(schema.stream, _STREAM_FIELDS, self._streams.values())
        self._update(schema.job_log, _JOB_FIELDS, self._jobs.values())
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

    def _insert(self, table: sa.Table, rows: list[Row]) -> None:
        if rows:
            self._connection.execute(sa.insert(table), rows)

    def _update(self, table: sa.Table, fields: Sequence[str], rows: Any) -> None:
        values = [{f"_{name}": getattr(row, name) for name in fields} for row in rows]
        if values:
            statement = _update_statement(table, fields)
            self._connection.execute(statement, values)

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


def _update_statement(table: sa.Table, fields: Sequence[str]) -> sa.Update:
    key, *others = fields
    binds: dict[str, Any] = {name: sa.bindparam(f"_{name}") for name in others}
    return sa.update(table).where(table.c[key] == sa.bindparam(f"_{key}")).values(binds)
