"""Answers of the server, as frozen values.

Times are aware, in UTC. A field that the server doesn't send is None (or empty); fields that this
client doesn't know are in `raw`, which is the server's JSON object as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
Json = Mapping[str, Any]

FINAL: Final = frozenset({"complete", "error", "inactive", "killed"})
"""States that a job doesn't leave by itself."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Flags of a job."""

    zombie: bool = False
    killed: bool = False
    removed: bool = False
    nonstop: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a job: `value` from 0 to 1, and a message."""

    value: float = 0.0
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The user who enqueued a job, and when; its parent and its child if it was restarted."""

    at: datetime | None = None
    hostname: str | None = None
    username: str | None = None
    parent_id: str | None = None
    child_id: str | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """Where a job runs: `hostname` is the node, `worker` the pod."""

    at: datetime | None = None
    heartbeat: datetime | None = None
    hostname: str | None = None
    worker: str | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class LastError:
    """The last failure, deferral or kill of a job."""

    exception: str | None = None
    timestamp: datetime | None = None
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a job waits, in numbers: its place in line before a limit, or the end of a pause."""

    reason: str | None = None
    position: int | None = None
    running: int | None = None
    limit: int | None = None
    until: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of a job: one run of a pod (docs/rest.md, "One job").

    `reason` and `finished_at` are None while it lasts, `started_at` if the job's container never
    ran. `log_from` and `log_to` are the numbers of its first and last record, as `Log.number`; None
    without records.
    """

    raw: Json = field(repr=False)
    trial: int
    state: str
    reason: str | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    node: str | None = None
    pod: str | None = None
    log_from: int | None = None
    log_to: int | None = None

    @classmethod
    def of(cls, raw: Json) -> Trial:
        """Parse an entry of a detail's `trials`."""
        return cls(
            raw,
            log_from=_number(raw.get("log_from")),
            log_to=_number(raw.get("log_to")),
            **_plain(cls, raw, but=frozenset({"raw", "log_from", "log_to"})),
        )


@dataclass(frozen=True, slots=True)
class JobDocument:
    """The document of a job (docs/rest.md, "The job document").

    `id` is the document's `_id`; all other fields have their names in REST. `journal`, `can` and
    `cannot` are None and `trials` is empty outside of a detail.
    """

    raw: Json = field(repr=False)
    id: str
    qual_name: str
    state: str
    highstate: str | None = None
    args: Json | None = None
    flag: Flag = Flag()
    prog: Progress = Progress()
    attempts: int | None = None
    attempts_left: int | None = None
    trial: int | None = None
    error_time: int | None = None
    defer_time: int | None = None
    defer_max: int | None = None
    wall_time: int | None = None
    zombie_time: int | None = None
    priority: int | None = None
    force: bool | None = None
    max_parallel: int | None = None
    progress_interval: int | None = None
    worker: str | None = None
    enqueued: Enqueued = Enqueued()
    locked: Locked | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    runtime: float | None = None
    query_at: datetime | None = None
    inactive_at: datetime | None = None
    killed_at: datetime | None = None
    removed_at: datetime | None = None
    wall_at: datetime | None = None
    zombie_at: datetime | None = None
    last_error: LastError | None = None
    sources: tuple[str, ...] = ()
    sources_dropped: int | None = None
    age: float | None = None
    reason: str | None = None
    message: str | None = None
    waiting: Waiting | None = None
    journal: bool | None = None
    trials: tuple[Trial, ...] = ()
    can: Mapping[str, bool] | None = None
    cannot: Mapping[str, str] | None = None

    @property
    def is_final(self) -> bool:
        """True if the job has ended and doesn't go on by itself."""
        return self.state in FINAL

    @property
    def is_complete(self) -> bool:
        """True if the job has ended well."""
        return self.state == "complete"

    @property
    def is_removed(self) -> bool:
        """True if the job was removed before it could end."""
        return self.flag.removed and not self.is_final

    @classmethod
    def of(cls, raw: Json) -> JobDocument:
        """Parse a job's document."""
        error = raw.get("last_error")
        locked, waiting = raw.get("locked"), raw.get("waiting")
        return cls(
            raw,
            id=raw["_id"],
            flag=_part(Flag, raw.get("flag")),
            prog=_part(Progress, raw.get("prog")),
            enqueued=_part(Enqueued, raw.get("enqueued")),
            locked=_part(Locked, locked) if locked else None,
            last_error=_part(LastError, error) if error else None,
            waiting=_part(Waiting, waiting) if waiting else None,
            trials=tuple(map(Trial.of, raw.get("trials") or ())),
            **_plain(cls, raw, but=_NESTED),
        )


_NESTED: Final = frozenset(
    {"raw", "id", "flag", "prog", "enqueued", "locked", "last_error", "waiting", "trials"}
)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A job that the user may execute (docs/rest.md, "The catalogue")."""

    raw: Json = field(repr=False)
    qual_name: str
    author: str | None = None
    doc: str | None = None
    tag: tuple[str, ...] = ()
    schedule: str | None = None
    time_zone: str | None = None
    schedule_policy: str | None = None
    next_run: datetime | None = None
    last_run: datetime | None = None
    last_job: str | None = None
    last_job_state: str | None = None
    skipped: str | None = None
    valid: bool | None = None
    problem: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    args_schema: Json | None = None
    properties: Json | None = None

    @classmethod
    def of(cls, raw: Json) -> CatalogueEntry:
        """Parse a row of the catalogue."""
        plain = _plain(cls, raw, but=frozenset({"raw", "qual_name"}))
        return cls(raw, qual_name=raw.get("qual_name") or raw["_id"], **plain)


@dataclass(frozen=True, slots=True)
class ExceptionText:
    """The exception that a job logged with a record."""

    info: str | None = None
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """A record of a job's log, from a page or from a stream.

    `id` is the record's `_id`, 12 digits; `number` is the same as an integer, dense from 1. `mode`
    is None in a page. A line that the job printed has `output`, `stdout` or `stderr`; its `number`
    is that of the record before it.
    """

    raw: Json = field(repr=False)
    id: str
    message: str
    level: str
    levelno: int | None = None
    created: datetime | None = None
    epoch: float | None = None
    identifier: str | None = None
    qual_name: str | None = None
    hostname: str | None = None
    username: str | None = None
    exception: ExceptionText | None = None
    output: str | None = None
    mode: str | None = None

    @property
    def number(self) -> int:
        """The number of the record in the job's log, from 1; 0 before the first record."""
        return int(self.id.partition(".")[0])

    @classmethod
    def of(cls, raw: Json) -> Log:
        """Parse a record."""
        exception = raw.get("exception")
        return cls(
            raw,
            id=raw["_id"],
            exception=_part(ExceptionText, exception) if exception else None,
            **_plain(cls, raw, but=frozenset({"raw", "id", "exception"})),
        )


@dataclass(frozen=True, slots=True)
class State:
    """A stream's frame `state`: the job's document after a change."""

    document: JobDocument

    @property
    def state(self) -> str:
        """The job's state."""
        return self.document.state


@dataclass(frozen=True, slots=True)
class Gap:
    """A stream's frame `gap`: lines are missing here.

    Attributes:
        raw: The data of the frame.
        after: Number of the record before the gap.
        first: The runtime's number of the first missing line; None if unknown.
        last: The runtime's number of the last missing line; None if unknown.
        reason: Why they are missing.
    """

    raw: Json = field(repr=False)
    after: int
    first: int | None = None
    last: int | None = None
    reason: str | None = None

    @classmethod
    def of(cls, raw: Json) -> Gap:
        """Parse the data of a frame."""
        return cls(raw, int(raw["after"]), raw.get("from"), raw.get("to"), raw.get("reason"))


@dataclass(frozen=True, slots=True)
class Lagged:
    """A stream's frame `lagged`: the client reads too slowly; states were left out, no records.

    Attributes:
        raw: The data of the frame.
        dropped: Number of states that were left out.
        behind: Number of records that follow from the store.
    """

    raw: Json = field(repr=False)
    dropped: int = 0
    behind: int = 0

    @classmethod
    def of(cls, raw: Json) -> Lagged:
        """Parse the data of a frame."""
        return cls(raw, raw.get("dropped") or 0, raw.get("behind") or 0)


@dataclass(frozen=True, slots=True)
class Close:
    """The end of a stream, after which nothing comes.

    Attributes:
        raw: The data of the last frame: the counts of the last connection only.
        counts: Number of frames of each type that this client has yielded, over all connections.
    """

    raw: Json = field(repr=False)
    counts: Mapping[str, int]


Event = State | Log | Gap | Lagged | Close
"""An event that a stream yields."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The signed-in user."""

    raw: Json = field(repr=False)
    name: str
    realname: str | None = None
    email: str | None = None
    perm: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    token_expires: datetime | None = None
    can: Mapping[str, bool] | None = None

    @classmethod
    def of(cls, raw: Json) -> Profile:
        """Parse the data of `/profile`."""
        return cls(raw, **_plain(cls, raw, but=frozenset({"raw"})))


@dataclass(frozen=True, slots=True)
class Meta:
    """The service itself."""

    raw: Json = field(repr=False)
    version: str | None = None
    api_level: int | None = None
    namespace: str | None = None
    sign_in: tuple[str, ...] = ()
    limits: Json | None = None

    @classmethod
    def of(cls, raw: Json) -> Meta:
        """Parse the data of `/meta`."""
        return cls(raw, **_plain(cls, raw, but=frozenset({"raw"})))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a listing.

    Attributes:
        items: The rows.
        total_count: Number of all rows at that time; None if the server didn't count them.
        next_cursor: The cursor of the next page of the journal; None at the end, and elsewhere.
    """

    items: tuple[T, ...]
    total_count: int | None = None
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


P = TypeVar("P", Flag, Progress, Enqueued, Locked, LastError, Waiting, ExceptionText)
_TIMES: Final = frozenset(
    {"at", "heartbeat", "timestamp", "created", "token_expires", "until", "since"}
)


def _part(kind: type[P], raw: Any) -> P:
    return kind(**_plain(kind, raw)) if isinstance(raw, Mapping) else kind()


def _plain(kind: Any, raw: Json, but: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return those fields of a class that the JSON object has; null counts as not sent."""
    names = [each.name for each in fields(kind) if each.name not in but]
    return {name: _value(name, raw[name]) for name in names if raw.get(name) is not None}


def _number(record_id: str | None) -> int | None:
    return None if record_id is None else int(record_id)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and (
        name in _TIMES or name.endswith("_at") or name in {"next_run", "last_run"}
    ):
        return moment(value)
    return value


def moment(text: str) -> datetime | None:
    """Parse a time of the server, which is in UTC; None if it is not a time."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
