"""The catalogue: every CoreJobTemplate of the cache, by qual_name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from corejob import ids, timestamps
from corejob.names import Runtime, SchedulePolicy, TemplateCondition
from corejob.properties import TABLE
from corejob_api.query.ordering import Row
from corejob_api.queue.args_schema import ArgsSchema
from corejob_kube.cache import Body, ObjectCache


@dataclass(frozen=True, slots=True)
class Template:
    """A CoreJobTemplate, parsed.

    Attributes:
        properties: Default properties of its jobs, by their fields in a spec.
        is_container: True for a job that runs any container, not a core4 class.
        args_schema: JSON schema of the job's args; None: no restriction.
    """

    qual_name: str
    name: str
    row: Row
    properties: Mapping[str, Any]
    is_container: bool
    args_schema: ArgsSchema | None

    def listed(self, state_of: Callable[[str], str | None]) -> Row:
        """Return the catalogue's row, with the current state of the last job.

        Args:
            state_of: Returns the state of the job with an id; None if there is no such CoreJob.
        """
        job_id = self.row["last_job"]
        state = state_of(job_id) if job_id is not None else None
        return self.row if state is None else {**self.row, "last_job_state": state}


class Catalogue:
    """The templates by qual_name, updated on every event of the cache."""

    def __init__(self, cache: ObjectCache) -> None:
        self._templates: dict[str, Template] = {}
        self._listeners: list[Callable[[str], None]] = []
        cache.listen(self._changed)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the qual_name of each template that is added, changed or deleted."""
        self._listeners.append(listener)

    def get(self, qual_name: str) -> Template | None:
        """Return the template with this qual_name, or None."""
        return self._templates.get(qual_name)

    def __iter__(self) -> Iterator[Template]:
        return iter(list(self._templates.values()))

    def _changed(self, _name: str, old: Body | None, new: Body | None) -> None:
        before = self._templates.pop(old["spec"]["qualName"], None) if old is not None else None
        if new is not None:
            template = _template(new, before)
            self._templates[template.qual_name] = template
        for body in filter(None, (old, new)):
            for listener in self._listeners:
                listener(body["spec"]["qualName"])


def _template(body: Body, before: Template | None) -> Template:
    meta, spec = body["metadata"], body["spec"]
    qual_name = spec["qualName"]
    created = timestamps.parse(meta.get("creationTimestamp"))
    row = {
        "_id": qual_name,
        "qual_name": qual_name,
        "name": qual_name,
        "author": spec.get("author"),
        "created_at": timestamps.iso(created),
        "updated_at": timestamps.iso(_updated(meta) or created),
        "doc": spec.get("doc"),
        "schedule": spec.get("schedule"),
        "tag": list(spec.get("tag") or ()),
        "args_schema": spec.get("argsSchema"),
        "properties": _defaults(spec.get("properties") or {}),
        **_schedule(spec, body.get("status") or {}),
    }
    return Template(
        qual_name,
        meta["name"],
        row,
        properties=spec.get("properties") or {},
        is_container=spec.get("runtime") == Runtime.CONTAINER,
        args_schema=_args_schema(spec.get("argsSchema"), before),
    )


def _defaults(properties: Mapping[str, Any]) -> Row:
    """Return the default of each settable property, by its name in REST."""
    return {prop.rest: properties.get(prop.field, prop.default) for prop in TABLE}


def _args_schema(schema: Any, before: Template | None) -> ArgsSchema | None:
    """Return the schema; reuse the compiled one if the schema has not changed."""
    if schema is None:
        return None
    if before is not None and before.args_schema is not None and before.args_schema.is_of(schema):
        return before.args_schema
    return ArgsSchema(schema)


def _schedule(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Row:
    """Return the row's fields on the schedule and on the template's validity."""
    scheduled = bool(spec.get("schedule"))
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    valid = conditions.get(TemplateCondition.VALID) or {}
    policy = spec.get("schedulePolicy") or str(SchedulePolicy.SKIP)
    last_job = status.get("lastJobId")
    return {
        "time_zone": (spec.get("timeZone") or "UTC") if scheduled else None,
        "schedule_policy": policy if scheduled else None,
        "next_run": timestamps.iso(timestamps.parse(status.get("nextScheduleTime"))),
        "last_run": timestamps.iso(ids.created_at(last_job)) if last_job is not None else None,
        "last_job": last_job,
        "last_job_state": status.get("lastJobState"),
        "skipped": status.get("message"),
        "valid": {"True": True, "False": False}.get(valid.get("status", "")),
        "problem": valid.get("message") or None if valid.get("status") != "True" else None,
    }


def _updated(meta: Mapping[str, Any]) -> datetime | None:
    """Return the time of the last change, or None; updates of the status do not count."""
    times = (
        timestamps.parse(entry.get("time"))
        for entry in meta.get("managedFields") or ()
        if entry.get("subresource") != "status"
    )
    return max((moment for moment in times if moment is not None), default=None)
