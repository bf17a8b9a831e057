"""What the store gives back and takes in, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from corejob.names import Reason
from corejob_journal.store.bounds import Sources


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a job's log, as clients see it.

    Attributes:
        seq: Its number within the job, from 1, without gaps, over all trials.
        trial: The trial that wrote it.
        epoch: When, in seconds.
        exception: `{"info": str, "text": [str]}` if the job logged one.
        hostname: The node that the trial ran on.
    """

    job_id: str
    seq: int
    trial: int
    epoch: float
    levelno: int
    message: str
    exception: dict[str, Any] | None
    hostname: str | None
    username: str | None
    qual_name: str


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A line that a core4 job printed; kept apart from its log, with numbers of its own."""

    job_id: str
    seq: int
    trial: int
    epoch: float
    channel: str
    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that are gone for good.

    Attributes:
        after_seq: The record after which they are missing; 0 = at the very beginning.
        first_n: Number, in the runtime's own counting, of the first; None where it has none.
        last_n: Of the last; None if nobody knows.
        reason: Why, as a sentence.
    """

    trial: int
    after_seq: int
    first_n: int | None
    last_n: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class LogState:
    """How far a job's log has come.

    Attributes:
        last_seq: Number of the last record = count of records.
        settled_trial: The last trial whose log is all here, or known to be lost.
        lines: Records and printed lines of all trials, with the `bytes` of the pods' lines.
        lost: Whether lines are missing; `reason` is a word for it, `message` names them.
    """

    last_seq: int
    settled_trial: int
    lines: int
    bytes: int
    lost: bool
    reason: str | None
    message: str | None


def foreign(message: str) -> LogState:
    """The log of a CoreJob under whose id another job's is stored: nothing of it is kept."""
    return LogState(0, 0, 0, 0, lost=True, reason=Reason.DUPLICATE, message=message)


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How many jobs were in the queue from a moment on.

    Attributes:
        no: Ascends from row to row, maybe with holes.
        created: The moment, in seconds since the epoch.
        states: How many of each state that there was one of; `total` is their sum.
    """

    no: int
    created: float
    total: int
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines come from: one pod of one trial of a job.

    Attributes:
        pod_uid: Empty for a trial whose pod nobody has seen.
        owner: Uid of the CoreJob.
    """

    job_id: str
    qual_name: str
    username: str | None
    trial: int
    pod_uid: str
    pod: str | None
    hostname: str | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a pod's log has been read.

    Attributes:
        stamp: The latest of the kubelet's timestamps of its lines, in nanoseconds; 0 = none yet.
        count: How many lines were read whose timestamp is in the window that ends with `stamp`.
        last_n: The runtime's own number of the last line; 0 before the first or without numbers.
        pieces: How many pieces were taken of an over-long line whose end hasn't come yet.
    """

    stamp: int = 0
    count: int = 0
    last_n: int = 0
    pieces: int = 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """A source's row in the store.

    Attributes:
        no: The store's number of the stream, and `job` of its job.
        token: Changes with each append; an append must name the one before (see `Append`).
        done: Whether the runtime's `done` line is in.
        ended: Whether a record `done execution …` is in.
        settled: Whether all of it is in, or known to be lost.
    """

    no: int
    job: int
    job_id: str
    trial: int
    pod_uid: str
    token: int
    position: Position
    done: bool
    ended: bool
    settled: bool


class NewRecord(NamedTuple):
    """A log record to be stored; the store numbers it."""

    n: int | None
    epoch: float
    levelno: int
    message: str
    exception: dict[str, Any] | None = None


class NewOutput(NamedTuple):
    """A printed line to be stored; the store numbers it."""

    n: int | None
    epoch: float
    channel: str
    text: str


class NewGap(NamedTuple):
    """Lines that are missing *before* the records of the same append; `cause` is one word."""

    first_n: int | None
    last_n: int | None
    reason: str
    cause: str = "LinesMissing"


@dataclass(frozen=True, slots=True)
class Append:
    """Lines of one stream and the position after them, stored together or not at all.

    `expect` is the stream's token before and `token` the one after. So an append that is tried
    again after a commit of unknown outcome is not done twice, and of two processes that follow one
    pod only one gets its lines in.

    Attributes:
        lines: Records and printed lines, with the `bytes` that they took in the pod's log.
        cookies: Changes of the key-value store, in order; None deletes.
        sources: Names of sources, in order.
        done: Whether the runtime's `done` line is among them.
        ended: Whether a record `done execution …` is.
    """

    stream: StreamState
    expect: int
    token: int
    position: Position
    records: Sequence[NewRecord] = ()
    outputs: Sequence[NewOutput] = ()
    gaps: Sequence[NewGap] = ()
    cookies: Sequence[tuple[str, Any]] = ()
    sources: Sequence[str] = ()
    lines: int = 0
    bytes: int = 0
    done: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """All of a stream is in the store, or what is missing is known and named."""

    stream: StreamState
    lost: bool = False
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class PutDocument:
    """A past job's document. Putting it again replaces it, if it is of the same `owner` (a uid)."""

    job_id: str
    document: Mapping[str, Any]
    journaled_at: float = field(default=0.0)
    owner: str | None = field(default=None)


@dataclass(frozen=True, slots=True)
class AddCount:
    """A count of the jobs in the queue: stored unless the one before it is the same.

    Attributes:
        created: When it was, in seconds since the epoch.
        states: How many of each state that there is one of.
    """

    created: float
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Probe:
    """Something is written that changes nothing: it shows whether the store takes anything."""


Operation = Append | Settle | PutDocument | AddCount | Probe


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one operation.

    Attributes:
        state: The job's log state after it; None for what belongs to no job's log.
        stale: Whether an append was refused, since another process got lines in before.
        sources: The job's sources after an append that brought some.
        cookies: The changes of the key-value store that there was room for; None: not known, since
            the append was stored before.
    """

    state: LogState | None
    stale: bool = False
    sources: Sources | None = None
    cookies: Sequence[tuple[str, Any]] | None = ()
