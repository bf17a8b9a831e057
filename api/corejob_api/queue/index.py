"""The API's view of the queue: every CoreJob of the cache, parsed once, indexed by name and id."""

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from sortedcontainers import SortedDict

from corejob import document, model
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.state import FINAL
from corejob.state_counts import StateCounts
from corejob_api.query.ordering import Row
from corejob_api.queue.catalogue import Catalogue
from corejob_kube.cache import Body, ObjectCache

Watcher = Callable[[CoreJob], None]
"""Called with each new version of a job."""

_timed: Final = document.part_of(document.TIMED)


class QueueEntry:
    """One version of a job, with the parts of its document that were read already.

    A new version is a new entry, so that a thread which reads entries sees one state of the queue.

    Attributes:
        job: The job.
        qual_name: Its qual_name, the same object for all of that name: quick to compare.
        identity: Fingerprint of qual_name and args (`corejob.identity`).
        ended_at: Monotonic time, in seconds, at which the job was first seen in a final state after
            another one; None if there was no such time.
    """

    __slots__ = ("_known", "ended_at", "identity", "job", "qual_name")

    def __init__(self, job: CoreJob, fingerprint: str, ended_at: float | None = None) -> None:
        self.job = job
        self.qual_name = sys.intern(job.qual_name)
        self.identity = fingerprint
        self.ended_at = ended_at
        self._known: Row = {}

    def row(self, now: datetime) -> Row:
        """Return the document. Callers must not modify it, since its parts are shared."""
        if len(self._known) < len(document.NAMES):
            self._known = document.document(self.job, now)
        return {**self._known, **_timed(self.job, now)}

    def part(self, names: frozenset[str], now: datetime) -> Row:
        """Return some fields of the document, or more. Callers must not modify it.

        Args:
            names: Names of the fields; none of `document.TIMED`, which are as old as the entry.
            now: Present time.
        """
        known = self._known
        if not names <= known.keys():
            # A new one, since another thread may read the old one.
            self._known = known = {**known, **document.part_of(names)(self.job, now)}
        return known


class Queue:
    """Jobs of the cache; updated by its listener, so never older than the cache.

    Attributes:
        state_counts: Number of jobs in the queue by state.
    """

    def __init__(
        self,
        cache: ObjectCache,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state_counts = StateCounts()
        self._cache = cache
        self._clock = clock
        self._catalogue = catalogue
        self._entries: dict[str, QueueEntry] = {}
        self._names: dict[str, str] = {}
        self._younger: dict[str, dict[str, CoreJob]] = {}
        self._queued: SortedDict[str, QueueEntry] = SortedDict()
        self._listed: list[QueueEntry] | None = None
        self._identities: dict[str, set[str]] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        cache.listen(self._changed)
        catalogue.listen(self._template_changed)

    def parse(self, body: Body) -> CoreJob:
        """Parse a CoreJob.

        A job that the operator hasn't reconciled yet gets the properties of its template here.
        """
        template = self._catalogue.get((body.get("spec") or {}).get("qualName", ""))
        return model.parse(body, None if template is None else template.properties)

    def put(self, body: Body) -> CoreJob:
        """Store the API server's answer to a write, so that the next request reads it."""
        self._cache.put(body)
        meta = body["metadata"]
        entry = self._entries.get(self._names.get(meta["name"], ""))
        if entry is not None and entry.job.resource_version == meta["resourceVersion"]:
            return entry.job
        return self.parse(body)

    def forget(self, job: CoreJob) -> None:
        """Remove a job that a fresh read has found deleted."""
        self._cache.forget(job.name)

    def get(self, job_id: str) -> QueueEntry | None:
        """Return the CoreJob with an id, even if it has left the queue, or None."""
        return self._entries.get(job_id)

    def queued(self, start: int = 0, stop: int | None = None) -> list[QueueEntry]:
        """Return the jobs in the queue, in the order of their ids: oldest first.

        Args:
            start: Position of the first one.
            stop: Position after the last one; None: to the end.
        """
        if self._listed is None and stop is None:
            self._listed = [*self._queued.values()]
        if self._listed is not None:
            return self._listed[start:stop]
        return [self._queued[job_id] for job_id in self._queued.islice(start, stop)]

    def __len__(self) -> int:
        return len(self._queued)

    def duplicate_of(self, fingerprint: str) -> str | None:
        """Return the id of a job in the queue with this identity, or None."""
        for job_id in self._identities.get(fingerprint, ()):
            if job_id in self._queued:
                return job_id
        return None

    def watch(self, job_id: str, watcher: Watcher) -> None:
        """Call `watcher` with each new version of a job, from now on and in order."""
        self._watchers.setdefault(job_id, []).append(watcher)

    def unwatch(self, job_id: str, watcher: Watcher) -> None:
        """Stop calling `watcher` for a job."""
        left = self._watchers.get(job_id, [])
        left.remove(watcher)
        if not left:
            self._watchers.pop(job_id, None)

    def _changed(self, name: str, _old: Body | None, new: Body | None) -> None:
        shown_id = self._names.get(name)
        job = None if new is None else self.parse(new)
        if shown_id is not None and (job is None or shown_id != job.id):
            self._leave(name, shown_id)
        if job is None:
            return
        self._names[name] = job.id
        entry = self._entries.get(job.id)
        if entry is not None and entry.job.name != name:
            # A second CoreJob with the same id, until the operator refuses it: show the older one.
            younger = self._younger.setdefault(job.id, {})
            if _rank(job) >= _rank(entry.job):
                younger[name] = job
                return
            younger.pop(name, None)
            younger[entry.job.name] = entry.job
        if entry is not None and entry.job.uid != job.uid:
            self._hide(job.id)
        self._show(job)

    def _show(self, job: CoreJob) -> None:
        self._listed = None
        entry = self._entries[job.id] = self._entry(job)
        if job.in_queue:
            self._queued[job.id] = entry
        else:
            self._queued.pop(job.id, None)
        self.state_counts.put(job.id, job)
        self._notify(job)

    def _entry(self, job: CoreJob) -> QueueEntry:
        old = self._entries.get(job.id)
        if old is None:
            entry = QueueEntry(job, identity(job.qual_name, job.args))
            self._identities.setdefault(entry.identity, set()).add(job.id)
            return entry
        has_ended = job.state in FINAL and old.job.state not in FINAL
        # Name and args of a CoreJob never change, so its identity doesn't either.
        return QueueEntry(job, old.identity, self._clock() if has_ended else old.ended_at)

    def _template_changed(self, qual_name: str) -> None:
        waiting = [
            entry.job.name
            for entry in self._queued.values()
            if not entry.job.observed and entry.job.qual_name == qual_name
        ]
        for name in waiting:
            self._changed(name, None, self._cache.get(name))

    def _leave(self, name: str, job_id: str) -> None:
        """Handle a CoreJob that is deleted or has a new id; show the next one with its old id."""
        del self._names[name]
        younger = self._younger.get(job_id, {})
        if younger.pop(name, None) is None:
            entry = self._hide(job_id)
            if younger:
                successor = min(younger.values(), key=_rank)
                del younger[successor.name]
                self._show(successor)
            elif entry is not None:
                self._notify(entry.job)
        if not younger:
            self._younger.pop(job_id, None)

    def _hide(self, job_id: str) -> QueueEntry | None:
        self._listed = None
        self._queued.pop(job_id, None)
        self.state_counts.drop(job_id)
        entry = self._entries.pop(job_id, None)
        if entry is None:
            return None
        equal = self._identities[entry.identity]
        equal.discard(job_id)
        if not equal:
            del self._identities[entry.identity]
        return entry

    def _notify(self, job: CoreJob) -> None:
        for watcher in tuple(self._watchers.get(job.id, ())):
            watcher(job)


def _rank(job: CoreJob) -> tuple[bool, datetime, str]:
    """Return the operator's sort key: jobs that it has reconciled first, then the older ones."""
    return not job.observed, job.created, job.uid
