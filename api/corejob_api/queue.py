"""The queue as the API sees it: every CoreJob of the cache, parsed once, by name and by id."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from corejob import document, model
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.state import State
from corejob.tally import Tally
from corejob_api.catalogue import Catalogue
from corejob_api.query.ordering import Row
from corejob_kube.cache import Body, ObjectCache

Watcher = Callable[[CoreJob], None]
"""Called with each new version of a job."""
UNAUTHORIZED: Final = "UnauthorizedJob"


@dataclass(slots=True)
class Entry:
    """A job, and its document as it was rendered last.

    Attributes:
        identity: Of its qual_name and args (`corejob.identity`).
    """

    job: CoreJob
    identity: str
    rendered: Row | None = field(default=None)

    def row(self, now: datetime) -> Row:
        """The document. Never change what is in it: its parts are shared."""
        job = self.job
        if job.status.state is State.RUNNING:
            return document.document(job, now)
        if self.rendered is None:
            self.rendered = document.document(job, now)
        return {**self.rendered, "age": max(0.0, (now - job.enqueued_at).total_seconds())}


class Queue:
    """Kept up by the cache's listener, so that it is never older than the cache.

    Attributes:
        tally: How many jobs are in the queue, by state.
    """

    def __init__(self, cache: ObjectCache, catalogue: Catalogue) -> None:
        self.tally = Tally()
        self._cache = cache
        self._catalogue = catalogue
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        self._younger: dict[str, dict[str, CoreJob]] = {}
        self._queued: dict[str, Entry] = {}
        self._identities: dict[str, set[str]] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        cache.listen(self._changed)
        catalogue.listen(self._template_changed)

    def parse(self, body: Body) -> CoreJob:
        """A CoreJob as a value.

        One that the operator has not seen yet has the properties of its template all the same.
        """
        template = self._catalogue.get((body.get("spec") or {}).get("qualName", ""))
        return model.parse(body, None if template is None else template.properties)

    def put(self, body: Body) -> CoreJob:
        """Take in what the API server answered to a write, so that the next request sees it."""
        self._cache.put(body)
        return self.parse(body)

    def forget(self, job: CoreJob) -> None:
        """Take out a job of which a read of this moment found that it is gone."""
        self._cache.forget(job.name)

    def get(self, job_id: str) -> Entry | None:
        """The job of that id, in the queue or past; None if there is no such resource."""
        return self._entries.get(job_id)

    def queued(self) -> Iterator[Entry]:
        """The jobs in the queue, oldest first."""
        return iter([self._queued[job_id] for job_id in sorted(self._queued)])

    def __len__(self) -> int:
        return len(self._queued)

    def twin(self, fingerprint: str) -> str | None:
        """Id of a job in the queue of that identity; None if there is none."""
        for job_id in self._identities.get(fingerprint, ()):
            if job_id in self._queued:
                return job_id
        return None

    def watch(self, job_id: str, watcher: Watcher) -> None:
        """Call `watcher` with each new version of a job, from now on and in order."""
        self._watchers.setdefault(job_id, []).append(watcher)

    def unwatch(self, job_id: str, watcher: Watcher) -> None:
        """Call it no more."""
        left = self._watchers.get(job_id, [])
        left.remove(watcher)
        if not left:
            self._watchers.pop(job_id, None)

    def _changed(self, name: str, _old: Body | None, new: Body | None) -> None:
        known = self._names.get(name)
        job = None if new is None else self.parse(new)
        if known is not None and (job is None or known != job.id):
            self._leave(name, known)
        if job is None:
            return
        self._names[name] = job.id
        entry = self._entries.get(job.id)
        if entry is not None and entry.job.name != name:
            # Another CoreJob of that id, until the operator refuses it: the older one is shown.
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
        entry = self._entries.get(job.id)
        if entry is None:
            entry = Entry(job, identity(job.qual_name, job.args))
            self._entries[job.id] = entry
            self._identities.setdefault(entry.identity, set()).add(job.id)
        entry.job, entry.rendered = job, None
        if job.in_queue:
            self._queued[job.id] = entry
        else:
            self._queued.pop(job.id, None)
        self.tally.put(job.id, job)
        self._tell(job)

    def _template_changed(self, qual_name: str) -> None:
        waiting = [
            entry.job.name
            for entry in self._queued.values()
            if not entry.job.observed and entry.job.qual_name == qual_name
        ]
        for name in waiting:
            self._changed(name, None, self._cache.get(name))

    def _leave(self, name: str, job_id: str) -> None:
        """A CoreJob is gone, or has another id; show the next of those that have its id."""
        del self._names[name]
        younger = self._younger.get(job_id, {})
        if younger.pop(name, None) is None:
            entry = self._hide(job_id)
            if younger:
                heir = min(younger.values(), key=_rank)
                del younger[heir.name]
                self._show(heir)
            elif entry is not None:
                self._tell(entry.job)
        if not younger:
            self._younger.pop(job_id, None)

    def _hide(self, job_id: str) -> Entry | None:
        self._queued.pop(job_id, None)
        self.tally.drop(job_id)
        entry = self._entries.pop(job_id, None)
        if entry is None:
            return None
        same = self._identities[entry.identity]
        same.discard(job_id)
        if not same:
            del self._identities[entry.identity]
        return entry

    def _tell(self, job: CoreJob) -> None:
        for watcher in tuple(self._watchers.get(job.id, ())):
            watcher(job)


def _rank(job: CoreJob) -> tuple[bool, datetime, str]:
    """Sorts as the operator does: those that it has seen first, then the older ones."""
    return not job.observed, job.created, job.uid


def mask(row: Row) -> Row:
    """A row that the user may not read: its place, its state and its times, and nothing it says."""
    hidden: dict[str, Any] = {"qual_name": UNAUTHORIZED, "name": UNAUTHORIZED, "args": None}
    silent: dict[str, Any] = {"message": None, "last_error": None, "sources": []}
    silent["sources_dropped"] = 0
    progress = {"value": row["prog"]["value"], "message": None}
    return {**row, **hidden, **silent, "prog": progress}


class Masking:
    """Hides the rows that a user may not read; asks once for each qual_name."""

    def __init__(self, may_read: Callable[[str], bool]) -> None:
        self._may_read = may_read
        self._answers: dict[str, bool] = {}

    def row(self, entry: Entry, now: datetime) -> Row:
        """The row as the user gets to see it."""
        name = entry.job.qual_name
        allowed = self._answers.get(name)
        if allowed is None:
            allowed = self._answers[name] = self._may_read(name)
        row = entry.row(now)
        return row if allowed else mask(row)

    def rows(self, entries: Iterable[Entry], now: datetime) -> Iterator[Row]:
        """All of them."""
        return (self.row(entry, now) for entry in entries)
