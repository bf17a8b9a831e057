"""`Store`: what the API asks. Each call is a few indexed rows; none blocks the event loop."""

import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Self

import sqlalchemy as sa

from corejob_journal.store import history, past, retention, schema, tally
from corejob_journal.store.bounds import Sources
from corejob_journal.store.changes import Changes, Watched
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.history import Steps
from corejob_journal.store.past import Order, PastJob, Place, Wanted
from corejob_journal.store.records import Gap, LogRecord, LogState, OutputRecord, QueueCount
from corejob_journal.store.retention import Candidate
from corejob_journal.store.tally import Kind


def _of_job(rows: sa.Table, *columns: sa.Column[Any]) -> sa.Select[Any]:
    """Columns of a table's rows that are of the job `:job_id`, and of their streams."""
    return (
        sa.select(*columns)
        .join_from(schema.job_log, rows, rows.c.job == schema.job_log.c.no)
        .join(schema.stream, schema.stream.c.no == rows.c.stream)
        .where(schema.job_log.c.job_id == sa.bindparam("job_id"))
    )


_LOG = _of_job(
    schema.log,
    schema.job_log.c.job_id,
    schema.log.c.seq,
    schema.stream.c.trial,
    schema.log.c.epoch,
    schema.log.c.levelno,
    schema.log.c.message,
    schema.log.c.exception,
    schema.stream.c.hostname,
    schema.job_log.c.username,
    schema.job_log.c.qual_name,
)
_OUTPUT = _of_job(
    schema.output,
    schema.job_log.c.job_id,
    schema.output.c.seq,
    schema.stream.c.trial,
    schema.output.c.epoch,
    schema.output.c.channel,
    schema.output.c.text,
)
_GAPS = _of_job(
    schema.gap,
    schema.stream.c.trial,
    schema.gap.c.after_seq,
    schema.gap.c.first_n,
    schema.gap.c.last_n,
    schema.gap.c.reason,
).order_by(schema.gap.c.after_seq, schema.gap.c.no)
_FULL_CHARACTERS: Final = 2**21
"""Messages of a read, though each may have a million: who reads on and on needs no more at once."""
_MOST_NUMBERS: Final = 500
_LAZILY: Final = {"stream_results": True, "max_row_buffer": 250}
_STATE = sa.select(
    schema.job_log.c.last_seq,
    schema.job_log.c.settled_trial,
    schema.job_log.c.lines,
    schema.job_log.c.bytes,
    schema.job_log.c.lost,
    schema.job_log.c.reason,
    schema.job_log.c.message,
).where(schema.job_log.c.job_id == sa.bindparam("job_id"))


def cookies(connection: sa.Connection, qual_name: str) -> dict[str, Any]:
    """The key-value store of a qual_name."""
    query = sa.select(schema.cookie.c.key, schema.cookie.c.value).where(
        schema.cookie.c.qual_name == qual_name
    )
    rows: Any = connection.execute(query)
    return dict(rows.all())


def sources(connection: sa.Connection, job: int) -> Sources:
    """The sources that a job has named; by the number of its log."""
    table = schema.source
    query = sa.select(table.c.names, table.c.dropped).where(table.c.job == job)
    row = connection.execute(query).first()
    return Sources(tuple(row.names), row.dropped) if row is not None else Sources()


def _passing(
    after: int, last: int, level: int, since: float | None
) -> list[sa.ColumnElement[bool]]:
    """A range of a log, and what its records must be to count."""
    found = [schema.log.c.seq > after, schema.log.c.seq <= last]
    if level > 0:
        found.append(schema.log.c.levelno >= level)
    if since is not None:
        found.append(schema.log.c.epoch >= since)
    return found


def log_state(connection: sa.Connection, job_id: str) -> LogState | None:
    """How far a job's log has come; None if the store knows none."""
    row: Any = connection.execute(_STATE, {"job_id": job_id}).one_or_none()
    return LogState(*row) if row is not None else None


class Store:
    """A reader. Made by `open`, which does not wait for the database: the calls say if it is away.

    Every call raises `StoreUnavailable` while the database is away, locked, full, or not there yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = Changes(database.url)

    @classmethod
    async def open(cls, url: str) -> Self:
        """A reader of the store at `url`.

        Raises:
            ValueError: The URL names no SQLite file and no PostgreSQL database.
        """
        return cls(Database(parse_url(url), writer=False))

    async def close(self) -> None:
        """End the iterations over changes and close all connections."""
        await self._changes.close()
        await self._database.close()

    async def _rows(self, query: sa.Select[*tuple[Any, ...]], **values: Any) -> Sequence[Any]:
        return await self._database.run(lambda connection: connection.execute(query, values).all())

    async def _some(self, query: sa.Select[*tuple[Any, ...]], job_id: str) -> list[Any]:
        """The first rows, as many as have messages of a sensible length together."""

        def read(connection: sa.Connection) -> list[Any]:
            found, size = [], 0
            lazily = connection.execution_options(**_LAZILY)
            with lazily.execute(query, {"job_id": job_id}) as rows:
                for row in rows:
                    found.append(row)
                    size += len(row.message)
                    if size >= _FULL_CHARACTERS:
                        break
            return found

        return await self._database.run(read)

    async def log_after(self, job_id: str, seq: int, limit: int = 1000) -> list[LogRecord]:
        """Records after number `seq`, oldest first; fewer, but one at least, if they are long."""
        query = _LOG.where(schema.log.c.seq > seq).order_by(schema.log.c.seq).limit(limit)
        return [LogRecord(*row) for row in await self._some(query, job_id)]

    async def log_scan(
        self,
        job_id: str,
        *,
        after: int,
        last: int,
        level: int = 0,
        since: float | None = None,
        limit: int = 1000,
    ) -> list[LogRecord]:
        """Records above number `after` up to `last` that are of a level and a time, oldest first.

        Fewer than `limit`, but one at least, if they are long: only an empty answer is the end.
        Each row of the range may be looked at: who has a long one asks for it slice by slice.
        """
        query = _LOG.where(*_passing(after, last, level, since))
        query = query.order_by(schema.log.c.seq).limit(limit)
        return [LogRecord(*row) for row in await self._some(query, job_id)]

    async def log_texts(
        self,
        job_id: str,
        *,
        after: int,
        last: int,
        level: int = 0,
        since: float | None = None,
        limit: int = 1000,
    ) -> list[tuple[int, str, dict[str, Any] | None]]:
        """Number, message and exception of the records that `log_scan` would give."""
        query = (
            sa.select(schema.log.c.seq, schema.log.c.message, schema.log.c.exception)
            .join_from(schema.job_log, schema.log, schema.log.c.job == schema.job_log.c.no)
            .where(schema.job_log.c.job_id == sa.bindparam("job_id"))
            .where(*_passing(after, last, level, since))
            .order_by(schema.log.c.seq)
            .limit(limit)
        )
        return await self._some(query, job_id)

    async def log_numbers(
        self, job_id: str, *, after: int, last: int, level: int = 0, since: float | None = None
    ) -> list[int]:
        """Numbers of the records that `log_scan` would give, all of the range."""
        query = (
            sa.select(schema.log.c.seq)
            .join_from(schema.job_log, schema.log, schema.log.c.job == schema.job_log.c.no)
            .where(schema.job_log.c.job_id == job_id, *_passing(after, last, level, since))
            .order_by(schema.log.c.seq)
        )
        return [row[0] for row in await self._rows(query)]

    async def log_tally(
        self, job_id: str, *, after: int, last: int, level: int, since: float | None, part: int
    ) -> dict[int, int]:
        """How many records `log_scan` would give, for each part of so many numbers, from 0."""
        at = ((schema.log.c.seq - 1) // part).label("at")
        query = (
            sa.select(at, sa.func.count())
            .join_from(schema.job_log, schema.log, schema.log.c.job == schema.job_log.c.no)
            .where(schema.job_log.c.job_id == job_id, *_passing(after, last, level, since))
            .group_by(at)
        )
        return {int(row[0]): row[1] for row in await self._rows(query)}

    async def log_rows(self, job_id: str, numbers: Sequence[int]) -> list[LogRecord]:
        """The records that have these numbers, in their order."""
        found: dict[int, LogRecord] = {}
        for start in range(0, len(numbers), _MOST_NUMBERS):
            some = list(numbers[start : start + _MOST_NUMBERS])
            rows = await self._rows(_LOG.where(schema.log.c.seq.in_(some)), job_id=job_id)
            found.update((record.seq, record) for record in (LogRecord(*row) for row in rows))
        return [found[number] for number in numbers if number in found]

    async def log_page(
        self, job_id: str, *, offset: int, limit: int, descending: bool = False
    ) -> list[LogRecord]:
        """A page of records. Numbers have no gaps, so an offset costs nothing."""
        if not descending:
            query = _LOG.where(schema.log.c.seq > offset, schema.log.c.seq <= offset + limit)
            query = query.order_by(schema.log.c.seq)
        else:
            top = schema.job_log.c.last_seq - offset
            query = _LOG.where(schema.log.c.seq <= top, schema.log.c.seq > top - limit)
            query = query.order_by(schema.log.c.seq.desc())
        return [LogRecord(*row) for row in await self._rows(query, job_id=job_id)]

    async def log_count(self, job_id: str) -> int:
        """How many records the job's log has."""
        state = await self.log_state(job_id)
        return state.last_seq if state else 0

    async def log_qual_name(self, job_id: str) -> str | None:
        """The qual_name of the job whose log is stored under that id; None: there is no log."""
        table = schema.job_log
        rows = await self._rows(sa.select(table.c.qual_name).where(table.c.job_id == job_id))
        return str(rows[0].qual_name) if rows else None

    async def log_state(self, job_id: str) -> LogState | None:
        """How far the job's log has come; None if the store knows none."""
        return await self._database.run(functools.partial(log_state, job_id=job_id))

    async def output_after(self, job_id: str, seq: int, limit: int = 1000) -> list[OutputRecord]:
        """Printed lines after number `seq`, oldest first."""
        query = _OUTPUT.where(schema.output.c.seq > seq).order_by(schema.output.c.seq).limit(limit)
        return [OutputRecord(*row) for row in await self._rows(query, job_id=job_id)]

    async def gaps(self, job_id: str) -> list[Gap]:
        """Where lines of the job's log are missing."""
        return [Gap(*row) for row in await self._rows(_GAPS, job_id=job_id)]

    async def document(self, job_id: str) -> dict[str, Any] | None:
        """A past job's document; None if the store has none of that id."""
        query = sa.select(schema.job.c.document).where(schema.job.c.job_id == job_id)
        rows = await self._rows(query)
        return dict(rows[0][0]) if rows else None

    async def past_kinds(self) -> Mapping[Kind, int]:
        """How many past jobs there are of each kind that there is one of."""
        return await self._database.run(tally.read)

    async def past_page(
        self, wanted: Wanted, order: Order, window: Callable[[int], tuple[int, int]]
    ) -> list[PastJob]:
        """A page of past jobs.

        Args:
            wanted: Which jobs.
            order: In which order.
            window: Called, in a thread, with how many jobs fit; gives offset and limit.
        """
        work = functools.partial(past.page, wanted=wanted, order=order, window=window)
        return await self._database.run(work)

    async def past_after(
        self, wanted: Wanted, order: Order, place: Place | None, limit: int
    ) -> list[PastJob]:
        """The first past jobs behind a place of the order; None is its beginning."""
        work = functools.partial(past.after, wanted=wanted, order=order, place=place, limit=limit)
        return await self._database.run(work)

    async def past_documents(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The documents of these past jobs, in their order; without those that are gone."""
        return await self._database.run(functools.partial(past.pick, job_ids=job_ids))

    async def cookies(self, qual_name: str) -> dict[str, Any]:
        """The key-value store that all jobs of a qual_name share."""
        return await self._database.run(functools.partial(cookies, qual_name=qual_name))

    async def history_count(self) -> int:
        """How many rows the history of the queue has."""
        return await self._database.run(history.count_rows)

    async def history_page(
        self, *, offset: int, limit: int, descending: bool = False
    ) -> list[QueueCount]:
        """A page of the history of the queue."""
        work = functools.partial(history.page, offset=offset, limit=limit, descending=descending)
        return await self._database.run(work)

    async def history_after(self, no: int, limit: int = 1000) -> list[QueueCount]:
        """Rows of the history after number `no`, oldest first: for who has to look at each."""
        return await self._database.run(functools.partial(history.after, no=no, limit=limit))

    async def history_rows(self, numbers: Sequence[int]) -> list[QueueCount]:
        """The rows of the history that have these numbers, in their order."""
        return await self._database.run(functools.partial(history.pick, numbers=numbers))

    async def history_step_count(self, steps: Steps) -> int:
        """How many steps of a span of time have a row."""
        return await self._database.run(functools.partial(history.count_steps, steps=steps))

    async def history_steps(
        self, steps: Steps, *, offset: int, limit: int, descending: bool = False
    ) -> list[QueueCount]:
        """A page of the last rows of the steps of a span of time."""
        work = functools.partial(
            history.page_steps, steps=steps, offset=offset, limit=limit, descending=descending
        )
        return await self._database.run(work)

    async def stored_bytes(self) -> int:
        """About what all jobs take in the store."""
        return await self._database.run(retention.stored_bytes)

    async def oldest(self, behind: Candidate | None, limit: int) -> list[Candidate]:
        """Past jobs in the order in which the journal took them over, behind one of them."""
        work = functools.partial(retention.oldest, behind=behind, limit=limit)
        return await self._database.run(work)

    async def orphans(self, behind: str, before: str, limit: int) -> list[str]:
        """Ids between two others of jobs that have a log and no document."""
        work = functools.partial(retention.orphans, behind=behind, before=before, limit=limit)
        return await self._database.run(work)

    async def history_older(self, before: float) -> int:
        """How many rows of the queue's history say nothing of the time since then."""
        return await self._database.run(functools.partial(retention.count_history, before=before))

    async def ping(self) -> None:
        """Return if the store answers and has its tables."""
        await self._rows(sa.select(schema.counter.c.value))

    def changes(self, watched: Watched = lambda: None) -> AsyncIterator[frozenset[str]]:
        """Sets of ids of jobs whose log, log state or document changed, soon after the commit.

        It counts from the call on, not from the first item. An empty set means that anything may
        have changed: it is the first item, once the watch is up, and comes again after trouble. A
        slow iteration gets larger sets, never a backlog. `close` ends it.

        Args:
            watched: Called in another thread: the jobs that matter; None: all. PostgreSQL is asked
                for them now and then, should its notifications not arrive.
        """
        return self._changes.subscribe(watched)
