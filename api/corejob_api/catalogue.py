"""The catalogue: every CoreJobTemplate of the cache, by qual_name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from corejob import clock
from corejob.names import Runtime
from corejob_api.query.selection import Row
from corejob_api.schema import ArgsSchema
from corejob_kube.cache import Body, ObjectCache


@dataclass(frozen=True, slots=True)
class Template:
    """One job of the catalogue.

    Attributes:
        properties: Default properties of its jobs, by their fields in a spec.
        is_container: Whether it is any container, and no core4 class.
        args_schema: What the args of a job must fit; None: anything.
    """

    qual_name: str
    name: str
    row: Row
    properties: Mapping[str, Any]
    is_container: bool
    args_schema: ArgsSchema | None


class Catalogue:
    """Kept up by the cache's listener."""

    def __init__(self, cache: ObjectCache) -> None:
        self._templates: dict[str, Template] = {}
        self._listeners: list[Callable[[str], None]] = []
        cache.listen(self._changed)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the qual_name of each template that is new, changed or gone."""
        self._listeners.append(listener)

    def get(self, qual_name: str) -> Template | None:
        """The template of that qual_name, or None."""
        return self._templates.get(qual_name)

    def __iter__(self) -> Iterator[Template]:
        return iter(list(self._templates.values()))

    def _changed(self, _name: str, old: Body | None, new: Body | None) -> None:
        if old is not None:
            self._templates.pop(old["spec"]["qualName"], None)
        if new is not None:
            template = _template(new)
            self._templates[template.qual_name] = template
        for body in filter(None, (old, new)):
            for listener in self._listeners:
                listener(body["spec"]["qualName"])


def _template(body: Body) -> Template:
    meta, spec = body["metadata"], body["spec"]
    qual_name = spec["qualName"]
    created = clock.parse(meta.get("creationTimestamp"))
    row = {
        "_id": qual_name,
        "qual_name": qual_name,
        "author": spec.get("author"),
        "created_at": clock.iso(created),
        "updated_at": clock.iso(_updated(meta) or created),
        "doc": spec.get("doc"),
        "schedule": spec.get("schedule"),
        "tag": list(spec.get("tag") or ()),
    }
    schema = spec.get("argsSchema")
    return Template(
        qual_name,
        meta["name"],
        row,
        properties=spec.get("properties") or {},
        is_container=spec.get("runtime") == Runtime.CONTAINER,
        args_schema=ArgsSchema(schema) if schema is not None else None,
    )


def _updated(meta: Mapping[str, Any]) -> datetime | None:
    """The latest time at which somebody changed it."""
    times = (clock.parse(entry.get("time")) for entry in meta.get("managedFields") or ())
    return max((moment for moment in times if moment is not None), default=None)
