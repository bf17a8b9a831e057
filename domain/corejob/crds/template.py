"""CustomResourceDefinition of CoreJobTemplate: the source of `crds/corejobtemplates.yaml`."""

from typing import Final

from corejob.crds.fields import (
    ID_PATTERN,
    QUAL_NAME_PATTERN,
    UNTRACKED,
    Schema,
    anything,
    column,
    conditions,
    definition,
    property_fields,
    rule,
    text,
    time,
)
from corejob.names import (
    KIND_TEMPLATE,
    PLURAL_TEMPLATE,
    TEMPLATE_REASONS,
    Runtime,
    SchedulePolicy,
)
from corejob.state import State

_SCHEDULE_PATTERN: Final = (
    r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+(\s+\S+){4,5})$"
)
_TIME_ZONE_PATTERN: Final = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"


def template_crd() -> Schema:
    """Return the CustomResourceDefinition of CoreJobTemplate."""
    schema = {
        "type": "object",
        "description": "A job of the catalogue.",
        "required": ["spec"],
        "properties": {"spec": _template_spec(), "status": _template_status()},
        "x-kubernetes-validations": [
            rule(
                "self.metadata.name == self.spec.qualName.lowerAscii().replace('_', '-')",
                "metadata.name must be spec.qualName in lower case, with - for _, so that a "
                "qualName is unique in its namespace",
            )
        ],
    }
    columns = [
        column("Job", ".spec.qualName"),
        column("Author", ".spec.author"),
        column("Schedule", ".spec.schedule"),
        column("Runtime", ".spec.runtime"),
        column("Last Schedule", ".status.lastScheduleTime", "date"),
        column("Next", ".status.nextScheduleTime"),
        column("Valid", ".status.conditions[?(@.type=='Valid')].status"),
        column("Scheduled", ".status.conditions[?(@.type=='Scheduled')].status"),
        column("Age", ".metadata.creationTimestamp", "date"),
        column("Time Zone", ".spec.timeZone", wide=True),
        column("Last Job", ".status.lastJobId", wide=True),
        column("Message", ".status.message", wide=True),
        column("Problem", ".status.conditions[?(@.type=='Valid')].message", wide=True),
    ]
    return definition(KIND_TEMPLATE, PLURAL_TEMPLATE, ["c4t"], schema, columns)


def _template_spec() -> Schema:
    return {
        "type": "object",
        "description": "A job of the catalogue: its name, properties and schedule, and its pod.",
        "required": ["qualName", "author"],
        "properties": {
            "qualName": text(
                "Name of the job in the catalogue: module and class of a core4 job, or any dotted "
                "name for a container. The resource has the same name in lower case, with - for _.",
                pattern=QUAL_NAME_PATTERN,
                minLength=3,
                maxLength=253,
            ),
            "author": text("Person or team responsible for the job.", minLength=1, maxLength=253),
            "doc": text("Description of the job.", maxLength=65536),
            "tag": {
                "type": "array",
                "description": "Keywords for searching.",
                "maxItems": 64,
                "items": {"type": "string", "maxLength": 253},
            },
            "schedule": text(
                "Times at which the service enqueues the job, without args: a crontab of five "
                "fields (minute, hour, day of month, month, day of week), or six with the seconds "
                "LAST, or @yearly @annually @monthly @weekly @daily @midnight @hourly. "
                "status.scheduleMeaning shows the next times.",
                nullable=True,
                pattern=_SCHEDULE_PATTERN,
                maxLength=253,
            ),
            "timeZone": text(
                "Time zone of the schedule, a name of the IANA database such as Europe/Berlin. "
                "Default: UTC. If the clocks skip a time in spring, the job runs once right after "
                "the gap; if they repeat it in autumn, it runs once. A schedule with * as hour "
                "runs once in every hour that passes.",
                nullable=True,
                pattern=_TIME_ZONE_PATTERN,
                maxLength=64,
            ),
            "schedulePolicy": text(
                "Policy for a time of the schedule at which the same job is still in the queue. "
                "Skip: skip this time. Replace: remove a stopped job (error, killed, inactive) and "
                "enqueue a new one; if the job waits or runs, skip this time. Default: Skip.",
                enum=[str(policy) for policy in SchedulePolicy],
            )
            | {"default": str(SchedulePolicy.SKIP)},
            "runtime": text(
                "Program in the container: core4 (the core4 runtime runs the class) or container "
                "(any image and command).",
                enum=[str(runtime) for runtime in Runtime],
            )
            | {"default": str(Runtime.CORE4)},
            "properties": {
                "type": "object",
                "description": "Default properties of its jobs.",
                "properties": property_fields(),
            },
            "argsSchema": anything(
                "JSON schema (draft 2020-12) that the args of a job must match."
            ),
            "template": anything(
                "Pod template (core/v1 PodTemplateSpec): image, resources, env, volumes, node "
                "selector. The container named job, else the first one, is the job. Optional for "
                "a core4 class in the service's own image."
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
                "the schedule can't contain a time zone: set spec.timeZone",
                fieldPath=".schedule",
            ),
            rule(
                "!has(self.timeZone) || self.timeZone.lowerAscii() != 'local'",
                "Local is not a time zone: use a name such as Europe/Berlin",
                fieldPath=".timeZone",
            ),
        ],
    }


def _template_status() -> Schema:
    return {
        "type": "object",
        "description": "Validity, times of the schedule, and the cookie; written by the service "
        "only.",
        "properties": {
            "cookie": {
                "type": "object",
                "description": "Key-value store shared by all jobs of this class; JSON values.",
                "additionalProperties": {"type": "string"},
            },
            "schedule": text("Schedule from which the times below were computed."),
            "timeZone": text("Time zone in which the times below were computed."),
            "scheduleMeaning": text("Next times of the schedule, in its time zone, for people."),
            "nextScheduleTime": time("Next time of the schedule."),
            "lastScheduleTime": time(
                "Last time of the schedule that was handled; initially the time of the first "
                "reconcile."
            ),
            "lastSkipTime": time("Last time of the schedule that was skipped."),
            "lastSkipJobIds": {
                "type": "array",
                "description": "Ids of the jobs because of which it was skipped; absent once none "
                "of them is in the queue.",
                "maxItems": 10,
                "items": text("Id of a job."),
            },
            "message": text("Reason why the schedule does not enqueue.") | {"nullable": True},
            "lastJobId": text("Id of the job that was enqueued last.", pattern=ID_PATTERN),
            "lastJobState": text("Final state of this job.", enum=[str(state) for state in State]),
            "conditions": conditions(
                "Valid (a Job can be created from the pod template) and Scheduled (the schedule "
                "enqueues; only with a schedule).",
                kind="Valid or Scheduled.",
                reason=" ".join(
                    f"For {condition}: {', '.join(reasons)}."
                    for condition, reasons in TEMPLATE_REASONS.items()
                ),
                message="Explanation of the reason for people: cause and remedy.",
            ),
        },
        **UNTRACKED,
    }
