"""Notify readers in other processes which jobs changed, within milliseconds of the commit.

SQLite has no notifications: `PRAGMA data_version` (read from shared memory, not from disk) tells if
another connection committed, and a change number for each job tells which jobs changed. PostgreSQL
has LISTEN/NOTIFY. One thread watches while there are subscribers; it queries SQLite only while one
of them is interested in a job.
"""

import asyncio
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

import psycopg
import sqlalchemy as sa

from corejob_journal.store.engine import POSTGRES, connect_sqlite, is_sqlite
from corejob_process.backoff import Backoff

log = logging.getLogger(__name__)

CHANNEL: Final = "core4_journal"
EVERYTHING: Final[frozenset[str]] = frozenset()
"""The empty set means that anything may have changed."""
_POLL_S: Final = 0.005
_IDLE_CHECK_S: Final = 1.0
"""Seconds between two checks if any job is still watched."""
_NOTIFY_WAIT_S: Final = 0.25
_SLOW_POLL_S: Final = 1.5
_RELISTEN_S: Final = 60.0
_LAST_TRANSACTION: Final = "SELECT pg_current_snapshot()::text"
"""Changes with every transaction that writes, and reads no table.

It names the transactions that are open, so it also changes if one commits after a newer one.
"""
_STATES: Final = (
    "SELECT log.job_id, log.last_seq, log.last_output, log.lines, log.settled_trial, log.message,"
    " job.journaled_at, (SELECT max(no) FROM gap WHERE gap.job = log.no)"
    " FROM job_log AS log LEFT JOIN job ON job.job_id = log.job_id"
    " WHERE log.job_id = ANY(%(ids)s)"
)
_RECONNECT_FIRST_S: Final = 0.25
_RECONNECT_MOST_S: Final = 1.0


Watched = Callable[[], Collection[str] | None]
"""Returns the ids of the jobs that a subscriber is interested in; None means all."""

_Connection = psycopg.Connection[tuple[Any, ...]]


class _Attention:
    """The jobs that all subscribers together are interested in, as the watching thread sees them.

    Args:
        watched: Returns their ids; None means all.
        has_subscribers: Returns True while there are subscribers.
        stopping: Set to end the thread.
    """

    def __init__(
        self, watched: Watched, has_subscribers: Callable[[], bool], stopping: threading.Event
    ) -> None:
        self.watched = watched
        self.stopping = stopping
        self._has_subscribers = has_subscribers
        self._resumed = threading.Event()

    def is_idle(self) -> bool:
        """True if there are subscribers, but none is interested in any job."""
        if not self._has_subscribers():
            return False  # the thread ends
        ids = self.watched()
        return ids is not None and not ids

    def wait(self) -> bool:
        """Wait while idle. Return True if it was idle, so that changes may have been missed."""
        waited = False
        while not self.stopping.is_set():
            # Clear first: a job that is watched after the check sets the event again.
            self._resumed.clear()
            if not self.is_idle():
                break
            waited = True
            self._resumed.wait()
        return waited

    def resume(self) -> None:
        """End a wait, since more jobs are watched or the thread has to end."""
        self._resumed.set()


class _Feed(Protocol):
    """A source of changes."""

    def sets(self) -> Iterator[frozenset[str] | None]:
        """Yield sets of changed ids without end, and None regularly so that a stop is noticed."""


class _SqliteFeed:
    def __init__(self, url: sa.URL, attention: _Attention) -> None:
        self._url = url
        self._attention = attention

    def sets(self) -> Iterator[frozenset[str] | None]:
        connection = connect_sqlite(self._url, writer=False)
        try:
            version, last = self._version(connection), self._last(connection)
            yield EVERYTHING
            check_at = 0.0
            while not self._attention.stopping.wait(_POLL_S):
                if time.monotonic() >= check_at:
                    if self._attention.wait():
                        # Followers read their jobs when they begin; a change between their read
                        # and this one would be lost.
                        version, last = self._version(connection), self._last(connection)
                        yield EVERYTHING
                    check_at = time.monotonic() + _IDLE_CHECK_S
                newest = self._version(connection)
                if newest == version:
                    yield None
                    continue
                version = newest
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
    """Notifications, and a slow poll beside them.

    LISTEN is lost without an error behind a pooler that gives each transaction another session, and
    when a session is reset. Then no notification arrives and only the poll finds changes.
    """

    def __init__(self, url: sa.URL, attention: _Attention) -> None:
        plain = url.set(drivername="postgresql")
        self._dsn = plain.render_as_string(hide_password=False)
        self._attention = attention
        self._states: dict[str, tuple[Any, ...]] = {}
        self._transaction = ""
        self._listened = 0.0

    def sets(self) -> Iterator[frozenset[str] | None]:
        name = "core4-journal-changes"
        with psycopg.connect(
            self._dsn, autocommit=True, application_name=name, prepare_threshold=None, **POSTGRES
        ) as connection:
            self._listen(connection)
            self._poll(connection, heard=True)
            yield EVERYTHING
            heard, poll_at = False, time.monotonic() + _SLOW_POLL_S
            while True:
                for note in connection.notifies(timeout=_NOTIFY_WAIT_S):
                    heard = True
                    yield frozenset(note.payload.split(","))
                changed = None
                if time.monotonic() >= poll_at:
                    changed = self._poll(connection, heard=heard)
                    heard, poll_at = False, time.monotonic() + _SLOW_POLL_S
                yield changed

    def _listen(self, connection: _Connection) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self._listened = time.monotonic()

    def _poll(self, connection: _Connection, *, heard: bool) -> frozenset[str] | None:
        """Return the ids of jobs that changed since the last poll, or None.

        Args:
            connection: The connection that listens.
            heard: True if a notification arrived since the last poll.
        """
        row = connection.execute(_LAST_TRANSACTION).fetchone()
        transaction = str(row[0]) if row is not None else ""
        if transaction == self._transaction:
            return None
        self._transaction = transaction
        ids = self._attention.watched()
        if ids is None:
            return None if heard else EVERYTHING
        # A job that is newly watched is read by its follower anyway.
        rows = connection.execute(_STATES, {"ids": list(ids)})
        states = {str(row[0]): row[1:] for row in rows}
        before, self._states = self._states, states
        changed = {key for key in states if key in before and before[key] != states[key]} | {
            key for key in states.keys() - before.keys() if not heard
        }
        if changed and not heard and time.monotonic() - self._listened > _RELISTEN_S:
            log.warning("the store's notifications do not arrive: its changes are polled")
            self._listen(connection)
        return frozenset(changed) if changed else None


class _Subscriber:
    """Changes that one iteration has not taken yet.

    A slow iteration gets larger sets, so its memory is bounded by the number of jobs.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._ids: set[str] = set()
        self._everything = False
        self._over = False
        self._news = asyncio.Event()

    def put(self, ids: frozenset[str]) -> None:
        """Add changed ids; the empty set means that anything may have changed."""
        self._everything = self._everything or not ids
        self._ids |= ids
        self._news.set()

    def end(self) -> None:
        """End the iteration, since the store is being closed."""
        self._over = True
        self._news.set()

    async def take(self) -> frozenset[str] | None:
        """Wait for changes and return all of them; return None at the end."""
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
        # Weak references: an iteration that was never started never runs its `finally`.
        self._subscribers: weakref.WeakSet[_Subscriber] = weakref.WeakSet()
        # The watching thread iterates over them while the loop adds and discards some.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._attention: _Attention | None = None
        self._established = False

    def subscribe(self, watched: Watched = lambda: None) -> AsyncIterator[frozenset[str]]:
        """Return an iterator over changes from now on; its first item is the empty set.

        Args:
            watched: Returns the jobs that the iteration is interested in. Called in another thread.
        """
        subscriber = _Subscriber(watched)
        with self._lock:
            self._subscribers.add(subscriber)
        if self._established:
            subscriber.put(EVERYTHING)
        self._start()
        self.resume()
        return self._iterate(subscriber)

    def resume(self) -> None:
        """Handle that a subscriber is interested in more jobs: go on if nobody was until now."""
        if self._attention is not None:
            self._attention.resume()

    async def _iterate(self, subscriber: _Subscriber) -> AsyncIterator[frozenset[str]]:
        try:
            while (ids := await subscriber.take()) is not None:
                yield ids
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)

    async def close(self) -> None:
        """Stop the thread and end the iterations."""
        self._stopping.set()
        self.resume()
        for subscriber in list(self._subscribers):
            subscriber.end()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _start(self) -> None:
        if self._thread is not None and not self._stopping.is_set():
            return
        self._stopping = threading.Event()
        self._established = False
        self._attention = _Attention(self._watched, lambda: bool(self._subscribers), self._stopping)
        call = asyncio.get_running_loop().call_soon_threadsafe
        self._thread = threading.Thread(
            target=self._watch, args=(self._attention, call), name="journal-changes", daemon=True
        )
        self._thread.start()

    def _watch(self, attention: _Attention, call: Callable[..., object]) -> None:
        stopping = attention.stopping
        feed: _Feed = (_SqliteFeed if is_sqlite(self._url) else _PostgresFeed)(self._url, attention)
        backoff = Backoff(_RECONNECT_FIRST_S, _RECONNECT_MOST_S)
        while not stopping.is_set():
            try:
                for ids in feed.sets():
                    if stopping.is_set():
                        return
                    backoff.reset()
                    if ids is not None or not self._subscribers:
                        # The event loop is closed if the process is ending.
                        with suppress(RuntimeError):
                            call(self._deliver, stopping, ids)
            except (sqlite3.Error, psycopg.Error) as error:
                log.debug("the store's changes can't be seen: %s", error)
                stopping.wait(backoff.next())
            except Exception:
                # Nothing supervises this thread: if it ended, followers would wait for ever.
                log.exception("the store's changes can't be seen")
                stopping.wait(backoff.next())

    def _watched(self) -> set[str] | None:
        """Return the jobs that any iteration is interested in; None means all."""
        watched: set[str] = set()
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            ids = subscriber.watched()
            if ids is None:
                return None
            watched.update(ids)
        return watched

    def _deliver(self, stopping: threading.Event, ids: frozenset[str] | None) -> None:
        if stopping is not self._stopping:
            return
        if not self._subscribers:
            stopping.set()  # no subscribers: the next one starts a new thread
            return
        self._established = True
        if ids is not None:
            for subscriber in list(self._subscribers):
                subscriber.put(ids)
