"""Values that the store returns and accepts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from corejob.names import Reason
from corejob_journal.store.bounds import Sources


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a job's log, as clients see it.

    Attributes:
        seq: Number within the job, from 1, without gaps, over all trials.
        trial: The trial that wrote the record.
        epoch: Time of the record, in seconds since the epoch.
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
class Gap:
    """Lines that are permanently missing.

    Attributes:
        after_seq: Number of the record after which lines are missing; 0 = at the beginning.
        first_n: The runtime's own number of the first missing line; None without numbers.
        last_n: The runtime's own number of the last missing line; None if unknown.
        reason: The reason, as a sentence.
    """

    trial: int
    after_seq: int
    first_n: int | None
    last_n: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class LogState:
    """The state of a job's log.

    Attributes:
        last_seq: Number of the last record, which is also the count of records.
        finalised_trial: The last trial whose log is completely stored, or known to be lost.
        lines: Number of records and printed lines of all trials.
        bytes: Size of the pods' lines.
        lost: True if lines are missing.
        reason: The reason in one word if lines are missing.
        message: Names the missing lines.
    """

    last_seq: int
    finalised_trial: int
    lines: int
    bytes: int
    lost: bool
    reason: str | None
    message: str | None


def foreign(message: str) -> LogState:
    """Return the log state of a CoreJob whose id is another job's, so that nothing is stored."""
    return LogState(0, 0, 0, 0, lost=True, reason=Reason.DUPLICATE, message=message)


@dataclass(frozen=True, slots=True)
class QueueCount:
    """Number of jobs in the queue from a point in time on.

    Attributes:
        no: Number of the row; ascending, possibly with holes.
        created: The point in time, in seconds since the epoch.
        total: Number of all jobs in the queue.
        states: Number of jobs of each state; states without jobs are left out.
    """

    no: int
    created: float
    total: int
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class LogSource:
    """The source of log lines: one pod of one trial of a job.

    Attributes:
        pod_uid: Uid of the pod; empty for a trial whose pod was never seen.
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
class LogPosition:
    """The position up to which a pod's log has been read.

    Attributes:
        stamp: The latest of the kubelet's timestamps, in nanoseconds since the epoch; 0 = none yet.
        count: Number of lines read whose timestamp is in the window that ends with `stamp`.
        last_n: The runtime's own number of the last line; 0 before the first or without numbers.
        pieces: Number of pieces read of an over-long line whose end hasn't arrived yet.
        ahead: The timestamp of the last line before the node's clock was set back, as long as it is
            later than `stamp`; else 0.
    """

    stamp: int = 0
    count: int = 0
    last_n: int = 0
    pieces: int = 0
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """A source's row in the store.

    Attributes:
        no: The store's number of the stream.
        job: The store's number of the job's log.
        fencing_token: Changes with each append, which must name the previous one (`Append`).
        done: True if the runtime's `done` line is stored.
        ended: True if a record `done execution …` of the container's present run is stored.
        finalised: True if the log is completely stored, or known to be lost.
    """

    no: int
    job: int
    job_id: str
    trial: int
    pod_uid: str
    fencing_token: int
    position: LogPosition
    done: bool
    ended: bool
    finalised: bool


class NewRecord(NamedTuple):
    """A new log record; the store assigns its number."""

    n: int | None
    epoch: float
    levelno: int
    message: str
    exception: dict[str, Any] | None = None


class NewOutput(NamedTuple):
    """A new printed line; the store assigns its number.

    Attributes:
        before: Number of records of the same append before it.
    """

    n: int | None
    epoch: float
    channel: str
    text: str
    before: int = 0


class OutputLine(NamedTuple):
    """A printed line of a job.

    Attributes:
        seq: Its number among the printed lines of the job, from 1.
        after_seq: Number of the log record before it; 0: none.
        channel: `stdout` or `stderr`.
    """

    job_id: str
    seq: int
    after_seq: int
    epoch: float
    channel: str
    text: str
    trial: int
    hostname: str | None
    username: str | None
    qual_name: str


class NewGap(NamedTuple):
    """Lines missing *before* the records of the same append.

    `reason` is a sentence and `cause` the reason in one word.
    """

    first_n: int | None
    last_n: int | None
    reason: str
    cause: str = "LinesMissing"


@dataclass(frozen=True, slots=True)
class Append:
    """Lines of one stream and the position after them, stored together or not at all.

    The stream's fencing token is `expected_token` before the append and `next_token` after it. So
    an append that is retried after a commit of unknown outcome is stored once, and if two processes
    follow one pod, only one of them can append.

    Attributes:
        lines: Number of records and printed lines.
        bytes: Size of these lines in the pod's log.
        cookies: Changes of the key-value store, in order; None deletes.
        sources: Names of sources, in order.
        done: True if the runtime's `done` line is among them.
        ended: True if a record `done execution …` ends the container's present run.
    """

    stream: StreamState
    expected_token: int
    next_token: int
    position: LogPosition
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
class Finalise:
    """Marks a stream as finalised: it is completely stored, or its missing lines are named.

    Attributes:
        expected_token: The stream's fencing token after the last append of the process that
            finalises it.
    """

    stream: StreamState
    expected_token: int
    lost: bool = False
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class PutDocument:
    """Stores a past job's document, or replaces it if `owner` (uid of the CoreJob) is the same.

    Attributes:
        trials: Its `status.trials`.
    """

    job_id: str
    document: Mapping[str, Any]
    journaled_at: float = field(default=0.0)
    owner: str | None = field(default=None)
    trials: Sequence[Mapping[str, Any]] = field(default=())


@dataclass(frozen=True, slots=True)
class AddCount:
    """Adds a count of the jobs in the queue, unless it equals the previous one.

    Attributes:
        created: Time of the count, in seconds since the epoch.
        states: Number of jobs of each state; states without jobs are left out.
    """

    created: float
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Probe:
    """Writes a row without changing it, to test if the store accepts writes."""


Operation = Append | Finalise | PutDocument | AddCount | Probe


@dataclass(frozen=True, slots=True)
class OperationResult:
    """Result of one operation.

    Attributes:
        state: The job's log state afterwards; None for an operation that concerns no log, or if the
            log was deleted.
        stale: True if the operation was refused, since another process appended first, the stream
            is finalised, or the log was deleted.
        sources: The job's sources after an append that named some; else None.
        cookies: The changes of the key-value store that fit; None if unknown, since the append was
            stored before.
    """

    state: LogState | None
    stale: bool = False
    sources: Sources | None = None
    cookies: Sequence[tuple[str, Any]] | None = ()
