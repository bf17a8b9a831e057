"""What the operator knows of the cluster: four caches, and indexes over them.

Whatever brings news (kopf's watches, the answers to our own writes, the sweep's lists) goes through
the caches, which only move forward; each change names the CoreJobs to look at.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from corejob import args, model, names
from corejob.children import JobChild, PodChild, parse_job, parse_pod
from corejob.depth import is_deep
from corejob.identity import identity
from corejob.model import CoreJob
from corejob_kube.cache import Body, ObjectCache
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES, Resource

CHILD_SELECTOR: Final = names.LABEL_COREJOB
"""Only Jobs and pods of ours are watched and listed."""

Look = Callable[[str], None]


class World:
    """The caches, and indexes over them."""

    def __init__(self) -> None:
        self.corejobs = ObjectCache(COREJOBS.plural)
        self.templates = ObjectCache(TEMPLATES.plural)
        self.jobs = ObjectCache(JOBS.plural)
        self.pods = ObjectCache(PODS.plural)
        self._jobs_of: dict[str, dict[str, JobChild]] = {}
        self._pods_of: dict[str, dict[str, PodChild]] = {}
        self._template_of: dict[str, Body] = {}
        self._identity_of: dict[str, str] = {}
        self._twins: dict[str, set[str]] = {}
        self._named: dict[str, set[str]] = {}
        self._with_id: dict[str, set[str]] = {}
        self._parents: dict[str, set[str]] = {}
        self._unsettled: dict[str, dict[str, int]] = {}
        self._heard: dict[str, int] = {}
        self._look: list[Look] = []
        self.corejobs.listen(self._index_corejob)
        self.jobs.listen(self._index_job)
        self.pods.listen(self._index_pod)
        self.templates.listen(self._index_template)

    def on_change(self, look: Look) -> None:
        """Call `look` with the name of each CoreJob that something changed for."""
        self._look.append(look)

    def cache(self, resource: Resource) -> ObjectCache:
        """The cache of a kind."""
        return {
            COREJOBS: self.corejobs,
            TEMPLATES: self.templates,
            JOBS: self.jobs,
            PODS: self.pods,
        }[resource]

    def heard(self, resource: Resource, kind: str | None, body: Body) -> None:
        """A watch brought an event: `DELETED`, or any other type; None from a list."""
        version = int(body["metadata"]["resourceVersion"])
        self._heard[resource.plural] = max(version, self._heard.get(resource.plural, 0))
        if kind == "DELETED":
            self.cache(resource).drop(body)
        else:
            self.cache(resource).put(body)

    def heard_of(self, resource: Resource) -> int:
        """The newest resource version that the watch of a kind brought; 0 = none yet."""
        return self._heard.get(resource.plural, 0)

    def jobs_of(self, corejob: str) -> Iterable[JobChild]:
        """The Jobs of a CoreJob."""
        return self._jobs_of.get(corejob, {}).values()

    def pods_of(self, corejob: str) -> Iterable[PodChild]:
        """The pods of a CoreJob."""
        return self._pods_of.get(corejob, {}).values()

    def template(self, qual_name: str) -> dict[str, Any] | None:
        """`spec` of the CoreJobTemplate of a qual_name."""
        body = self._template_of.get(qual_name)
        return body["spec"] if body is not None else None

    def template_body(self, qual_name: str) -> Body | None:
        """The CoreJobTemplate of a qual_name."""
        return self._template_of.get(qual_name)

    def with_id(self, job_id: str) -> list[Body]:
        """The CoreJobs that have this id, or whose name says so."""
        return self._bodies(self._with_id.get(job_id, ()))

    def parent_of(self, child_id: str) -> Body | None:
        """The CoreJob that is restarted by the job of this id."""
        return next(iter(self._bodies(self._parents.get(child_id, ()))), None)

    def _bodies(self, names_: Iterable[str]) -> list[Body]:
        return [body for name in names_ if (body := self.corejobs.get(name)) is not None]

    def cookie(self, qual_name: str) -> dict[str, Any]:
        """The key-value store that all jobs of a qual_name share, but what nobody can read of it.

        Recorders of earlier versions let values of any depth through.
        """
        body = self._template_of.get(qual_name) or {}
        told: dict[str, str] = (body.get("status") or {}).get("cookie") or {}
        cookie = {}
        for key, text in told.items():
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if not is_deep(value):
                cookie[key] = value
        return cookie

    def has_cookie(self, qual_name: str) -> bool:
        """Whether there is anything in it."""
        return bool(((self._template_of.get(qual_name) or {}).get("status") or {}).get("cookie"))

    def unsettled(self, qual_name: str) -> Mapping[str, int]:
        """The CoreJobs of a qual_name with a trial that is over and whose log is not settled."""
        return self._unsettled.get(qual_name, {})

    def unsettled_trial(self, corejob: str) -> int | None:
        """The trial of a CoreJob that is over and whose log is not settled; None if it has none."""
        body = self.corejobs.get(corejob)
        return model.unsettled_trial(body) if body is not None else None

    def twins(self, corejob: str) -> Iterable[Body]:
        """Other CoreJobs of the same qual_name and args, whether in the queue or not."""
        key = self._identity_of.get(corejob, "")
        return self._bodies(self._twins.get(key, set()) - {corejob})

    def same_jobs(self, key: str, *, but: str) -> list[CoreJob]:
        """The jobs of that identity, in the queue or not, other than the CoreJob named `but`."""
        bodies = (self.corejobs.get(name) for name in self._twins.get(key, set()) - {but})
        return [model.parse(body) for body in bodies if body is not None]

    # --- indexes ----------------------------------------------------------------------------

    def _changed(self, corejob: str) -> None:
        for look in self._look:
            look(corejob)

    def _index_corejob(self, name: str, old: Body | None, new: Body | None) -> None:
        # Name and args are immutable, so they are read once; but a deletion may go unheard while a
        # watch is away, and the same name be another CoreJob.
        if _uid(old) != _uid(new):
            if old is not None:
                _remove(self._twins, self._identity_of.pop(name, ""), name)
                _remove(self._named, old["spec"]["qualName"], name)
            if new is not None:
                spec = new["spec"]
                key = identity(spec["qualName"], args.read(spec))
                self._identity_of[name] = key
                self._twins.setdefault(key, set()).add(name)
                self._named.setdefault(spec["qualName"], set()).add(name)
        _move(self._with_id, name, _id(old), _id(new))
        _move(self._parents, name, _child(old), _child(new))
        if old is not None:
            self._unsettled.get(old["spec"]["qualName"], {}).pop(name, None)
        if new is not None and (ended := model.unsettled_trial(new)) is not None:
            self._unsettled.setdefault(new["spec"]["qualName"], {})[name] = ended
        self._changed(name)
        # The job that restarts this one may be waiting for its pod to be gone.
        child = _child(new or old)
        if child:
            self._changed(child)

    def _index_job(self, name: str, old: Body | None, new: Body | None) -> None:
        corejob = _owner(new or old)
        if new is not None:
            self._jobs_of.setdefault(corejob, {})[name] = parse_job(new)
        else:
            _discard(self._jobs_of, corejob, name)
        self._changed(corejob)

    def _index_pod(self, name: str, old: Body | None, new: Body | None) -> None:
        corejob = _owner(new or old)
        if new is not None:
            self._pods_of.setdefault(corejob, {})[name] = parse_pod(new)
        else:
            _discard(self._pods_of, corejob, name)
        self._changed(corejob)
        child = _child(self.corejobs.get(corejob))
        if child:
            self._changed(child)

    def _index_template(self, _name: str, old: Body | None, new: Body | None) -> None:
        if old is not None:
            self._template_of.pop(old["spec"]["qualName"], None)
        if new is not None:
            self._template_of[new["spec"]["qualName"]] = new
        # Only who waits for a template cares; a running job keeps the one it began with.
        if old is None and new is not None:
            for name in tuple(self._named.get(new["spec"]["qualName"], ())):
                self._changed(name)


def _child(body: Body | None) -> str | None:
    """Name of the CoreJob that restarts this one: its id."""
    body = body or {}
    found = (body.get("spec") or {}).get("childId") or (body.get("status") or {}).get("childId")
    return str(found) if found else None


def _id(body: Body | None) -> str | None:
    return model.job_id(body) if body is not None else None


def _uid(body: Body | None) -> str | None:
    return body["metadata"]["uid"] if body is not None else None


def _owner(body: Body | None) -> str:
    labels = ((body or {}).get("metadata") or {}).get("labels") or {}
    return str(labels.get(names.LABEL_COREJOB, ""))


def _discard(index: dict[str, dict[str, Any]], corejob: str, name: str) -> None:
    children = index.get(corejob, {})
    children.pop(name, None)
    if not children:
        index.pop(corejob, None)


def _move(index: dict[str, set[str]], name: str, old: str | None, new: str | None) -> None:
    """Put a name from one key to another; None is no key."""
    if old == new:
        return
    if old is not None:
        _remove(index, old, name)
    if new is not None:
        index.setdefault(new, set()).add(name)


def _remove(index: dict[str, set[str]], key: str, name: str) -> None:
    members = index.get(key, set())
    members.discard(name)
    if not members:
        index.pop(key, None)
