"""`Writer`: the write access of the recorder. One transaction has operations of many jobs.

Short calls, most of which only read, share transactions of their own.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Self

import sqlalchemy as sa

from corejob_journal.store import logs, owners, retention, revision, streams
from corejob_journal.store.batch import Batch
from corejob_journal.store.bounds import Sources
from corejob_journal.store.engine import Database, parse_url
from corejob_journal.store.reader import cookies, sources
from corejob_journal.store.records import (
    LogSource,
    LogState,
    Operation,
    OperationResult,
    StreamState,
)
from corejob_journal.store.shared import SharedTransactions


class Writer:
    """A writer to the store, created by `open`, which migrates the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shared = SharedTransactions(database)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Create or migrate the tables of the store at `url`, and return a writer.

        Raises:
            ValueError: The URL names neither a SQLite file nor a PostgreSQL database.
            StoreUnavailable: The database is away or locked.
            SchemaError: A later version of this program migrated the tables.
        """
        database = Database(parse_url(url), writer=True)
        try:
            await database.run(revision.upgrade)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def close(self) -> None:
        """Wait for the running transactions and close the connection."""
        await self._shared.finish()
        await self._database.close()

    async def commit(self, operations: Sequence[Operation]) -> list[OperationResult]:
        """Apply all operations in one transaction, and return a result for each, in order.

        A retry after a failure, or after a commit of unknown outcome, is safe.

        Raises:
            StoreUnavailable: The outcome is unknown; retry with the same operations.
        """
        return await self._database.run(lambda connection: Batch(connection).run(operations))

    async def open_stream(self, source: LogSource) -> StreamState:
        """Return the row of a source, created if missing.

        A new pod makes the log of a finalised trial incomplete again.

        Raises:
            ForeignJobError: The log belongs to another CoreJob or a past job; nothing is stored.
        """
        work = functools.partial(streams.open_stream, source=source)
        return await self._shared.run(work, key=source.job_id)

    async def open_log(self, source: LogSource) -> tuple[StreamState, Sources]:
        """Return what `open_stream` does, and the sources that the job has named so far."""
        work = functools.partial(_open_log, source=source)
        return await self._shared.run(work, key=source.job_id)

    async def streams(self, pod_uids: Iterable[str]) -> dict[str, StreamState]:
        """Return the stored streams of these pods, by pod uid."""
        uids = sorted(set(pod_uids))
        return await self._shared.run(functools.partial(streams.streams_of_pods, uids=uids))

    async def trial_stream(self, job_id: str, trial: int) -> StreamState | None:
        """Return the stream of a trial's last pod, or None."""
        work = functools.partial(streams.trial_stream, job_id=job_id, trial=trial)
        return await self._shared.run(work)

    async def is_foreign(self, job_id: str, owner: str, qual_name: str) -> bool:
        """True if log or document of that id belong to a CoreJob other than that of uid `owner`."""
        work = functools.partial(owners.is_foreign, job_id=job_id, owner=owner, qual_name=qual_name)
        return await self._shared.run(work)

    async def log_state(self, job_id: str) -> LogState | None:
        """Return the state of a job's log; None if there is no log."""
        return await self._shared.run(functools.partial(logs.state, job_id=job_id))

    async def cookies(self, qual_name: str) -> dict[str, Any]:
        """Return the cookies: the key-value store that all jobs of a qual_name share."""
        return await self._shared.run(functools.partial(cookies, qual_name=qual_name))

    async def sources(self, job: int) -> Sources:
        """Return the sources that a job has named, by the number of its log (`job_log.no`)."""
        return await self._shared.run(functools.partial(sources, job=job))

    async def drop(self, job_ids: Sequence[str]) -> int:
        """Delete past jobs and note their logs for `sweep`. Return the number deleted."""
        return await self._database.run(functools.partial(retention.drop, job_ids=job_ids))

    async def sweep(self, rows: int) -> bool:
        """Delete about `rows` rows of dropped logs. Return True if there may be more."""
        return await self._database.run(functools.partial(retention.sweep, rows=rows))

    async def drop_history(self, before: float, rows: int) -> int:
        """Delete at most `rows` old rows of the queue's history. Return the number deleted."""
        work = functools.partial(retention.drop_history, before=before, rows=rows)
        return await self._database.run(work)

    async def give_back(self, pages: int) -> bool:
        """Return up to `pages` free pages to the file system. Return True if there are more."""
        return await self._database.run(functools.partial(retention.give_back, pages=pages))


def _open_log(connection: sa.Connection, source: LogSource) -> tuple[StreamState, Sources]:
    stream = streams.open_stream(connection, source)
    return stream, sources(connection, stream.job)
