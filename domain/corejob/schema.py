"""The two CustomResourceDefinitions: the one source of `crds/*.yaml` and the chart's copies.

Property fields come from `corejob.properties`. Validation is OpenAPI plus CEL, so that the API
server refuses a bad resource and names the field (Kubernetes: "CustomResourceDefinitions,
validation rules").
"""

from typing import Any, Final

from corejob import reasons
from corejob.names import (
    GROUP,
    KIND_JOB,
    KIND_TEMPLATE,
    PLURAL_JOB,
    PLURAL_TEMPLATE,
    VERSION,
    Reason,
    Runtime,
    SchedulePolicy,
)
from corejob.properties import MAX_WORKER_LENGTH, MOST_TRIALS, TABLE, Property, Rule
from corejob.state import FINAL, STOPPED, WAITING, State

Schema = dict[str, Any]

SEGMENT: Final = "[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?"
QUAL_NAME_PATTERN: Final = f"^{SEGMENT}(\\.{SEGMENT})+$"
SCHEDULE_PATTERN: Final = (
    r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+(\s+\S+){4,5})$"
)
TIME_ZONE_PATTERN: Final = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
ID_PATTERN: Final = "^[0-9a-f]{24}$"
MAX_JOB_NAME: Final = 52
"""Maximum length: a Job's name adds `-<trial>`, and a pod's label has at most 63 characters."""
MAX_ARGS: Final = 256
MAX_ARGS_JSON: Final = 200 * 1024


def text(doc: str, **more: Any) -> Schema:
    """Return the schema of a text field."""
    return {"type": "string", "description": doc, **more}


def whole(doc: str, **more: Any) -> Schema:
    """Return the schema of an integer field."""
    return {"type": "integer", "format": "int64", "description": doc, **more}


def time(doc: str) -> Schema:
    """Return the schema of a time field, RFC 3339 in UTC."""
    return text(doc, format="date-time")


def flag(doc: str) -> Schema:
    """Return the schema of a boolean field."""
    return {"type": "boolean", "description": doc}


def anything(doc: str) -> Schema:
    """Return the schema of an object with any fields."""
    return {"type": "object", "description": doc, "x-kubernetes-preserve-unknown-fields": True}


def rule(expression: str, message: str, **more: Any) -> Schema:
    """Return a CEL validation rule."""
    return {"rule": expression, "message": message, **more}


def _property(prop: Property) -> Schema:
    default = "" if prop.default is None else f" Default: {str(prop.default).lower()}."
    doc = prop.doc + default
    if prop.rule is Rule.BOOLEAN:
        return flag(doc)
    if prop.rule is Rule.TEXT_OR_NULL:
        return text(doc, nullable=True, minLength=1, maxLength=MAX_WORKER_LENGTH)
    if prop.rule is Rule.INTEGER:
        return whole(doc, minimum=-(2**31) + 1, maximum=2**31 - 1)
    nullable = {"nullable": True} if prop.rule is Rule.POSITIVE_OR_NULL else {}
    return whole(doc, minimum=1, maximum=2**31 - 1, **nullable)


def _properties() -> dict[str, Schema]:
    return {prop.field: _property(prop) for prop in TABLE}


def _immutable(field: str) -> Schema:
    return rule(
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} is immutable: make a new CoreJob instead",
        fieldPath=f".{field}",
    )


def _once(field: str) -> Schema:
    return rule(
        f"!has(oldSelf.{field}) || !oldSelf.{field} || (has(self.{field}) && self.{field})",
        f"{field} can not be taken back",
        fieldPath=f".{field}",
    )


def _job_spec() -> Schema:
    qual_name = text(
        "Which job: the module and class of a core4 job, or the dotted name that a CoreJobTemplate "
        "gives to its container. A CoreJobTemplate of this qualName must be in the namespace. "
        "Immutable.",
        pattern=QUAL_NAME_PATTERN,
        minLength=3,
        maxLength=253,
    )
    args = {
        "type": "object",
        "description": "The job's keyword arguments, any JSON. The API server turns 1.0 into 1 "
        "here, and integers beyond 64 bits into floats: where that matters, use argsJson. "
        "Immutable.",
        "maxProperties": MAX_ARGS,
        # Not additionalProperties: CEL can't compare values of any type.
        "x-kubernetes-preserve-unknown-fields": True,
    }
    args_json = text(
        'The job\'s keyword arguments as JSON text, such as {"ratio": 1.0}: they arrive exactly '
        "so, and args is then only for the eye. REST sets it where args would not arrive as they "
        "were given. Immutable.",
        pattern=r"^\s*\{",
        maxLength=MAX_ARGS_JSON,
    )
    return {
        "type": "object",
        "description": "What to run, and what is asked of it.",
        "required": ["qualName"],
        "properties": {
            "qualName": qual_name,
            "args": args,
            "argsJson": args_json,
            **_properties(),
            "kill": flag(
                "Set it to true to kill the job: its pod is stopped, and the job counts as killed "
                "from then on. It can't be taken back."
            ),
            "remove": flag(
                "Set it to true to take the job out of the queue, into the journal; a running one "
                "goes when its trial ends. It can't be taken back."
            ),
            "restartAt": time(
                "Set it to the present time to restart the job: a failed or deferred one starts "
                "its next trial at once; a killed, inactive or error one is replaced by a new "
                "CoreJob (status.childId)."
            )
            | {"nullable": True},
            "childId": text(
                "Id of the CoreJob that restarts this one, chosen by the REST API. Set once.",
                pattern=ID_PATTERN,
            ),
            "parentId": text(
                "Id of the job that this one restarts. Immutable.", pattern=ID_PATTERN
            ),
            "parentName": text(
                "Name of the CoreJob that this one restarts. Immutable.", maxLength=MAX_JOB_NAME
            ),
            "carriedTrials": whole(
                "Trials that count before its own: of the jobs that this one restarts, or the "
                "property trial of its enqueue. Immutable.",
                minimum=0,
                # Restarts count on from the property `trial`, which may be MOST_TRIALS already.
                maximum=2 * MOST_TRIALS,
            ),
            "username": text("Who enqueued the job. Immutable.", maxLength=253),
            "hostname": text("The host that enqueued the job. Immutable.", maxLength=253),
        },
        "x-kubernetes-validations": [
            *(
                _immutable(name)
                for name in (
                    "qualName",
                    "args",
                    "argsJson",
                    "parentId",
                    "parentName",
                    "carriedTrials",
                    "username",
                    "hostname",
                )
            ),
            _once("kill"),
            _once("remove"),
            rule(
                "!has(oldSelf.childId) || (has(self.childId) && self.childId == oldSelf.childId)",
                "childId can not be changed",
                fieldPath=".childId",
            ),
        ],
    }


def _conditions(doc: str, *, kind: str, reason: str, message: str) -> Schema:
    return {
        "type": "array",
        "description": doc,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": text(kind),
                "status": text("True, False or Unknown.", enum=["True", "False", "Unknown"]),
                "observedGeneration": whole("The generation that it was computed from."),
                "lastTransitionTime": time("When its status changed last."),
                "reason": text(reason),
                "message": text(message),
            },
        },
    }


def _log() -> Schema:
    return {
        "type": "object",
        "description": "What of the job's log is in the journal; written by the recorder.",
        "properties": {
            "trial": whole("The trial whose log is followed, or was followed last."),
            "complete": flag("Whether that trial's log is settled: stored, or known to be lost."),
            "lines": whole("Records stored, all trials together."),
            "bytes": whole("Bytes of their messages."),
            "lastSeq": whole("The last record's number, as in the REST API's _id."),
            "startedTrial": whole("The newest trial of which a line is in the journal."),
            "lost": flag("Whether lines are missing; reason and message say which and why."),
            "reason": text(
                "In one word, why lines are missing, or that the log can't be read at the moment "
                "(Unreadable)."
            ),
            "message": text("The same for people: why, and since when."),
        },
    }


def _progress() -> Schema:
    return {
        "type": "object",
        "description": "The job's progress; written by the recorder.",
        "properties": {
            "value": {"type": "number", "description": "0 to 1.", "minimum": 0, "maximum": 1},
            "percent": text("The same for people, such as 42%."),
            "message": text("What the job says it does.") | {"nullable": True},
            "time": time("When the job reported it."),
        },
    }


def _last_error() -> Schema:
    return {
        "type": "object",
        "description": "The last failure, deferral or kill.",
        "properties": {
            "exception": text("What happened."),
            "timestamp": text("When; UTC without offset.") | {"nullable": True},
            "traceback": {
                "type": "array",
                "nullable": True,
                "description": "Lines of the Python traceback, if there is one.",
                "items": {"type": "string"},
            },
        },
    }


def _job_status() -> Schema:
    finals = ", ".join(f"'{state}'" for state in sorted(FINAL))
    return {
        "type": "object",
        "description": "What became of it; written by the service only.",
        "properties": {
            "id": text("The job id in the REST API, 24 hex digits.", pattern=ID_PATTERN),
            "state": text("The job's state.", enum=[str(state) for state in State]),
            "reason": text(
                f"Why it is not running, or why it ended: one of a closed list. {reasons.plain()}",
                enum=[str(reason) for reason in Reason],
            ),
            "message": text("The same for people: which limit, whose words, what to do."),
            "trial": whole("Trials started.", minimum=0),
            "attemptsLeft": whole("Failing trials left until state error.", minimum=0),
            "startTime": time("Start of the last trial."),
            "endTime": time("End of the last trial, whatever its outcome."),
            "finishTime": time("End of the last trial that completed, failed or deferred."),
            "runtimeSeconds": {
                "type": "number",
                "description": "Seconds, summed over ended trials, waiting excluded.",
            },
            "queryTime": time("The next trial does not start before this."),
            "inactiveTime": time(
                "First start + deferMaxSeconds: a deferring job then turns inactive."
            ),
            "killedTime": time("When the user's kill was seen; absent if the pod went by itself."),
            "removedTime": time("When the removal was carried out."),
            "nonstopTime": time("When the trial had run longer than wallTimeSeconds."),
            "zombieTime": time("When no progress had been reported for zombieTimeSeconds."),
            "node": text("The node of the last trial's pod."),
            "pod": text("The last trial's pod."),
            "lastError": _last_error(),
            "disruptions": whole(
                "Runs in a row that the cluster ended or refused (Evicted, NodeLost, PodRejected): "
                "the next one waits ever longer, up to five minutes.",
                minimum=0,
            ),
            "startingTime": time(
                "When the trial that has not started yet was first asked for; the start deadline "
                "counts from here."
            ),
            "childId": text("Id of the CoreJob that restarts this one.", pattern=ID_PATTERN),
            "restartTime": time(
                "The spec.restartAt that was followed last, or that came too early."
            ),
            "carriedTrials": whole(
                "Trials of the jobs that this one restarts, as they ended.", minimum=0
            ),
            "properties": anything("The template's properties when the job was first seen."),
            "observedGeneration": whole("The generation of the spec that this status is of."),
            "conditions": _conditions(
                "Complete, Failed (error or inactive) and Finished (any final state).",
                kind="Complete, Failed or Finished.",
                reason="As status.reason.",
                message="As status.message.",
            ),
            "progress": _progress(),
            "sources": {
                "type": "array",
                "description": "Base names of the sources that the job reported: the newest 300, "
                "of 16 KiB together at most. sourcesDropped says how many more there were.",
                "items": {"type": "string"},
            },
            "sourcesDropped": whole(
                "Names that sources has no room for; written by the recorder.", minimum=0
            ),
            "log": _log(),
            "journaledTime": time("When the journal took the job over; written by the recorder."),
        },
        "x-kubernetes-validations": [
            rule(
                f"!has(oldSelf.state) || !(oldSelf.state in [{finals}]) || "
                "(has(self.state) && self.state == oldSelf.state)",
                "a final state can not be left",
                fieldPath=".state",
            )
        ],
    }


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": 1} if wide else {})


JOB_COLUMNS: Final = [
    _column("Job", ".spec.qualName"),
    _column("State", ".status.state"),
    _column("Trial", ".status.trial", "integer"),
    _column("Progress", ".status.progress.percent"),
    _column("Reason", ".status.reason"),
    _column("Age", ".metadata.creationTimestamp", "date"),
    _column("Node", ".status.node", wide=True),
    _column("Runtime", ".status.runtimeSeconds", "number", wide=True),
    _column("User", ".spec.username", wide=True),
    _column("Message", ".status.message", wide=True),
]


_KILLED: Final = "has(self.spec.kill) && self.spec.kill"
_REMOVED: Final = "has(self.spec.remove) && self.spec.remove"


def _state(test: str) -> str:
    """Return CEL that is true if the CoreJob has a state that passes `test` (`== 'running'`)."""
    return f"has(self.status) && has(self.status.state) && self.status.state {test}"


def _restarts() -> list[Schema]:
    """Return the rules for restarting a job by `spec.restartAt`."""
    same = (
        "!has(self.spec.restartAt) || "
        "(has(oldSelf.spec.restartAt) && self.spec.restartAt == oldSelf.spec.restartAt)"
    )
    states = ", ".join(f"'{state}'" for state in sorted({*WAITING, *STOPPED} - {State.PENDING}))
    may = _state(f"in [{states}]")
    replaced = "has(self.spec.childId) || (has(self.status) && has(self.status.childId))"
    wrong = {
        f"({may}) || ({_counts_as_killed()})": "a pending, running or complete job can not be "
        "restarted: wait for its end or kill it, or enqueue it anew",
        f"!({_REMOVED})": "a removed job can not be restarted: enqueue it anew",
        f"!({replaced})": "it was restarted already: restart its child",
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
    known = "!has(self.spec.childId) || has(oldSelf.spec.childId)"
    states = ", ".join(f"'{state}'" for state in sorted(STOPPED))
    may = _state(f"in [{states}]")
    return rule(
        f"{known} || ({may}) || ({_counts_as_killed()})",
        "only a job that has stopped (killed, inactive, error) or is marked killed has a child",
        fieldPath=".spec.childId",
    )


def _at_creation() -> list[Schema]:
    """Return the rules that a new job has no request that only an existing job can have.

    Rules that compare with the old object are skipped at creation, so they don't cover this.
    """
    texts = {
        "restartAt": "a new job can not be restarted: leave restartAt out",
        "childId": "a new job has no child: leave childId out",
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
        "a removed job can not start",
        fieldPath=".status.state",
    )


def _template_spec() -> Schema:
    return {
        "type": "object",
        "description": "One row of the catalogue: what the job is, and the pod that runs it.",
        "required": ["qualName", "author"],
        "properties": {
            "qualName": text(
                "The job's name in the catalogue: module and class of a core4 job, or any dotted "
                "name for a container. The resource's name is this in lower case, with - for _.",
                pattern=QUAL_NAME_PATTERN,
                minLength=3,
                maxLength=253,
            ),
            "author": text("Who answers for it.", minLength=1, maxLength=253),
            "doc": text("What it does.", maxLength=65536),
            "tag": {
                "type": "array",
                "description": "Words to find it by.",
                "maxItems": 64,
                "items": {"type": "string", "maxLength": 253},
            },
            "schedule": text(
                "When to enqueue it by itself, without args: a crontab of five fields (minute, "
                "hour, day of month, month, day of week), or six with the seconds LAST, or @yearly "
                "@annually @monthly @weekly @daily @midnight @hourly. status.scheduleMeaning says "
                "what it comes to.",
                nullable=True,
                pattern=SCHEDULE_PATTERN,
                maxLength=253,
            ),
            "timeZone": text(
                "The time zone of the schedule, a name of the IANA database such as "
                "Europe/Berlin. Default: UTC. A time that the clocks skip in spring runs once, "
                "right after the gap; one that they repeat in autumn runs once, but a schedule "
                "for every hour (* as hour) goes on through both.",
                nullable=True,
                pattern=TIME_ZONE_PATTERN,
                maxLength=64,
            ),
            "schedulePolicy": text(
                "What to do at a time of the schedule while the same job is in the queue still. "
                "Skip: leave this time out. Replace: remove one that has stopped (error, killed, "
                "inactive) and enqueue; one that waits or runs is left alone, and the time left "
                "out. Default: Skip.",
                enum=[str(policy) for policy in SchedulePolicy],
            )
            | {"default": str(SchedulePolicy.SKIP)},
            "runtime": text(
                "What speaks in the container: core4 (the class is run by the core4 runtime) or "
                "container (any image and command).",
                enum=[str(runtime) for runtime in Runtime],
            )
            | {"default": str(Runtime.CORE4)},
            "properties": {
                "type": "object",
                "description": "Default properties of its jobs.",
                "properties": _properties(),
            },
            "argsSchema": anything("JSON schema (draft 2020-12) that the args of a job must fit."),
            "template": anything(
                "The pod (core/v1 PodTemplateSpec): image, resources, env, volumes, node selector. "
                "The container named job, or else the first one, is the job. May be left out for a "
                "core4 class that the service's own image contains."
            ),
        },
        "x-kubernetes-validations": [
            rule(
                "self.runtime != 'container' || has(self.template)",
                "a container job needs a pod template with an image",
                fieldPath=".template",
            ),
            rule(
                "!has(self.schedule) || !self.schedule.contains('TZ=')",
                "the time zone is not part of the schedule: put it into spec.timeZone",
                fieldPath=".schedule",
            ),
            rule(
                "!has(self.timeZone) || self.timeZone.lowerAscii() != 'local'",
                "Local is no time zone: put a name such as Europe/Berlin",
                fieldPath=".timeZone",
            ),
        ],
    }


def _template_status() -> Schema:
    return {
        "type": "object",
        "description": "Whether it can run, its schedule, and the cookie; written by the service "
        "only.",
        "properties": {
            "cookie": {
                "type": "object",
                "description": "The key-value store that all jobs of this class share; JSON texts.",
                "additionalProperties": {"type": "string"},
            },
            "schedule": text("The schedule that the times below are of."),
            "timeZone": text("The time zone that the times below are of."),
            "scheduleMeaning": text(
                "What the schedule comes to: its next times, in its time zone."
            ),
            "nextScheduleTime": time("The next time of the schedule."),
            "lastScheduleTime": time(
                "The last time of the schedule that was dealt with; at first sight, that moment."
            ),
            "lastSkipTime": time("The last time of the schedule that was left out."),
            "message": text("Why the schedule does not enqueue.") | {"nullable": True},
            "lastJobId": text("Id of the job that was enqueued last.", pattern=ID_PATTERN),
            "lastJobState": text(
                "The state that this job has ended in.", enum=[str(state) for state in State]
            ),
            "conditions": _conditions(
                "Valid (the pod template can be made into a Job) and Scheduled (the schedule "
                "enqueues; only with one).",
                kind="Valid or Scheduled.",
                reason="Of Valid: Valid, BadDefinition, Refused, Unavailable. Of Scheduled: "
                "Scheduled, Skipped, BadSchedule, EnqueueFailed, InternalError.",
                message="The same for people: whose words, what to do.",
            ),
        },
    }


def _definition(
    kind: str, plural: str, short: list[str], schema: Schema, columns: list[Schema]
) -> Schema:
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "core4"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short,
                "categories": ["core4"],
            },
            "versions": [version],
        },
    }


def job_crd() -> Schema:
    """Return the CustomResourceDefinition of CoreJob."""
    schema = {
        "type": "object",
        "description": "One enqueued job. Create it to run it; patch spec.kill, spec.remove or "
        "spec.restartAt to steer it.",
        "required": ["spec"],
        "properties": {"spec": _job_spec(), "status": _job_status()},
        "x-kubernetes-validations": [
            rule(
                f"self.metadata.name.size() <= {MAX_JOB_NAME} && !self.metadata.name.contains('.')",
                f"metadata.name must be a DNS label of at most {MAX_JOB_NAME} characters",
            ),
            *_at_creation(),
            *_restarts(),
            _children(),
            _removed_stays_out(),
        ],
    }
    return _definition(KIND_JOB, PLURAL_JOB, ["c4j"], schema, JOB_COLUMNS)


def template_crd() -> Schema:
    """Return the CustomResourceDefinition of CoreJobTemplate."""
    schema = {
        "type": "object",
        "description": "One job of the catalogue.",
        "required": ["spec"],
        "properties": {"spec": _template_spec(), "status": _template_status()},
        "x-kubernetes-validations": [
            rule(
                "self.metadata.name == self.spec.qualName.lowerAscii().replace('_', '-')",
                "metadata.name must be spec.qualName in lower case, with - for _: that makes a "
                "qualName unique in its namespace",
            )
        ],
    }
    columns = [
        _column("Job", ".spec.qualName"),
        _column("Author", ".spec.author"),
        _column("Schedule", ".spec.schedule"),
        _column("Runtime", ".spec.runtime"),
        _column("Last Schedule", ".status.lastScheduleTime", "date"),
        _column("Next", ".status.nextScheduleTime"),
        _column("Valid", ".status.conditions[?(@.type=='Valid')].status"),
        _column("Scheduled", ".status.conditions[?(@.type=='Scheduled')].status"),
        _column("Age", ".metadata.creationTimestamp", "date"),
        _column("Time Zone", ".spec.timeZone", wide=True),
        _column("Last Job", ".status.lastJobId", wide=True),
        _column("Message", ".status.message", wide=True),
        _column("Problem", ".status.conditions[?(@.type=='Valid')].message", wide=True),
    ]
    return _definition(KIND_TEMPLATE, PLURAL_TEMPLATE, ["c4t"], schema, columns)


def template_name(qual_name: str) -> str:
    """Return the resource name of a qual_name's CoreJobTemplate."""
    return qual_name.lower().replace("_", "-")
