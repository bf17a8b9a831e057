"""The objects of one namespace, and the rules by which an API server changes them."""

import copy
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.support.fake_apiserver.statuses import ApiError
from tests.support.signals import DEADLINE, Signal

from corejob import ids
from corejob_kube.resources import COREJOBS, EVENTS, JOBS, LEASES, PODS, TEMPLATES, Resource
from corejob_process.clock import Clock, system_clock

NAMESPACE = "jobs"
RESOURCES = (COREJOBS, TEMPLATES, JOBS, PODS, EVENTS, LEASES)
Body = dict[str, Any]
Watcher = Callable[[str, str, Body], None]
"""Called with plural, event type (`ADDED`, `MODIFIED` or `DELETED`) and body."""

_WITH_STATUS = {one.plural for one in (COREJOBS, TEMPLATES, JOBS, PODS)}
_FINAL = {"complete", "error", "inactive", "killed"}


class ObjectStore:
    """Objects by plural and name, with resource versions, finalizers and owner references.

    `put`, `change`, `remove` and `delete` are changes by others, such as kubectl or a controller,
    and are not validated. `create`, `update` and `patch` are requests, and raise `ApiError`.

    Attributes:
        objects: the stored bodies, by plural and name. A test may change them without an event.
        watchers: called with each change, at once.
        changed: notified after each change.
        now: the clock of creation times.
    """

    def __init__(self, resources: Sequence[Resource] = RESOURCES) -> None:
        self.objects: dict[str, dict[str, Body]] = {one.plural: {} for one in resources}
        self.watchers: list[Watcher] = []
        self.changed = Signal()
        self.now: Clock = system_clock
        self._version = 1000

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self._version

    async def until(self, condition: Callable[[], Any], *, seconds: float = DEADLINE) -> None:
        """Wait until a condition on the objects holds."""
        await self.changed.wait_for(condition, seconds=seconds)

    # --- changes by others ------------------------------------------------------------------

    def put(self, plural: str, body: Body) -> Body:
        """Create or replace an object, and return it."""
        name = body["metadata"]["name"]
        old = self.objects[plural].get(name)
        self._version += 1
        meta = {
            "namespace": NAMESPACE,
            "uid": f"uid-{self._version}",
            "creationTimestamp": self._created(name),
            "generation": 1,
            **body["metadata"],
            "resourceVersion": str(self._version),
        }
        stored = {**body, "metadata": meta}
        self.objects[plural][name] = stored
        self._deliver(plural, "ADDED" if old is None else "MODIFIED", stored, old)
        return stored

    def change(self, plural: str, name: str, patch: Body) -> Body:
        """Merge-patch an object, and return it."""
        return self.put(plural, merged(self.objects[plural][name], patch))

    def remove(self, plural: str, name: str, *, orphan: bool = False) -> None:
        """Remove an object whatever its finalizers; unless `orphan`, delete the objects it owns."""
        self._version += 1
        body = self.objects[plural].pop(name)
        meta = {**body["metadata"], "resourceVersion": str(self._version)}
        self._deliver(plural, "DELETED", {**body, "metadata": meta}, body)
        if not orphan:
            self._collect_garbage(meta["uid"])

    def delete(self, plural: str, name: str) -> None:
        """Delete an object; one with finalizers is only marked."""
        body = self.objects[plural][name]
        if body["metadata"].get("finalizers"):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            meta = {"deletionTimestamp": body["metadata"].get("deletionTimestamp", now)}
            self.change(plural, name, {"metadata": meta})
        else:
            self.remove(plural, name)

    def template(self, qual_name: str = "a.Job", **spec: Any) -> Body:
        """Create a CoreJobTemplate, and return it."""
        meta = {"name": qual_name.lower().replace("_", "-")}
        return self.put(
            TEMPLATES.plural, {"metadata": meta, "spec": {"qualName": qual_name, **spec}}
        )

    def _collect_garbage(self, owner: str) -> None:
        for plural, objects in self.objects.items():
            for name, body in list(objects.items()):
                owners = body["metadata"].get("ownerReferences") or ()
                if name in objects and any(one["uid"] == owner for one in owners):
                    self.delete(plural, name)

    def _created(self, name: str) -> str:
        """Return the current time, or for an object whose name is an id, the time of the id."""
        moment = ids.created_at(name) if ids.is_id(name) else self.now()
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _deliver(self, plural: str, kind: str, body: Body, old: Body | None) -> None:
        for watcher in list(self.watchers):
            watcher(plural, kind, body)
        self.changed.notify()

    # --- requests ---------------------------------------------------------------------------

    def find(self, plural: str, name: str) -> Body:
        """Return an object."""
        if name not in self.objects[plural]:
            raise ApiError(404, f'{plural} "{name}" not found', "NotFound")
        return self.objects[plural][name]

    def select(self, plural: str, *, labels: str = "", fields: str = "") -> list[Body]:
        """Return the objects that match both selectors."""
        return [
            body
            for body in self.objects[plural].values()
            if matches(body, labels) and _has_fields(body, fields)
        ]

    def create(self, plural: str, body: Body) -> Body:
        """Create an object, and return it."""
        meta = dict(body["metadata"])
        if meta["name"] in self.objects[plural]:
            raise ApiError(409, f'{plural} "{meta["name"]}" already exists', "AlreadyExists")
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            meta.pop(field, None)
        dropped = {"status"} if plural in _WITH_STATUS else set()
        return self.put(plural, {**_without(body, dropped), "metadata": meta})

    def update(self, plural: str, name: str, body: Body, *, sub: str = "") -> Body:
        """Replace an object or its status, and return it."""
        old = self.find(plural, name)
        _check_preconditions(body.get("metadata") or {}, old)
        server_set = {key: old["metadata"][key] for key in ("uid", "creationTimestamp")}
        new = {**body, "metadata": {**body["metadata"], **server_set}}
        return self._store(plural, old, new, sub)

    def patch(self, plural: str, name: str, patch: Body, *, sub: str = "") -> Body:
        """Merge-patch an object or its status, and return it."""
        old = self.find(plural, name)
        _check_preconditions(patch.get("metadata") or {}, old)
        return self._store(plural, old, merged(old, patch), sub)

    def delete_if(self, plural: str, name: str, preconditions: Body) -> None:
        """Delete an object if it meets the preconditions."""
        _check_preconditions(preconditions, self.find(plural, name))
        self.delete(plural, name)

    def _store(self, plural: str, old: Body, new: Body, sub: str) -> Body:
        if sub == "status":
            new = {**old, "status": new.get("status")}
        elif plural in _WITH_STATUS:
            new = {
                **_without(new, {"status"}),
                **({"status": old["status"]} if "status" in old else {}),
            }
        new = copy.deepcopy(new)
        _check_rules(plural, old, new)
        name, meta = old["metadata"]["name"], new["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            self.remove(plural, name)
            return new
        if _without_version(new) == _without_version(old):
            return old
        if new.get("spec") != old.get("spec"):
            meta["generation"] = meta.get("generation", 1) + 1
        return self.put(plural, new)


def merged(body: Any, patch: Any) -> Any:
    """Return `body` with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(body) if isinstance(body, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def matches(body: Body, selector: str) -> bool:
    """True if an object's labels match a selector."""
    labels = body["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _has_fields(body: Body, selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        path, _, value = part.partition("=")
        field: Any = body
        for key in path.removesuffix("!").split("."):
            field = field.get(key, "")
        if (field != value) is not path.endswith("!"):
            return False
    return True


def _check_preconditions(given: Body, old: Body) -> None:
    for field in ("uid", "resourceVersion"):
        if given.get(field) not in {None, old["metadata"][field]}:
            raise ApiError(409, f"the object has another {field}", "Conflict")


def _check_rules(plural: str, old: Body, new: Body) -> None:
    """Check what the CoreJob CRD's rules say of a finished job."""
    state = (old.get("status") or {}).get("state")
    new_state = (new.get("status") or {}).get("state")
    if plural == COREJOBS.plural and state in _FINAL and new_state != state:
        raise ApiError(422, "a finished job can't change its state", "Invalid")


def _without(body: Body, fields: set[str]) -> Body:
    return {key: value for key, value in body.items() if key not in fields}


def _without_version(body: Body) -> Body:
    return {**body, "metadata": _without(body["metadata"], {"resourceVersion"})}
