"""`Store`: the read access of the API. Calls use indexes and never block the event loop."""

import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Self

import sqlalchemy as sa

from corejob_journal.store import history, logs, past, past_counts, retention, schema, trial_logs
from corejob_journal.store.bounds import Sources
from corejob_journal.store.changes import Changes, Watched
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.history import Steps
from corejob_journal.store.logs import LogPart, LogSelection
from corejob_journal.store.past import PastCursor, PastJob, PastOrder, PastQuery
from corejob_journal.store.past_counts import Kind
from corejob_journal.store.records import Gap, LogRecord, LogState, OutputLine, QueueCount
from corejob_journal.store.retention import Candidate
from corejob_journal.store.trial_logs import TrialLog


def cookies(connection: sa.Connection, qual_name: str) -> dict[str, Any]:
    """Return the cookies (the key-value store) of a qual_name."""
    query = sa.select(schema.cookie.c.key, schema.cookie.c.value).where(
        schema.cookie.c.qual_name == qual_name
    )
    rows: Any = connection.execute(query)
    return dict(rows.all())


def sources(connection: sa.Connection, job: int) -> Sources:
    """Return the sources that a job has named, by the number of its log (`job_log.no`)."""
    table = schema.source
    query = sa.select(table.c.names, table.c.dropped).where(table.c.job == job)
    row = connection.execute(query).first()
    return Sources(tuple(row.names), row.dropped) if row is not None else Sources()


class Store:
    """A reader of the store, created by `open`, which does not wait for the database.

    Every call raises `StoreUnavailable` while the database is away, locked, full, or not created
    yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = Changes(database.url)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Return a reader of the store at `url`.

        Raises:
            ValueError: The URL names neither a SQLite file nor a PostgreSQL database.
        """
        return cls(Database(parse_url(url), writer=False))

    async def close(self) -> None:
        """End the iterations over changes, wait for running calls, and close all connections."""
        await self._changes.close()
        await self._database.close()

    async def _rows(self, query: sa.Select[*tuple[Any, ...]], **values: Any) -> Sequence[Any]:
        return await self._database.run(lambda connection: connection.execute(query, values).all())

    async def log_after(self, job_id: str, seq: int, limit: int = 1000) -> LogPart:
        """Return records after number `seq`, oldest first, and the gaps if there are any records.

        There are fewer records than `limit`, but at least one, if they are long.
        """
        work = functools.partial(logs.after, job_id=job_id, seq=seq, limit=limit)
        return await self._database.run(work)

    async def log_scan(self, wanted: LogSelection, limit: int = 1000) -> list[LogRecord]:
        """Return records of a range, oldest first.

        There are fewer than `limit`, but at least one, if they are long: only an empty result is
        the end.
        """
        return await self._database.run(functools.partial(logs.scan, wanted=wanted, limit=limit))

    async def log_texts(
        self, wanted: LogSelection, limit: int = 1000
    ) -> list[tuple[int, str, dict[str, Any] | None]]:
        """Return number, message and exception of the records that `log_scan` would return."""
        return await self._database.run(functools.partial(logs.texts, wanted=wanted, limit=limit))

    async def log_numbers(self, wanted: LogSelection) -> list[int]:
        """Return the numbers of all records of a range, in ascending order."""
        return await self._database.run(functools.partial(logs.numbers, wanted=wanted))

    async def log_counts(self, wanted: LogSelection, part: int) -> dict[int, int]:
        """Return counts of the records of a range, for each part of the log.

        Part 0 has the numbers 1 to `part`, part 1 the next `part` numbers, and so on; parts without
        a match are left out.
        """
        return await self._database.run(functools.partial(logs.counts, wanted=wanted, part=part))

    async def log_levels(self, wanted: LogSelection) -> dict[int, int]:
        """Return counts of the records of a range, by level number."""
        return await self._database.run(functools.partial(logs.levels, wanted=wanted))

    async def levels_of(self, job_id: str, numbers: Sequence[int]) -> dict[int, int]:
        """Return counts of the records with these numbers, by level number."""
        work = functools.partial(logs.levels_of, job_id=job_id, numbers=numbers)
        return await self._database.run(work)

    async def outputs(
        self, job_id: str, *, seq: int, first: int, last: int, limit: int
    ) -> list[OutputLine]:
        """Return printed lines after number `seq`, oldest first.

        Args:
            job_id: The job.
            seq: Number before the first line.
            first: Least number of the record before a line.
            last: Greatest number of the record before a line.
            limit: Maximum number of lines.
        """
        work = functools.partial(
            logs.outputs, job_id=job_id, seq=seq, first=first, last=last, limit=limit
        )
        return await self._database.run(work)

    async def output_number(self, job_id: str, last: int) -> int:
        """Return the number of the last printed line after record `last` or earlier; 0 if none."""
        work = functools.partial(logs.output_number, job_id=job_id, last=last)
        return await self._database.run(work)

    async def log_rows(self, job_id: str, numbers: Sequence[int]) -> list[LogRecord]:
        """Return the records with these numbers, in the order of `numbers`; skip missing ones."""
        return await self._database.run(
            functools.partial(logs.pick, job_id=job_id, numbers=numbers)
        )

    async def log_page(self, job_id: str, *, offset: int, limit: int) -> list[LogRecord]:
        """Return a page of records, oldest first."""
        work = functools.partial(logs.page, job_id=job_id, offset=offset, limit=limit)
        return await self._database.run(work)

    async def log_count(self, job_id: str) -> int:
        """Return the number of records of the job's log; 0 if there is no log."""
        state = await self.log_state(job_id)
        return state.last_seq if state else 0

    async def log_qual_name(self, job_id: str) -> str | None:
        """Return the qual_name of the job whose log has that id; None if there is no log."""
        return await self._database.run(functools.partial(logs.qual_name, job_id=job_id))

    async def log_state(self, job_id: str) -> LogState | None:
        """Return the state of the job's log; None if there is no log."""
        return await self._database.run(functools.partial(logs.state, job_id=job_id))

    async def gaps(self, job_id: str) -> list[Gap]:
        """Return the gaps of the job's log, in the order of the log."""
        return await self._database.run(functools.partial(logs.gaps, job_id=job_id))

    async def trial_logs(self, job_id: str) -> list[TrialLog]:
        """Return the parts of the job's log, one for each pod, in the order in which they began."""
        return await self._database.run(functools.partial(trial_logs.read, job_id=job_id))

    async def past_job(
        self, job_id: str
    ) -> tuple[dict[str, Any], Sequence[Mapping[str, Any]]] | None:
        """Return a past job's document and its `status.trials`, or None."""
        table = schema.job.c
        query = sa.select(table.document, table.trials).where(table.job_id == job_id)
        rows = await self._rows(query)
        return (dict(rows[0][0]), rows[0][1] or ()) if rows else None

    async def document(self, job_id: str) -> dict[str, Any] | None:
        """Return a past job's document, or None."""
        query = sa.select(schema.job.c.document).where(schema.job.c.job_id == job_id)
        rows = await self._rows(query)
        return dict(rows[0][0]) if rows else None

    async def past_kinds(self) -> Mapping[Kind, int]:
        """Return the number of past jobs of each kind; kinds without jobs are left out."""
        return await self._database.run(past_counts.read)

    async def past_page(
        self, past_query: PastQuery, order: PastOrder, window: Callable[[int], tuple[int, int]]
    ) -> list[PastJob]:
        """Return a page of past jobs.

        Args:
            past_query: The query.
            order: The sort order.
            window: Gets the number of matches and returns offset and limit. Called in a thread.
        """
        work = functools.partial(past.page, past_query=past_query, order=order, window=window)
        return await self._database.run(work)

    async def past_after(
        self, past_query: PastQuery, order: PastOrder, cursor: PastCursor | None, limit: int
    ) -> list[PastJob]:
        """Return the first past jobs after a cursor of the order; None starts at the beginning."""
        work = functools.partial(
            past.after, past_query=past_query, order=order, cursor=cursor, limit=limit
        )
        return await self._database.run(work)

    async def past_documents(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the documents of these past jobs, in the order of `job_ids`; skip missing ones."""
        return await self._database.run(functools.partial(past.pick, job_ids=job_ids))

    async def cookies(self, qual_name: str) -> dict[str, Any]:
        """Return the cookies: the key-value store that all jobs of a qual_name share."""
        return await self._database.run(functools.partial(cookies, qual_name=qual_name))

    async def history_count(self) -> int:
        """Return the number of rows of the queue's history."""
        return await self._database.run(history.count_rows)

    async def history_page(
        self, *, offset: int, limit: int, descending: bool = False
    ) -> list[QueueCount]:
        """Return a page of the queue's history."""
        work = functools.partial(history.page, offset=offset, limit=limit, descending=descending)
        return await self._database.run(work)

    async def history_after(self, no: int, limit: int = 1000) -> list[QueueCount]:
        """Return rows of the history after number `no`, oldest first, for a scan of all rows."""
        return await self._database.run(functools.partial(history.after, no=no, limit=limit))

    async def history_rows(self, numbers: Sequence[int]) -> list[QueueCount]:
        """Return the history's rows with these numbers, in the order of `numbers`."""
        return await self._database.run(functools.partial(history.pick, numbers=numbers))

    async def history_step_count(self, steps: Steps) -> int:
        """Return the number of steps of a time span that have a row."""
        return await self._database.run(functools.partial(history.count_steps, steps=steps))

    async def history_steps(
        self, steps: Steps, *, offset: int, limit: int, descending: bool = False
    ) -> list[QueueCount]:
        """Return a page of the last rows of the steps of a time span."""
        work = functools.partial(
            history.page_steps, steps=steps, offset=offset, limit=limit, descending=descending
        )
        return await self._database.run(work)

    async def stored_bytes(self) -> int:
        """Return the approximate size of all jobs in the store, in bytes."""
        return await self._database.run(retention.stored_bytes)

    async def oldest(self, after: Candidate | None, limit: int) -> list[Candidate]:
        """Return past jobs after `after`, in the order in which they were journaled."""
        work = functools.partial(retention.oldest, after=after, limit=limit)
        return await self._database.run(work)

    async def orphans(self, after: str, before: str, limit: int) -> list[str]:
        """Return ids, between two ids (exclusive), of jobs that have a log but no document."""
        work = functools.partial(retention.orphans, after=after, before=before, limit=limit)
        return await self._database.run(work)

    async def history_older(self, before: float) -> int:
        """Return the number of history rows whose counts ended before time `before`."""
        return await self._database.run(functools.partial(retention.count_history, before=before))

    async def ping(self) -> None:
        """Check that the store answers and has its tables."""
        await self._rows(sa.select(schema.counter.c.value))

    def changes(self, watched: Watched = lambda: None) -> AsyncIterator[frozenset[str]]:
        """Return an iterator over ids of jobs whose log, log state or document changed.

        Each item is a set of ids and comes soon after the commit.

        Changes count from the call on, not from the first item. An empty set means that anything
        may have changed; it is the first item, once the watch is established, and follows each
        reconnection. A slow iteration gets larger sets, never a backlog. `close` ends it.

        Args:
            watched: Returns the ids of the jobs of interest, or None for all. Called in another
                thread. Their states are polled in PostgreSQL, in case notifications don't arrive.
                While it returns none, SQLite is not queried; see `resume_changes`.
        """
        return self._changes.subscribe(watched)

    def resume_changes(self) -> None:
        """Handle that the `watched` of an iteration over changes returns more jobs from now on."""
        self._changes.resume()
