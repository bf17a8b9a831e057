"""CustomResourceDefinition of CoreJob: the one source of `crds/corejobs.yaml`."""

from collections.abc import Iterable
from typing import Final

from corejob import reasons
from corejob.crds.fields import (
    ID_PATTERN,
    QUAL_NAME_PATTERN,
    UNTRACKED,
    Schema,
    anything,
    column,
    conditions,
    definition,
    flag,
    property_fields,
    rule,
    text,
    time,
    whole,
)
from corejob.limits import MAX_ARGS, MAX_ARGS_JSON, MAX_JOB_NAME
from corejob.names import KIND_JOB, PLURAL_JOB, Reason
from corejob.properties import MOST_TRIALS
from corejob.state import FINAL, STOPPED, WAITING, State
from corejob.trials import MOST_ENTRIES

_COLUMNS: Final = [
    column("Job", ".spec.qualName"),
    column("State", ".status.state"),
    column("Trial", ".status.trial", "integer"),
    column("Progress", ".status.progress.percent"),
    column("Reason", ".status.reason"),
    column("Age", ".metadata.creationTimestamp", "date"),
    column("Node", ".status.node", wide=True),
    column("Runtime", ".status.runtimeSeconds", "number", wide=True),
    column("User", ".spec.username", wide=True),
    column("Message", ".status.message", wide=True),
]

_MOST_NAME: Final = 253
"""Maximum length of the name of a Kubernetes object."""

_KILLED: Final = "has(self.spec.kill) && self.spec.kill"
_REMOVED: Final = "has(self.spec.remove) && self.spec.remove"


def job_crd() -> Schema:
    """Return the CustomResourceDefinition of CoreJob."""
    schema = {
        "type": "object",
        "description": "An enqueued job. Create one to run a job; patch spec.kill, spec.remove or "
        "spec.restartAt to control it.",
        "required": ["spec"],
        "properties": {"spec": _job_spec(), "status": _job_status()},
        "x-kubernetes-validations": [
            rule(
                f"self.metadata.name.size() <= {MAX_JOB_NAME} && !self.metadata.name.contains('.')",
                f"metadata.name must be a DNS label of at most {MAX_JOB_NAME} characters",
            ),
            *_at_creation(),
            _kill(),
            *_restarts(),
            _children(),
            _removed_stays_out(),
        ],
    }
    return definition(KIND_JOB, PLURAL_JOB, ["c4j"], schema, _COLUMNS)


def _with(schema: Schema, *rules: Schema) -> Schema:
    """Return the schema of a field with validation rules."""
    return schema | {"x-kubernetes-validations": list(rules)}


def _fixed(field: str, schema: Schema) -> Schema:
    """Return the schema of a field that can't change; `_kept` forbids to add or remove it."""
    return _with(schema, rule("self == oldSelf", _immutable(field)))


def _kept(field: str) -> Schema:
    """Return the rule of an object that a field can't be added or removed."""
    both = f"has(self.{field}) == has(oldSelf.{field})"
    return rule(both, _immutable(field), fieldPath=f".{field}")


def _immutable(field: str) -> str:
    return f"{field} is immutable: create a new CoreJob instead"


def _stays(field: str, message: str, *, unless: str = "") -> Schema:
    """Return the rule of an object that a field can't be removed, unless the old object allows."""
    terms = [f"!has(oldSelf.{field})", f"has(self.{field})", *filter(None, [unless])]
    return rule(" || ".join(terms), message, fieldPath=f".{field}")


def _once(field: str, doc: str) -> Schema:
    """Return the schema of a flag that can't be cleared; `_stays` forbids to remove it."""
    return _with(flag(doc), rule("self || !oldSelf", _undone(field)))


def _undone(field: str) -> str:
    return f"{field} can't be undone"


def _job_spec() -> Schema:
    qual_name = text(
        "Name of the job: the module and class of a core4 job, or the dotted name that a "
        "CoreJobTemplate gives to its container. A CoreJobTemplate with this qualName must be in "
        "the namespace. Immutable.",
        pattern=QUAL_NAME_PATTERN,
        minLength=3,
        maxLength=253,
    )
    args = {
        "type": "object",
        "description": "Keyword arguments of the job, any JSON. The API server turns 1.0 into 1 "
        "here, and integers beyond 64 bits into floats: if that matters, use argsJson. "
        "Immutable.",
        "maxProperties": MAX_ARGS,
        # Not additionalProperties: CEL can't compare values of any type.
        "x-kubernetes-preserve-unknown-fields": True,
        **UNTRACKED,
    }
    args_json = text(
        'Keyword arguments of the job as JSON text, such as {"ratio": 1.0}. The job gets exactly '
        "these values, and args is for display only. The REST API sets it if args can't hold the "
        "values unchanged. Immutable.",
        pattern=r"^\s*\{",
        maxLength=MAX_ARGS_JSON,
    )
    fixed = {
        "args": args,
        "argsJson": args_json,
        "parentId": text("Id of the job that this one restarts. Immutable.", pattern=ID_PATTERN),
        "parentName": text(
            "Name of the CoreJob that this one restarts. Immutable.", maxLength=MAX_JOB_NAME
        ),
        "carriedTrials": whole(
            "Number of trials counted before its own: those of the jobs that this one restarts, or "
            "the property trial of its enqueue. Immutable.",
            minimum=0,
            # Restarts count on from the property `trial`, which may be MOST_TRIALS already.
            maximum=2 * MOST_TRIALS,
        ),
        "username": text("User who enqueued the job. Immutable.", maxLength=253),
        "hostname": text("Host from which the job was enqueued. Immutable.", maxLength=253),
    }
    once = {
        "kill": "Set to true to kill the job: its pod is stopped, and the job counts as killed "
        "from then on. Can't be undone.",
        "remove": "Set to true to move the job from the queue to the journal; a running job is "
        "removed when its trial ends. Can't be undone.",
    }
    child = "childId can't be changed"
    return {
        "type": "object",
        "description": "The job to run, its properties, and requests such as kill.",
        "required": ["qualName"],
        "properties": {
            "qualName": _fixed("qualName", qual_name),
            **{name: _fixed(name, schema) for name, schema in fixed.items()},
            **property_fields(),
            **{name: _once(name, doc) for name, doc in once.items()},
            "restartAt": time(
                "Set to the present time to restart the job: a failed or deferred job starts its "
                "next trial at once; a killed, inactive or error job is replaced by a new CoreJob "
                "(status.childId)."
            )
            | {"nullable": True},
            "childId": _with(
                text(
                    "Id of the CoreJob that restarts this one, set once by the REST API.",
                    pattern=ID_PATTERN,
                ),
                rule("self == oldSelf", child),
            ),
        },
        "x-kubernetes-validations": [
            *(_kept(name) for name in fixed),
            *(_stays(name, _undone(name), unless=f"!oldSelf.{name}") for name in once),
            _stays("childId", child),
        ],
    }


def _log() -> Schema:
    return {
        "type": "object",
        "description": "State of the job's log in the journal; written by the recorder.",
        "properties": {
            "trial": whole("Trial whose log is followed, or was followed last."),
            "complete": flag("True if all of that trial's log is stored or known to be lost."),
            "lines": whole("Number of stored records of all trials."),
            "bytes": whole("Size of their messages in bytes."),
            "lastSeq": whole("Number of the last record, as in the REST API's _id."),
            "startedTrial": whole("Newest trial with a line in the journal."),
            "lost": flag("True if lines are missing; reason and message say which and why."),
            "reason": text(
                "Reason why lines are missing, in one word; or Unreadable if the log can't be "
                "read at the moment."
            ),
            "message": text("Explanation of the reason for people: cause and start."),
        },
    }


def _progress() -> Schema:
    return {
        "type": "object",
        "description": "The job's progress; written by the recorder.",
        "properties": {
            "value": {"type": "number", "description": "0 to 1.", "minimum": 0, "maximum": 1},
            "percent": text("The value for people, such as 42%."),
            "message": text("Message reported by the job.") | {"nullable": True},
            "time": time("Time of the report."),
        },
    }


def _last_error() -> Schema:
    return {
        "type": "object",
        "description": "The last failure, deferral or kill.",
        "properties": {
            "exception": text("Text of the exception, or cause of the end."),
            "timestamp": text("Time, UTC without offset.") | {"nullable": True},
            "traceback": {
                "type": "array",
                "nullable": True,
                "description": "Lines of the Python traceback, if there is one.",
                "items": {"type": "string"},
            },
        },
    }


def _waiting() -> Schema:
    return {
        "type": "object",
        "description": "Why the job waits, in numbers; absent if it does not wait. message says "
        "the same as a sentence.",
        "required": ["reason"],
        "properties": {
            "reason": text("Same as status.reason."),
            "since": time("Time at which this reason began."),
            "until": time(
                "Earliest start of the next trial, if the reason is a pause (RetryLater, Deferred, "
                "or the back-off after a disruption)."
            ),
            "position": whole(
                "Place in line from 1, if the reason is a limit (MaxParallel, NamespaceLimit). Up "
                "to 11 it is exact, further back rounded down as in the message.",
                minimum=1,
            ),
            "running": whole("Number of jobs that count towards that limit.", minimum=0),
            "limit": whole("That limit.", minimum=0),
        },
    }


def _trials() -> Schema:
    entry = {
        "type": "object",
        "description": "One run of a pod. A trial that goes on after a suspension has several.",
        "required": ["trial", "state"],
        "properties": {
            "trial": whole("Number of the trial.", minimum=0),
            "state": text(
                "State of the job at the end of the run; running while it lasts.",
                enum=[str(state) for state in State],
            ),
            "reason": text(
                "Same as status.reason at the end of the run; absent while it lasts.",
                enum=[str(reason) for reason in Reason],
            ),
            "exitCode": whole(
                "Exit code of the job's container, or of the init container that failed; absent "
                "if unknown."
            ),
            "startTime": time("Start of the job's container; absent if it never ran."),
            "endTime": time("End of the run; absent while it lasts."),
            "node": text("Node of the pod.", maxLength=_MOST_NAME),
            "pod": text("Name of the pod.", maxLength=_MOST_NAME),
        },
    }
    return {
        "type": "array",
        "description": f"The newest {MOST_ENTRIES} trials, oldest first, with the current one. A "
        "pod whose containers never ran is left out.",
        "maxItems": MOST_ENTRIES,
        "items": entry,
    }


def _job_status() -> Schema:
    ended = _among(FINAL)
    final = "a finished job can't change its state"
    return {
        "type": "object",
        "description": "State of the job; written by the service only.",
        "properties": {
            "id": text("The job id in the REST API, 24 hex digits.", pattern=ID_PATTERN),
            "state": _with(
                text("The job's state.", enum=[str(state) for state in State]),
                rule(f"!(oldSelf {ended}) || self == oldSelf", final),
            ),
            "reason": text(
                "Running while the job runs; else the reason why it waits, or why it ended, from a "
                f"closed list. {reasons.plain()}",
                enum=[str(reason) for reason in Reason],
            ),
            "message": text("Explanation of the reason for people: cause and remedy."),
            "waiting": _waiting(),
            "trial": whole("Number of started trials.", minimum=0),
            "attemptsLeft": whole(
                "Number of trials that may still fail before state error.", minimum=0
            ),
            "startTime": time("Start of the last trial."),
            "endTime": time("End of the last trial, whatever its outcome."),
            "finishTime": time("End of the last trial that completed, failed or deferred."),
            "runtimeSeconds": {
                "type": "number",
                "description": "Sum of the ended trials, in seconds, without waiting.",
            },
            "queryTime": time("Earliest start of the next trial."),
            "inactiveTime": time(
                "Time at which a deferring job turns inactive: first start + deferMaxSeconds."
            ),
            "killedTime": time(
                "Time of the user's kill; absent if the pod ended for another reason."
            ),
            "removedTime": time("Time of the removal."),
            "nonstopTime": time("Time at which the trial exceeded wallTimeSeconds."),
            "zombieTime": time("Time at which progress was missing for zombieTimeSeconds."),
            "node": text("Node of the last trial's pod."),
            "pod": text("Pod of the last trial."),
            "exitCode": whole(
                "Exit code of the last trial's container; absent while it runs, or if unknown."
            ),
            "lastError": _last_error(),
            "trials": _trials(),
            "disruptions": whole(
                "Number of consecutive runs that the cluster ended or refused (Evicted, NodeLost, "
                "PodRejected); the wait before the next run grows with it, up to five minutes.",
                minimum=0,
            ),
            "startingTime": time(
                "Time at which the start of the current trial was first requested; the start "
                "deadline is counted from it. Absent once it has started."
            ),
            "childId": text("Id of the CoreJob that restarts this one.", pattern=ID_PATTERN),
            "restartTime": time(
                "The spec.restartAt that was handled last, or dropped because the trial had "
                "already started."
            ),
            "carriedTrials": whole(
                "Number of trials of the jobs that this one restarts, once they have ended.",
                minimum=0,
            ),
            "properties": anything("Properties of the template at the first reconcile of the job."),
            "observedGeneration": whole("Generation of the spec that this status reflects."),
            "conditions": conditions(
                "Complete, Failed (error or inactive) and Finished (any final state), each from "
                "when it is true.",
                kind="Complete, Failed or Finished.",
                reason="Same as status.reason.",
                message="Same as status.message.",
            ),
            "progress": _progress(),
            "sources": {
                "type": "array",
                "description": "Base names of the sources that the job reported: the newest 300, "
                "at most 16 KiB together. sourcesDropped counts the others.",
                "items": {"type": "string"},
            },
            "sourcesDropped": whole(
                "Number of names dropped from sources; written by the recorder.", minimum=0
            ),
            "log": _log(),
            "journaledTime": time(
                "Time at which the journal stored the job; written by the recorder."
            ),
        },
        "x-kubernetes-validations": [_stays("state", final, unless=f"!(oldSelf.state {ended})")],
        **UNTRACKED,
    }


def _state(test: str) -> str:
    """Return CEL that is true if the CoreJob has a state that passes `test` (`== 'running'`)."""
    return f"has(self.status) && has(self.status.state) && self.status.state {test}"


def _among(states: Iterable[State]) -> str:
    """Return CEL that is true for a state that is one of these: `in ['failed', 'pending']`."""
    return "in [" + ", ".join(f"'{state}'" for state in sorted(states)) + "]"


def _kill() -> Schema:
    """Return the rule that a job that was removed while it waited can't be killed.

    The journal may have stored it already, with its last state.
    """
    left = f"{_state(_among(WAITING))} && has(self.status.removedTime)"
    same = "has(oldSelf.spec.kill) && oldSelf.spec.kill"
    return rule(
        f"!({_KILLED}) || ({same}) || !({left})",
        "the job has left the queue, so it can't be killed",
        fieldPath=".spec.kill",
    )


def _restarts() -> list[Schema]:
    """Return the rules for restarting a job by `spec.restartAt`."""
    same = (
        "!has(self.spec.restartAt) || "
        "(has(oldSelf.spec.restartAt) && self.spec.restartAt == oldSelf.spec.restartAt)"
    )
    may = _state(_among({*WAITING, *STOPPED} - {State.PENDING}))
    replaced = "has(self.spec.childId) || (has(self.status) && has(self.status.childId))"
    wrong = {
        f"({may}) || ({_counts_as_killed()})": "a pending, running or complete job can't be "
        "restarted: wait for its end or kill it, or enqueue it anew",
        f"!({_REMOVED})": "a removed job can't be restarted: enqueue it anew",
        f"!({replaced})": "the job has already been restarted: restart its child",
    }
    where = ".spec.restartAt"
    return [rule(f"{same} || {fine}", text, fieldPath=where) for fine, text in wrong.items()]


def _counts_as_killed() -> str:
    """Return CEL that is true if the CoreJob is marked killed and has not completed before."""
    complete = _state(f"== '{State.COMPLETE}'")
    return f"{_KILLED} && !({complete})"


def _children() -> Schema:
    """Return the rule that only a stopped job may get a child.

    With a child the job leaves the queue, and an equal one may start.
    """
    unchanged = "!has(self.spec.childId) || has(oldSelf.spec.childId)"
    may = _state(_among(STOPPED))
    return rule(
        f"{unchanged} || ({may}) || ({_counts_as_killed()})",
        "only a stopped job (killed, inactive, error) or one marked killed can have a child",
        fieldPath=".spec.childId",
    )


def _at_creation() -> list[Schema]:
    """Return the rules that a new job has no request that only an existing job can have.

    Rules that compare with the old object are skipped at creation, so they don't cover this.
    """
    texts = {
        "restartAt": "a new job can't be restarted: omit restartAt",
        "childId": "a new job has no child: omit childId",
    }
    return [
        rule(
            f"oldSelf.hasValue() || !has(self.spec.{field})",
            message,
            fieldPath=f".spec.{field}",
            optionalOldSelf=True,
        )
        for field, message in texts.items()
    ]


def _removed_stays_out() -> Schema:
    """Return the rule that a job removed while it waited must not become `running`.

    The client that removed it was told that it has left the queue; the operator may not have
    observed the removal yet when it writes that the pod has started.
    """
    waited = (
        "!has(oldSelf.status) || !has(oldSelf.status.state) || "
        f"oldSelf.status.state != '{State.RUNNING}'"
    )
    runs = _state(f"== '{State.RUNNING}'")
    return rule(
        f"!({runs} && ({waited}) && {_REMOVED} && !({_KILLED}))",
        "a removed job can't start",
        fieldPath=".status.state",
    )
