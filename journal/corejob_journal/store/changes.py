"""Telling readers which jobs changed, within milliseconds of the commit, across processes.

SQLite has no notification: `PRAGMA data_version` (a look at shared memory, no disk) says whether
another connection committed, a change number a job says what. PostgreSQL has LISTEN/NOTIFY.
A thread does it, and only while somebody iterates.
"""

import asyncio
import logging
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Final, Protocol

import psycopg
import sqlalchemy as sa

from corejob_journal.store.engine import POSTGRES, connect_sqlite, is_sqlite

log = logging.getLogger(__name__)

CHANNEL: Final = "core4_journal"
EVERYTHING: Final[frozenset[str]] = frozenset()
"""The empty set: anything may have changed."""
_POLL_S: Final = 0.005
_NOTIFY_WAIT_S: Final = 0.25
_RECONNECT_S: Final = 0.25


class _Feed(Protocol):
    """Where changes come from."""

    def sets(self) -> Iterator[frozenset[str] | None]:
        """Sets of changed ids for ever; None now and then, so that a stop is noticed."""


class _SqliteFeed:
    def __init__(self, url: sa.URL, stopping: threading.Event) -> None:
        self._url = url
        self._stopping = stopping

    def sets(self) -> Iterator[frozenset[str] | None]:
        connection = connect_sqlite(self._url, writer=False)
        try:
            version = self._version(connection)
            last = self._last(connection)
            yield EVERYTHING
            while not self._stopping.wait(_POLL_S):
                seen = self._version(connection)
                if seen == version:
                    yield None
                    continue
                version = seen
                rows = connection.execute(
                    'SELECT job_id, "at" FROM change WHERE "at" > ?', (last,)
                ).fetchall()
                if rows:
                    last = max(row[1] for row in rows)
                    yield frozenset(row[0] for row in rows)
        finally:
            connection.close()

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    @staticmethod
    def _last(connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT value FROM counter WHERE name = 'change'").fetchone()
        return int(row[0]) if row else 0


class _PostgresFeed:
    def __init__(self, url: sa.URL) -> None:
        plain = url.set(drivername="postgresql")
        self._dsn = plain.render_as_string(hide_password=False)

    def sets(self) -> Iterator[frozenset[str] | None]:
        with psycopg.connect(self._dsn, autocommit=True, **POSTGRES) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            yield EVERYTHING
            while True:
                for note in connection.notifies(timeout=_NOTIFY_WAIT_S):
                    yield frozenset(note.payload.split(","))
                yield None


class _Subscriber:
    """What one iteration has not taken yet. Bounded by the number of jobs, however slow it is."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._everything = False
        self._over = False
        self._news = asyncio.Event()

    def put(self, ids: frozenset[str]) -> None:
        """Add ids; the empty set stands for all."""
        self._everything = self._everything or not ids
        self._ids |= ids
        self._news.set()

    def end(self) -> None:
        """End the iteration: the store is being closed."""
        self._over = True
        self._news.set()

    async def take(self) -> frozenset[str] | None:
        """Wait for news, and take all of it; None at the end."""
        await self._news.wait()
        if self._over:
            return None
        self._news.clear()
        ids = EVERYTHING if self._everything else frozenset(self._ids)
        self._ids.clear()
        self._everything = False
        return ids


class Changes:
    """Fans changes out to any number of iterations in one event loop."""

    def __init__(self, url: sa.URL) -> None:
        self._url = url
        # Weak: an iteration that was never begun is never ended either.
        self._subscribers: weakref.WeakSet[_Subscriber] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._established = False

    def subscribe(self) -> AsyncIterator[frozenset[str]]:
        """An iteration over what changes from now on; its first item is the empty set."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        if self._established:
            subscriber.put(EVERYTHING)
        self._start()
        return self._iterate(subscriber)

    async def _iterate(self, subscriber: _Subscriber) -> AsyncIterator[frozenset[str]]:
        try:
            while (ids := await subscriber.take()) is not None:
                yield ids
        finally:
            self._subscribers.discard(subscriber)

    async def close(self) -> None:
        """Stop the thread and end the iterations."""
        self._stopping.set()
        for subscriber in list(self._subscribers):
            subscriber.end()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _start(self) -> None:
        if self._thread is not None and not self._stopping.is_set():
            return
        self._stopping = threading.Event()
        self._established = False
        tell = asyncio.get_running_loop().call_soon_threadsafe
        self._thread = threading.Thread(
            target=self._watch, args=(self._stopping, tell), name="journal-changes", daemon=True
        )
        self._thread.start()

    def _watch(self, stopping: threading.Event, tell: Callable[..., object]) -> None:
        feed: _Feed
        feed = (
            _SqliteFeed(self._url, stopping) if is_sqlite(self._url) else _PostgresFeed(self._url)
        )
        while not stopping.is_set():
            try:
                for ids in feed.sets():
                    if stopping.is_set():
                        return
                    if ids is not None or not self._subscribers:
                        # A loop that is closed takes no more: the process is ending.
                        with suppress(RuntimeError):
                            tell(self._deliver, stopping, ids)
            except (sqlite3.Error, psycopg.Error) as error:
                log.debug("the store's changes can't be seen: %s", error)
                stopping.wait(_RECONNECT_S)

    def _deliver(self, stopping: threading.Event, ids: frozenset[str] | None) -> None:
        if stopping is not self._stopping:
            return
        if not self._subscribers:
            stopping.set()  # nobody listens: the next subscriber starts anew
            return
        self._established = True
        if ids is not None:
            for subscriber in list(self._subscribers):
                subscriber.put(ids)
