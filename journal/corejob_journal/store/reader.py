"""`Store`: what the API asks. Each call is a few indexed rows; none blocks the event loop."""

import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import sqlalchemy as sa

from corejob_journal.store import history, schema
from corejob_journal.store.changes import Changes
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.history import Steps
from corejob_journal.store.records import Gap, LogRecord, LogState, OutputRecord, QueueCount

_LOG = (
    sa.select(
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
    .join_from(schema.job_log, schema.log, schema.log.c.job == schema.job_log.c.no)
    .join(schema.stream, schema.stream.c.no == schema.log.c.stream)
    .where(schema.job_log.c.job_id == sa.bindparam("job_id"))
)
_OUTPUT = (
    sa.select(
        schema.job_log.c.job_id,
        schema.output.c.seq,
        schema.stream.c.trial,
        schema.output.c.epoch,
        schema.output.c.channel,
        schema.output.c.text,
    )
    .join_from(schema.job_log, schema.output, schema.output.c.job == schema.job_log.c.no)
    .join(schema.stream, schema.stream.c.no == schema.output.c.stream)
    .where(schema.job_log.c.job_id == sa.bindparam("job_id"))
)
_GAPS = (
    sa.select(
        schema.stream.c.trial,
        schema.gap.c.after_seq,
        schema.gap.c.first_n,
        schema.gap.c.last_n,
        schema.gap.c.reason,
    )
    .join_from(schema.job_log, schema.gap, schema.gap.c.job == schema.job_log.c.no)
    .join(schema.stream, schema.stream.c.no == schema.gap.c.stream)
    .where(schema.job_log.c.job_id == sa.bindparam("job_id"))
    .order_by(schema.gap.c.after_seq, schema.gap.c.no)
)
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

    async def log_after(self, job_id: str, seq: int, limit: int = 1000) -> list[LogRecord]:
        """Records after number `seq`, oldest first."""
        query = _LOG.where(schema.log.c.seq > seq).order_by(schema.log.c.seq).limit(limit)
        return [LogRecord(*row) for row in await self._rows(query, job_id=job_id)]

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

    async def ping(self) -> None:
        """Return if the store answers and has its tables."""
        await self._rows(sa.select(schema.counter.c.value))

    def changes(self) -> AsyncIterator[frozenset[str]]:
        """Sets of ids of jobs whose log, log state or document changed, soon after the commit.

        It counts from the call on, not from the first item. An empty set means that anything may
        have changed: it is the first item, once the watch is up, and comes again after trouble. A
        slow iteration gets larger sets, never a backlog. `close` ends it.
        """
        return self._changes.subscribe()
