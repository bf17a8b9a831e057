"""A CoreJob as a value: the parsed resource, and properties derived from it."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from corejob import args, ids, properties, timestamps
from corejob.finalizers import has_finalizer
from corejob.names import UNREADABLE
from corejob.state import FINAL, WAITING, State

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class ProgressStatus:
    """`status.progress`, written by the recorder."""

    value: float = 0.0
    message: str | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogStatus:
    """`status.log`, written by the recorder.

    Attributes:
        trial: The trial whose log the recorder follows or has followed last.
        started_trial: The newest trial with a line in the journal.
        complete: True if all of that trial's log is in the journal or known to be lost.
        lost: True if lines are missing; `reason` and `message` say which and why.
    """

    trial: int = 0
    complete: bool = False
    lines: int = 0
    bytes: int = 0
    last_seq: int = 0
    started_trial: int = 0
    lost: bool = False
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class WaitingStatus:
    """`status.waiting`: why the job waits, in numbers; `message` says the same as a sentence.

    Attributes:
        since: When the present reason began.
        until: Earliest start of the next trial, if the reason is a pause.
        position: Place in line, from 1, if the reason is a limit; rounded down as in the message.
        running: Number of jobs that count towards that limit, which is `limit`.
    """

    reason: str
    since: datetime | None = None
    until: datetime | None = None
    position: int | None = None
    running: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The operator's fields of `status`. Times are aware datetimes in UTC.

    Attributes:
        start_time: Start of the last trial.
        finish_time: End of the last trial that completed, failed or deferred.
        runtime_seconds: Sum over the ended trials, without waiting.
        query_time: Earliest start of the next trial.
        inactive_time: First start + deferMaxSeconds; constant from then on.
        killed_time: When the user's kill was carried out; None if the pod went by itself.
        nonstop_time: When `wallTimeSeconds` was passed. `zombie_time`: likewise.
        last_error: `{exception, timestamp, traceback}` or None.
        end_time: End of the last trial, whatever its outcome.
        child_id: Id of the job that restarts this one, if the operator chose it (kubectl).
        restart_time: The `spec.restartAt` that was followed last.
        disruptions: Runs in a row that the cluster ended or refused.
        starting_time: When the start of the trial that has not started yet was first requested.
        carried_trials: Trials of the jobs that this one restarts, set once the last of them has
            ended; until then `spec.carriedTrials` has the number at the time of the restart.
        exit_code: Exit code of the last trial's container; None while it runs, or if unknown.
        trials: The newest trials, as JSON (`corejob.trials`).
    """

    id: str
    state: State = State.PENDING
    reason: str | None = None
    message: str | None = None
    trial: int = 0
    attempts_left: int = 1
    start_time: datetime | None = None
    finish_time: datetime | None = None
    end_time: datetime | None = None
    runtime_seconds: float | None = None
    query_time: datetime | None = None
    inactive_time: datetime | None = None
    killed_time: datetime | None = None
    removed_time: datetime | None = None
    nonstop_time: datetime | None = None
    zombie_time: datetime | None = None
    node: str | None = None
    pod: str | None = None
    last_error: Mapping[str, Any] | None = None
    child_id: str | None = None
    restart_time: datetime | None = None
    disruptions: int | None = None
    starting_time: datetime | None = None
    carried_trials: int | None = None
    waiting: WaitingStatus | None = None
    exit_code: int | None = None
    trials: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class CoreJob:
    """One CoreJob resource.

    Attributes:
        spec: The spec's JSON, with every property of `corejob.properties` and the args filled in.
        has_finalizer: True if it has our finalizer.
        status: The parsed status, with defaults for missing fields.
        observed: True if the operator has written a status.
        unreadable: Why its definition was cut when it was read, so that it can't run; else None.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleted_at: datetime | None
    has_finalizer: bool
    spec: Mapping[str, Any]
    status: Status
    observed: bool
    progress: ProgressStatus = field(default=ProgressStatus())
    log: LogStatus = field(default=LogStatus())
    sources: tuple[str, ...] = ()
    sources_dropped: int = 0
    journaled_at: datetime | None = None
    unreadable: str | None = None

    @property
    def id(self) -> str:
        """The job id, 24 hex digits."""
        return self.status.id

    @property
    def journaled(self) -> bool:
        """True if the journal has stored the finished job."""
        return self.journaled_at is not None

    @property
    def deleting(self) -> bool:
        """True if the resource was deleted; our finalizer keeps it until the journal has it."""
        return self.deleted_at is not None

    @property
    def qual_name(self) -> str:
        """The job's name, which is also that of its CoreJobTemplate."""
        return str(self.spec.get("qualName", ""))

    @property
    def args(self) -> Mapping[str, Any]:
        """The job's keyword arguments."""
        return self.spec.get("args") or {}

    @property
    def kill(self) -> bool:
        """True if a user requested to kill it."""
        return bool(self.spec.get("kill"))

    @property
    def remove(self) -> bool:
        """True if a user requested to remove it, or deleted the resource."""
        return bool(self.spec.get("remove")) or self.deleting

    @property
    def removed_while_waiting(self) -> bool:
        """True if it was removed before it ran or ended: it has left the queue for good."""
        removed = bool(self.spec.get("remove")) and not self.kill
        return removed and self.status.state in WAITING

    @property
    def child_id(self) -> str | None:
        """The id of the job that restarts this one, once that is decided."""
        return self.spec.get("childId") or self.status.child_id

    @property
    def stop(self) -> bool:
        """True if a running trial must be stopped: it was killed, or its CoreJob was deleted."""
        return self.kill or (self.deleting and self.status.state is State.RUNNING)

    @property
    def state(self) -> State:
        """The state that clients see: a job marked killed counts as killed (docs/rest.md)."""
        if self.stop and self.status.state not in FINAL:
            return State.KILLED
        return self.status.state

    @property
    def in_queue(self) -> bool:
        """True if clients see the job in the queue; else it is a past job."""
        if self.state is State.COMPLETE or self.child_id is not None:
            return False
        removed = self.remove or self.status.removed_time is not None
        return not removed or self.state is State.RUNNING

    @property
    def carried_trials(self) -> int:
        """Number of trials that count before its own: of the jobs that it restarts, or as given."""
        return max(int(self.spec.get("carriedTrials", 0)), self.status.carried_trials or 0)

    @property
    def archivable(self) -> bool:
        """True if the job can't change any more, so that the journal may store it.

        It has left the queue, its trial has ended, and a removal has its time in the status.
        """
        noted = self.status.removed_time is not None
        gone_before = self.state is State.COMPLETE or self.child_id is not None
        if self.remove and not noted and not gone_before:
            return False  # its document still lacks the time of the removal
        if self.kill and self.status.state not in FINAL and not self.journaled:
            return False  # the operator has not written the end by the kill yet
        ended = self.status.state in FINAL or noted
        return not self.in_queue and ended and self.status.state is not State.RUNNING

    @property
    def log_finalised(self) -> bool:
        """True if the log of the last trial is in the journal or known to be lost."""
        if self.status.trial <= self.carried_trials:
            return True
        return self.log.complete and self.log.trial >= self.status.trial

    @property
    def enqueued_at(self) -> datetime:
        """When it was enqueued, by its id if the API made it: finer than `creationTimestamp`."""
        return ids.created_at(self.name) if ids.is_id(self.name) else self.created


def parse(body: Mapping[str, Any], template_properties: Mapping[str, Any] | None = None) -> CoreJob:
    """Parse the JSON of a CoreJob.

    Args:
        body: A CoreJob as the API server returns it.
        template_properties: `spec.properties` of its template, for the defaults. Components without
            the template leave it out: the operator copies the properties into the status with its
            first write, and from then on that copy counts.
    """
    meta = body["metadata"]
    spec = body.get("spec") or {}
    raw = body.get("status") or {}
    created = timestamps.parse(meta.get("creationTimestamp")) or timestamps.from_epoch(0)
    effective = properties.effective(spec, raw.get("properties") or template_properties or {})
    spec = {**spec, "args": args.read(spec), **effective}
    return CoreJob(
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        uid=meta.get("uid", ""),
        resource_version=meta.get("resourceVersion", ""),
        generation=meta.get("generation", 1),
        created=created,
        deleted_at=timestamps.parse(meta.get("deletionTimestamp")),
        has_finalizer=has_finalizer(meta),
        spec=spec,
        status=_status(meta, spec, raw),
        observed="state" in raw,
        progress=_progress(raw.get("progress") or {}),
        log=_parsed(LogStatus, raw.get("log") or {}),
        sources=tuple(raw.get("sources") or ()),
        sources_dropped=raw.get("sourcesDropped") or 0,
        journaled_at=timestamps.parse(raw.get("journaledTime")),
        unreadable=body.get(UNREADABLE),
    )


def newest_trial(body: Mapping[str, Any]) -> int:
    """Return `status.trial` only, much faster than by parsing the whole CoreJob."""
    spec, raw = body.get("spec") or {}, body.get("status") or {}
    return int(raw.get("trial", spec.get("carriedTrials", 0)))


def job_id(body: Mapping[str, Any]) -> str:
    """Return the job id only, much faster than by parsing the whole CoreJob."""
    stored_id = (body.get("status") or {}).get("id")
    if stored_id:
        return str(stored_id)
    meta = body["metadata"]
    name = str(meta["name"])
    if ids.is_id(name):
        return name
    created = timestamps.parse(meta.get("creationTimestamp")) or timestamps.from_epoch(0)
    return ids.derived_id(created, meta.get("uid", name))


def unfinalised_trial(body: Mapping[str, Any]) -> int | None:
    """Return the last trial's number if it has ended and its log is not stored; else None.

    Trials count from `spec.carriedTrials` (or `status.carriedTrials`) on. Much faster than parsing
    the whole CoreJob.
    """
    spec, raw = body.get("spec") or {}, body.get("status") or {}
    trial, log = newest_trial(body), raw.get("log") or {}
    carried = max(spec.get("carriedTrials", 0), raw.get("carriedTrials") or 0)
    over = raw.get("state") not in {None, State.RUNNING} and trial > carried
    return trial if over and not (log.get("complete") and log.get("trial", 0) >= trial) else None


class _JsonField(NamedTuple):
    """A field of a status type, and where it is in the JSON.

    Attributes:
        name: Name of the field.
        key: Its key in the JSON, in camel case.
        is_time: True for a `datetime`, which is text in the JSON.
    """

    name: str
    key: str
    is_time: bool


def _json_field(declared: "Field[Any]") -> _JsonField:
    head, *rest = declared.name.split("_")
    key = head + "".join(word.capitalize() for word in rest)
    return _JsonField(declared.name, key, declared.type == datetime | None)


_KINDS: Final = (Status, LogStatus, ProgressStatus, WaitingStatus)
_JSON_FIELDS: Final[dict[type[Any], dict[str, _JsonField]]] = {
    kind: {json_field.key: json_field for json_field in map(_json_field, fields(kind))}
    for kind in _KINDS
}
"""The fields of the status types by their keys in the JSON, which follow from their names."""


def _parsed(kind: type[S], raw: Mapping[str, Any], **values: Any) -> S:
    """Return a status value of a type; `values` replace what the JSON has."""
    json_fields = _JSON_FIELDS[kind]
    for key, value in raw.items():
        json_field = json_fields.get(key)
        if json_field is not None and value is not None and json_field.name not in values:
            values[json_field.name] = timestamps.parse(value) if json_field.is_time else value
    return kind(**values)


def _progress(raw: Mapping[str, Any]) -> ProgressStatus:
    # The API server writes 1.0 as 1.
    return _parsed(ProgressStatus, raw, value=float(raw.get("value", 0.0)))


def _status(meta: Mapping[str, Any], spec: Mapping[str, Any], raw: Mapping[str, Any]) -> Status:
    return _parsed(
        Status,
        raw,
        id=job_id({"metadata": meta, "status": raw}),
        state=State(raw.get("state", State.PENDING)),
        trial=newest_trial({"spec": spec, "status": raw}),
        attempts_left=raw.get("attemptsLeft", spec["attempts"]),
        waiting=_parsed(WaitingStatus, waiting) if (waiting := raw.get("waiting")) else None,
        trials=tuple(raw.get("trials") or ()),
    )


def render_status(status: Status) -> dict[str, Any]:
    """Return the operator's fields as JSON for a merge patch; None deletes a field."""
    rendered = _rendered(status)
    rendered["state"] = str(status.state)
    rendered["lastError"] = dict(status.last_error) if status.last_error else None
    rendered["waiting"] = _rendered(status.waiting) if status.waiting else None
    rendered["trials"] = [*status.trials] or None
    return rendered


def _rendered(value: Status | WaitingStatus) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    for name, key, is_time in _JSON_FIELDS[type(value)].values():
        field_value = getattr(value, name)
        rendered[key] = timestamps.render(field_value) if is_time else field_value
    return rendered
