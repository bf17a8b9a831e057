"""Very many past jobs with their logs, inserted in bulk, in key order, without the recorder."""

import itertools
import json
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import sqlalchemy as sa

from corejob import ids
from corejob_journal.store import schema
from corejob_journal.store.engine import connect_sqlite, is_sqlite, parse_url

NAMES = [f"bench.team_{number % 10}.Job{number}" for number in range(100)]
_STATES = ("complete",) * 90 + ("error",) * 7 + ("killed",) * 3
_BEGAN = datetime(2025, 11, 1, tzinfo=UTC)
_YEAR = timedelta(days=365)
_LONG_EVERY = 100
"""Interval of the jobs with a long log, which have half of all records."""
_CHUNK = 10_000


@dataclass(frozen=True)
class Amount:
    """Numbers of jobs, and of log records in all."""

    jobs: int
    records: int

    def lines(self, number: int) -> int:
        """Number of records of one job: the long logs share one half, the others the other."""
        average = self.records / self.jobs
        if number % _LONG_EVERY == 0:
            return round(average * (_LONG_EVERY + 1) / 2)
        return round(average / 2)


def job_id(number: int, amount: Amount) -> str:
    """Return the id of a job by its number; the ids are spread over a year."""
    at = _BEGAN + _YEAR * (number / amount.jobs)
    return f"{int(at.timestamp() * 65536):012x}{number:012x}"


def document(number: int, amount: Amount, chance: random.Random) -> dict[str, Any]:
    """Return a past job as the recorder would store it."""
    name, state = chance.choice(NAMES), chance.choice(_STATES)
    made = ids.created_at(job_id(number, amount)).replace(tzinfo=None)
    started = made + timedelta(seconds=chance.uniform(0, 5))
    ended = started + timedelta(seconds=chance.uniform(1, 7200))
    error = {"exception": "ValueError: bench", "timestamp": ended.isoformat(), "traceback": None}
    return {
        "_id": job_id(number, amount),
        "name": name,
        "qual_name": name,
        "args": {"segment": number % 10, "path": f"/data/in/{number}.csv", "retry": False},
        "state": state,
        "highstate": None if state == "complete" else "stopped",
        "flag": {"zombie": False, "killed": state == "killed", "removed": False, "nonstop": False},
        "prog": {"value": 1.0, "message": ""},
        "attempts": 1,
        "error_time": 600,
        "priority": number % 3,
        "force": False,
        "attempts_left": int(state != "error"),
        "trial": 1,
        "chain": [],
        "dependency": [],
        "enqueued": {
            "at": made.isoformat(),
            "hostname": "10.0.0.1",
            "username": f"user{number % 50}",
            "parent_id": None,
        },
        "locked": None,
        "started_at": started.isoformat(),
        "finished_at": None if state == "killed" else ended.isoformat(),
        "runtime": (ended - started).total_seconds(),
        "last_error": error if state == "error" else None,
        "sources": [],
        "age": 10_000.0,
        "reason": None,
        "message": None,
    }


@dataclass
class Rows:
    """Rows of some jobs, by table, in the order of the tables' columns."""

    job: list[tuple[Any, ...]]
    job_log: list[tuple[Any, ...]]
    stream: list[tuple[Any, ...]]
    log: list[tuple[Any, ...]]


COLUMNS: dict[str, Sequence[str]] = {
    "job": [column.name for column in schema.job.columns],
    "job_log": ["no", "job_id", "qual_name", "username", "last_seq", "lines", "bytes"],
    "stream": ["no", "job", "trial", "pod_uid", "hostname"],
    "log": ["job", "seq", "stream", "n", "epoch", "levelno", "message"],
}


def chunks(amount: Amount) -> Iterator[Rows]:
    """Yield all rows, some jobs at a time. The data is the same each time."""
    chance = random.Random(4)
    for start in range(0, amount.jobs, _CHUNK):
        rows = Rows([], [], [], [])
        for number in range(start, min(start + _CHUNK, amount.jobs)):
            _add(rows, number, amount, chance)
        yield rows


def _add(rows: Rows, number: int, amount: Amount, chance: random.Random) -> None:
    doc = document(number, amount, chance)
    text = json.dumps(doc, separators=(",", ":"))
    epoch = ids.created_at(doc["_id"]).timestamp()
    who, lines, no = doc["enqueued"]["username"], amount.lines(number), number + 1
    ended = doc["finished_at"] or ""
    times = (doc["enqueued"]["at"], ended, epoch)
    rows.job.append((doc["_id"], doc["name"], doc["state"], who, *times, len(text), text))
    rows.job_log.append((no, doc["_id"], doc["name"], who, lines, lines, lines * 120))
    rows.stream.append((no, no, 1, f"uid-{number}", "node-1"))
    rows.log += [
        (no, seq, no, seq, epoch + seq, 20, f"line {seq} of what job {number} has to say here")
        for seq in range(1, lines + 1)
    ]


def fill(url_text: str, amount: Amount, tell: Callable[[int], None]) -> None:
    """Fill an empty store; `tell` is called with the number of jobs stored so far."""
    url = parse_url(url_text)
    tables = ("job_log", "stream", "log", "job")
    if is_sqlite(url):
        _fill_sqlite(url, chunks(amount), tables, tell)
    else:
        _fill_postgres(url, chunks(amount), tables, tell)


_TALLY = (
    "INSERT INTO tally (qual_name, state, jobs, bytes) "
    "SELECT qual_name, state, count(*), sum(size) FROM job GROUP BY qual_name, state"
)


def _fill_sqlite(
    url: sa.URL, parts: Iterable[Rows], tables: Sequence[str], tell: Callable[[int], None]
) -> None:
    connection = connect_sqlite(url, writer=True)
    try:
        for pragma in ("synchronous=OFF", "cache_size=-1000000", "foreign_keys=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        done = 0
        for rows in parts:
            connection.execute("BEGIN")
            for table in tables:
                _insert_sqlite(connection, table, getattr(rows, table))
            connection.execute("COMMIT")
            done += len(rows.job)
            tell(done)
        connection.execute(_TALLY)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _insert_sqlite(connection: sqlite3.Connection, table: str, rows: list[Any]) -> None:
    names = COLUMNS[table]
    marks = ",".join("?" * len(names))
    connection.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})", rows)


def _fill_postgres(
    url: sa.URL, parts: Iterable[Rows], tables: Sequence[str], tell: Callable[[int], None]
) -> None:
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign key checks
        connection.execute("SET synchronous_commit = off")
        done = 0
        for rows in parts:
            for table in tables:
                names = ",".join(COLUMNS[table])
                with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for row in getattr(rows, table):
                        copy.write_row(row)
            done += len(rows.job)
            tell(done)
        connection.execute(_TALLY)
        for table in itertools.chain(tables, ("tally",)):
            connection.execute(f"VACUUM ANALYZE {table}")
        connection.execute("CHECKPOINT")
