"""Filter, search and sort the queue as one user sees it.

Thousands of jobs wait, so only the fields that a selection reads are made of each, and whole rows
only of those that a page shows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import methodcaller

from corejob import document
from corejob_api.http.paging import PageRequest, Window
from corejob_api.query.ordering import Row, Sort
from corejob_api.query.patterns import Search
from corejob_api.query.scans import Scan
from corejob_api.query.selection import Selection
from corejob_api.queue.index import Queue, QueueEntry
from corejob_api.queue.masking import Masking, mask


@dataclass(frozen=True, slots=True)
class QueueListing:
    """A listing of the queue.

    Attributes:
        selection: Filter and order.
        search: Search in the qual_names; None: all jobs.
        masking: What the user may read.
        now: Present time.
    """

    selection: Selection
    search: Search | None
    masking: Masking
    now: datetime

    async def page(
        self, queue: Queue, page: PageRequest, scan: Scan
    ) -> tuple[list[QueueEntry], Window]:
        """Return the jobs of a page, and its position."""
        sort, is_reversed = _beyond_ids(self.selection.sort)
        if self.search is None and self.selection.predicate is None and not sort:
            # The most frequent request by far: the queue is in this order, or in its reverse.
            return _slice(queue, page, is_reversed=is_reversed)
        entries = queue.queued()
        if self.search is not None:
            entries = await self._searched(self.search, entries, scan)
        if self.selection.predicate is not None or sort:
            selection = replace(self.selection, sort=sort)
            part_of = self._part_of(selection.fields, entries)
            entries = await selection.apply(entries, scan, part_of)
        if is_reversed:
            entries.reverse()
        window = page.window(len(entries))
        return entries[window.start : window.stop], window

    def _part_of(
        self, fields: frozenset[str], entries: Iterable[QueueEntry]
    ) -> Callable[[QueueEntry], Row]:
        """Return a function that renders these fields of one of these jobs, as the user sees them.

        They are masked before the filter reads them, so that a filter can't probe what its user may
        not read.
        """
        render = _renderer(fields & document.NAMES, self.now)
        names = {entry.qual_name for entry in entries}
        readable = {*filter(self.masking.may_read, names)}
        if readable == names:
            return render
        return lambda entry: render(entry) if entry.qual_name in readable else mask(render(entry))

    async def _searched(
        self, search: Search, entries: list[QueueEntry], scan: Scan
    ) -> list[QueueEntry]:
        """Return the entries with a match in the qual_name that the user sees, each tested once."""
        names = list({entry.qual_name for entry in entries})
        found = {*await scan.keep(lambda name: search(self.masking.name(name)), names)}
        return [entry for entry in entries if entry.qual_name in found]


def _renderer(names: frozenset[str], now: datetime) -> Callable[[QueueEntry], Row]:
    """Return a function that renders these fields of a job; an entry keeps those it can."""
    if names.isdisjoint(document.TIMED):
        return methodcaller("part", names, now)
    part = document.part_of(names)
    return lambda entry: part(entry.job, now)


def _slice(
    queue: Queue, page: PageRequest, *, is_reversed: bool
) -> tuple[list[QueueEntry], Window]:
    window = page.window(len(queue))
    if not is_reversed:
        return queue.queued(window.start, window.stop), window
    entries = queue.queued(window.total - window.stop, window.total - window.start)
    entries.reverse()
    return entries, window


def _beyond_ids(sort: Sort) -> tuple[Sort, bool]:
    """Return how to sort jobs that are in the order of their ids, and True to reverse them then.

    An id is unique: what follows it in a sort has no effect. As a sort is stable, an id at its end
    has none either.
    """
    if sort and sort[0][0] == "_id":
        return (), sort[0][1] < 0
    if sort and sort[-1] == ("_id", 1):
        return sort[:-1], False
    return sort, False
