"""Connections to the two databases, their settings, and the threads that use them.

`docs/journal.md` gives the reason for each setting.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from corejob_journal.store.errors import translated

log = logging.getLogger(__name__)

T = TypeVar("T")

_BUSY_S: Final = 5.0
"""Seconds that SQLite waits for another writer's transaction before it raises `locked`."""
_BUSY_PAUSE_S: Final = 0.02
_IDLE_MS: Final = 5_000
"""Milliseconds that a writer may be idle within a transaction before PostgreSQL ends its session.

The locks of a process that hangs must not block the recorder that takes over its work.
"""
_LOCK_MS: Final = 5_000
"""Milliseconds that a writer waits for a lock of PostgreSQL before it ends writers that hang."""
_WRITER: Final = "core4-journal-writer"
_END_HUNG: Final = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :writer AND datname = current_database() AND usename = current_user"
    " AND pid <> pg_backend_pid() AND state <> 'idle' AND wait_event_type = 'Client'"
    " AND state_change < clock_timestamp() - :seconds * interval '1 second'"
)
"""Ends the sessions of writers that have sent nothing within a transaction for `seconds`.

No timeout of PostgreSQL 15 fires between two statements that are sent as one (psycopg's pipeline).
"""
_READERS: Final = 4
_CACHE_KIB: Final = 16 * 1024
_WAL_LIMIT_BYTES: Final = 64 * 2**20
POSTGRES: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


def is_sqlite(url: sa.URL) -> bool:
    """True if the URL names a SQLite file."""
    return url.get_backend_name() == "sqlite"


def parse_url(text: str) -> sa.URL:
    """Parse the store's URL; a PostgreSQL URL gets the driver psycopg.

    Raises:
        ValueError: The URL names neither a SQLite file nor a PostgreSQL database.
    """
    url = sa.make_url(text)
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not url.database or url.database == ":memory:":
        raise ValueError("the store is sqlite:////path/of/file or postgresql+psycopg://…")
    return url


def connect_sqlite(url: sa.URL, *, writer: bool) -> sqlite3.Connection:
    """Connect to a SQLite file. A reader neither creates the file nor changes anything in it."""
    mode = "rwc" if writer else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(url.database))}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for pragma in _pragmas(writer=writer):
            _set(connection, pragma)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _set(connection: sqlite3.Connection, pragma: str) -> None:
    """Set a pragma; wait for other programs that keep the file locked.

    While another writer is in its first transaction, SQLite answers a change of the journal mode
    with `locked` at once instead of waiting: a lock that both want to upgrade never becomes free.
    """
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)
        else:
            return


def _pragmas(*, writer: bool) -> list[str]:
    common = [f"cache_size=-{_CACHE_KIB}", "temp_store=MEMORY"]
    if not writer:
        return [*common, "query_only=ON"]
    return [
        *common,
        "auto_vacuum=INCREMENTAL",  # set before the first table; lets retention free pages
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"journal_size_limit={_WAL_LIMIT_BYTES}",
    ]


def encode_json(value: Any) -> str:
    """Return a value of a JSON column as text."""
    return msgspec.json.encode(value).decode()


def create(url: sa.URL, *, writer: bool) -> sa.Engine:
    """Create an engine with one connection for a writer, or a few for a reader."""
    size = 1 if writer else _READERS
    options: dict[str, Any] = {
        "poolclass": QueuePool,
        "pool_size": size,
        "max_overflow": 0,
        "pool_timeout": _BUSY_S,
        "json_serializer": encode_json,
        "json_deserializer": msgspec.json.decode,
    }
    if is_sqlite(url):
        options["creator"] = lambda: connect_sqlite(url, writer=writer)
    else:
        name = _WRITER if writer else "core4-journal-reader"
        options["connect_args"] = {**POSTGRES, "application_name": name}
        options["pool_pre_ping"] = True
    engine = sa.create_engine(url, **options)
    if is_sqlite(url):
        # The driver's implicit BEGIN is off (isolation_level=None). A writer takes the lock at
        # once: a transaction that starts with a read may fail when it is upgraded to a write.
        begin = "BEGIN IMMEDIATE" if writer else "BEGIN"

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

    else:

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: Any) -> None:
            if _is_pooled(connection):
                # The next transaction may run in another session, which lacks the statements
                # prepared in this one; settings made in this session would leak to other clients.
                connection.prepare_threshold = None
            elif writer:
                connection.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MS}")
                connection.execute(f"SET lock_timeout = {_LOCK_MS}")
            connection.commit()

        @sa.event.listens_for(engine, "handle_error")
        def _handle_error(context: sa.engine.ExceptionContext) -> None:
            # After a failover the server of an open session may be a standby, or have become one:
            # only a new session reaches the server that accepts writes.
            if type(context.original_exception).__name__ == "ReadOnlySqlTransaction":
                context.is_disconnect = True

    return engine


def _is_pooled(connection: Any) -> bool:
    """True if a pooler such as PgBouncer is in between: it reports backend pids of its own."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(row[0] != connection.info.backend_pid)


class Database:
    """An engine with one thread for each connection, so that no call blocks the event loop."""

    def __init__(self, url: sa.URL, *, writer: bool) -> None:
        self.url = url
        self.engine = create(url, writer=writer)
        size = 1 if writer else _READERS
        name = "journal-writer" if writer else "journal-reader"
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction of its own, in a thread, and return its result.

        Raises:
            StoreUnavailable: The database is away, locked or full. Nothing was changed, unless the
                connection broke during the commit.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        with translated():
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                if type(error.orig).__name__ == "LockNotAvailable":
                    self._end_hung()
                raise

    def _end_hung(self) -> None:
        """End the sessions of writers that hang while they hold locks; the caller then retries."""
        with self.engine.begin() as connection:
            values = {"writer": _WRITER, "seconds": _LOCK_MS / 1000}
            if ended := connection.execute(_END_HUNG, values).rowcount:
                log.warning("ended %d sessions of writers that hang, and held locks", ended)

    async def close(self) -> None:
        """Wait for running calls, then close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self.engine.dispose)
