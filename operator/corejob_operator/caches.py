"""The operator's four caches (CoreJobs, templates, Jobs, pods), and indexes over them.

All updates (the watches, the answers to our own writes, the lists of the resync) go through the
caches, which only move forward by resource version. Each change that a decision may depend on names
the CoreJobs to reconcile.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from corejob import args, model, names
from corejob.children import JobChild, PodChild, parse_job, parse_pod, with_known_owner
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.nesting import is_deep
from corejob_kube.cache import Body, ObjectCache
from corejob_kube.parse_once import ParseOnce
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES, Resource
from corejob_operator.gone_pods import GonePods

OWN_KINDS: Final = (COREJOBS, TEMPLATES)
"""The kinds of our own CRDs, which kopf watches."""
CHILD_KINDS: Final = (JOBS, PODS)
"""The kinds of the trials' objects, which our informers watch."""
WATCHED: Final = OWN_KINDS + CHILD_KINDS
"""The kinds with a cache: each is watched, and listed by the resync."""
CHILD_SELECTOR: Final = names.LABEL_COREJOB
"""Label selector of the Jobs and pods to watch and list."""

OnChange = Callable[[str], None]


class Caches:
    """The caches, and indexes over them.

    Args:
        jobs: The cache of Jobs, such as an informer; None: one that no watch updates.
        pods: The cache of pods; likewise.

    Attributes:
        parse: Parses a CoreJob of the cache, each version once.
    """

    def __init__(self, *, jobs: ObjectCache | None = None, pods: ObjectCache | None = None) -> None:
        self.parse = ParseOnce(model.parse)
        self.corejobs = ObjectCache(COREJOBS.plural)
        self.templates = ObjectCache(TEMPLATES.plural)
        self.jobs = ObjectCache(JOBS.plural) if jobs is None else jobs
        self.pods = ObjectCache(PODS.plural) if pods is None else pods
        self._jobs_of: dict[str, dict[str, JobChild]] = {}
        self._pods_of: dict[str, dict[str, PodChild]] = {}
        self._gone_pods = GonePods()
        self._template_of: dict[str, Body] = {}
        self._identity_of: dict[str, str] = {}
        self._by_identity: dict[str, set[str]] = {}
        self._named: dict[str, set[str]] = {}
        self._with_id: dict[str, set[str]] = {}
        self._parents: dict[str, set[str]] = {}
        self._unfinalised: dict[str, dict[str, int]] = {}
        self._on_change: list[OnChange] = []
        self.corejobs.listen(self._index_corejob)
        self.jobs.listen(self._index_job)
        self.pods.listen(self._index_pod)
        self.templates.listen(self._index_template)

    def on_change(self, callback: OnChange) -> None:
        """Call `callback` with the name of a CoreJob whenever it or its children change."""
        self._on_change.append(callback)

    def cache(self, resource: Resource) -> ObjectCache:
        """Return the cache of a kind."""
        return {
            COREJOBS: self.corejobs,
            TEMPLATES: self.templates,
            JOBS: self.jobs,
            PODS: self.pods,
        }[resource]

    def jobs_of(self, corejob: str) -> Iterable[JobChild]:
        """Return the Jobs that have the label of a CoreJob."""
        return self._jobs_of.get(corejob, {}).values()

    def pods_of(self, corejob: str) -> Iterable[PodChild]:
        """Return the pods that have the label of a CoreJob."""
        return self._pods_of.get(corejob, {}).values()

    def gone_pod_of(self, corejob: str) -> PodChild | None:
        """Return the last pod of a CoreJob that had started and is gone; None without one."""
        return self._gone_pods.of(corejob)

    def template(self, qual_name: str) -> dict[str, Any] | None:
        """Return `spec` of the CoreJobTemplate of a qual_name, or None."""
        body = self._template_of.get(qual_name)
        return body["spec"] if body is not None else None

    def template_body(self, qual_name: str) -> Body | None:
        """Return the CoreJobTemplate of a qual_name, or None."""
        return self._template_of.get(qual_name)

    def with_id(self, job_id: str) -> list[Body]:
        """Return the CoreJobs that have this id, by status or by name."""
        return self._bodies(self._with_id.get(job_id, ()))

    def parent_of(self, child_id: str) -> Body | None:
        """Return the CoreJob that the job of this id restarts, or None."""
        return next(iter(self._bodies(self._parents.get(child_id, ()))), None)

    def _bodies(self, names_: Iterable[str]) -> list[Body]:
        return [body for name in names_ if (body := self.corejobs.get(name)) is not None]

    def cookie(self, qual_name: str) -> dict[str, Any]:
        """Return the cookie of a qual_name: the key-value store that all its jobs share.

        Values that can't be decoded or are nested too deeply are left out: recorders of earlier
        versions stored values of any depth.
        """
        body = self._template_of.get(qual_name) or {}
        encoded: dict[str, str] = (body.get("status") or {}).get("cookie") or {}
        cookie = {}
        for key, text in encoded.items():
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if not is_deep(value):
                cookie[key] = value
        return cookie

    def has_cookie(self, qual_name: str) -> bool:
        """True if the cookie of a qual_name has any value."""
        return bool(((self._template_of.get(qual_name) or {}).get("status") or {}).get("cookie"))

    def unfinalised(self, qual_name: str) -> Mapping[str, int]:
        """Return the ended trials of a qual_name whose logs are not stored: CoreJob to trial."""
        return self._unfinalised.get(qual_name, {})

    def unfinalised_trial(self, corejob: str) -> int | None:
        """Return the ended trial of a CoreJob whose log is not stored, or None."""
        body = self.corejobs.get(corejob)
        return model.unfinalised_trial(body) if body is not None else None

    def duplicates_of(self, corejob: str) -> Iterable[Body]:
        """Return the other CoreJobs of the same qual_name and args, in the queue or not."""
        key = self._identity_of.get(corejob, "")
        return self._bodies(self._by_identity.get(key, set()) - {corejob})

    def same_jobs(self, key: str, *, but: str) -> list[CoreJob]:
        """Return the jobs of an identity, in the queue or not, except the CoreJob named `but`."""
        bodies = (self.corejobs.get(name) for name in self._by_identity.get(key, set()) - {but})
        return [self.parse(body) for body in bodies if body is not None]

    # --- indexes ----------------------------------------------------------------------------

    def _changed(self, corejob: str) -> None:
        for callback in self._on_change:
            callback(corejob)

    def _index_corejob(self, name: str, old: Body | None, new: Body | None) -> None:
        # Name and args are immutable, so they are parsed once for each uid: the cache may miss a
        # deletion while a watch is broken, and get another CoreJob of the same name.
        if _uid(old) != _uid(new):
            if old is not None:
                _remove(self._by_identity, self._identity_of.pop(name, ""), name)
                _remove(self._named, old["spec"]["qualName"], name)
            if new is not None:
                spec = new["spec"]
                key = identity(spec["qualName"], args.read(spec))
                self._identity_of[name] = key
                self._by_identity.setdefault(key, set()).add(name)
                self._named.setdefault(spec["qualName"], set()).add(name)
        _move(self._with_id, name, _id(old), _id(new))
        _move(self._parents, name, _child(old), _child(new))
        if old is not None:
            self._unfinalised.get(old["spec"]["qualName"], {}).pop(name, None)
        if new is not None and (ended := model.unfinalised_trial(new)) is not None:
            self._unfinalised.setdefault(new["spec"]["qualName"], {})[name] = ended
        self._gone_pods.tidy(name, new)
        self._changed(name)
        # The job that restarts this one may wait for the end of this one's pods.
        child = _child(new or old)
        if child:
            self._changed(child)

    def _index_job(self, name: str, old: Body | None, new: Body | None) -> None:
        corejob = _owner(new or old)
        before = self._jobs_of.get(corejob, {}).get(name)
        if new is not None:
            child = parse_job(new)
            if child == before:
                return  # nothing that a decision depends on
            self._jobs_of.setdefault(corejob, {})[name] = child
        else:
            _discard(self._jobs_of, corejob, name)
        self._changed(corejob)

    def _index_pod(self, name: str, old: Body | None, new: Body | None) -> None:
        corejob = _owner(new or old)
        before = self._pods_of.get(corejob, {}).get(name)
        if new is not None:
            pod = with_known_owner(parse_pod(new), before)
            if pod == before:
                return  # nothing that a decision depends on
            self._pods_of.setdefault(corejob, {})[name] = pod
        else:
            _discard(self._pods_of, corejob, name)
            if old is not None:
                last = with_known_owner(parse_pod(old), before)
                self._gone_pods.note(corejob, self.corejobs.get(corejob), last)
        self._changed(corejob)
        child = _child(self.corejobs.get(corejob))
        if child:
            self._changed(child)

    def _index_template(self, _name: str, old: Body | None, new: Body | None) -> None:
        if old is not None:
            self._template_of.pop(old["spec"]["qualName"], None)
        if new is not None:
            self._template_of[new["spec"]["qualName"]] = new
        # A new template only matters to jobs that wait for it: a running job keeps its own copy.
        if old is None and new is not None:
            for name in tuple(self._named.get(new["spec"]["qualName"], ())):
                self._changed(name)


def _child(body: Body | None) -> str | None:
    """Return the name (the id) of the CoreJob that restarts this one, or None."""
    body = body or {}
    child_id = (body.get("spec") or {}).get("childId") or (body.get("status") or {}).get("childId")
    return str(child_id) if child_id else None


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
    """Move a name from one key of the index to another; None stands for no key."""
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
