"""Scan a long log, slice by slice, for the records that pass a filter.

No index covers the filters, so every record is checked. The store checks level, time and trial with
one query per slice, so that no query occupies a connection for long; a thread checks the regular
expression.
"""

from array import array
from collections.abc import AsyncIterator, Sequence
from typing import Final

from corejob_api.query.log_filter import LogFilter
from corejob_api.query.scans import Scan
from corejob_journal.store import LogRecord, Store

SLICE: Final = 20_000
"""Record numbers per slice; the store needs a few ms for a slice in which no record passes."""
_READ: Final = 2000
_COUNTED: Final = 10
"""Slices that one query counts."""


class LogMatches:
    """The records that pass a filter: their count, and their numbers in ascending order."""

    def __init__(self, store: Store, scan: Scan, job_id: str, where: LogFilter, last: int) -> None:
        self._store = store
        self._scan = scan
        self._job_id = job_id
        self._where = where
        self._last = last
        self._numbers: array[int] | None = None
        self._counts: dict[int, int] = {}

    @classmethod
    async def of(cls, store: Store, scan: Scan, job_id: str, where: LogFilter) -> "LogMatches":
        """Scan the whole log; with `tail`, scan from its end as far as needed."""
        matches = cls(store, scan, job_id, where, await store.log_count(job_id))
        if where.grep is None and where.tail is None:
            await matches._count()
        else:
            matches._numbers = await matches._collect()
        return matches

    @property
    def total(self) -> int:
        """The number of records that pass."""
        return sum(self._counts.values()) if self._numbers is None else len(self._numbers)

    @property
    def numbers(self) -> Sequence[int] | None:
        """The numbers of all records that pass; None if they are only counted."""
        return self._numbers

    async def cut(self, start: int, stop: int) -> Sequence[int]:
        """Return the record numbers of a page; rescan its slices if only counts are known."""
        if self._numbers is not None:
            return self._numbers[start:stop]
        cut_numbers: list[int] = []
        begin = 0
        for part, count in sorted(self._counts.items()):
            if begin < stop and begin + count > start:
                after = part * SLICE
                numbers = await self._slice(after, min(self._last, after + SLICE))
                cut_numbers += numbers[max(0, start - begin) : stop - begin]
            begin += count
        return cut_numbers

    async def _count(self) -> None:
        """Count the passing records per slice; costs a tenth of fetching their numbers."""
        where, step = self._where, SLICE * _COUNTED
        for after in range(0, self._last, step):
            part = where.within(self._job_id, after, min(self._last, after + step))
            self._counts |= await self._store.log_counts(part, SLICE)

    async def _collect(self) -> "array[int]":
        numbers = array("q")
        if self._where.tail is not None:
            last = self._last
            numbers.extend(
                await last_numbers(self._store, self._scan, self._job_id, self._where, last)
            )
            return numbers
        for after in range(0, self._last, SLICE):
            numbers.extend(await self._slice(after, min(self._last, after + SLICE)))
        return numbers

    async def _slice(self, after: int, last: int) -> list[int]:
        return await _numbers(self._store, self._scan, self._job_id, self._where, after, last)


async def last_numbers(
    store: Store, scan: Scan, job_id: str, where: LogFilter, last: int
) -> list[int]:
    """Return the numbers of the last `where.tail` passing records up to `last`, ascending."""
    slices: list[list[int]] = []
    missing = where.tail or 0
    while missing > 0 and last > 0:
        after = max(0, last - SLICE)
        if not where.chooses:
            after = max(after, last - missing)
        slices.append(await _numbers(store, scan, job_id, where, after, last))
        missing -= len(slices[-1])
        last = after
    return where.newest([number for numbers in reversed(slices) for number in numbers])


async def first_numbers(
    store: Store,
    scan: Scan,
    job_id: str,
    where: LogFilter,
    *,
    after: int,
    last: int,
    limit: int,
) -> list[int]:
    """Return the numbers of the first `limit` passing records after `after` up to `last`.

    `where.tail` is ignored.
    """
    if not where.chooses:
        return list(range(after + 1, min(last, after + limit) + 1))
    numbers: list[int] = []
    while len(numbers) < limit and after < last:
        stop = min(last, after + SLICE)
        numbers += await _numbers(store, scan, job_id, where, after, stop)
        after = stop
    return numbers[:limit]


async def passing(
    store: Store, scan: Scan, job_id: str, where: LogFilter
) -> AsyncIterator[list[LogRecord]]:
    """Yield all records that pass (`tail` is ignored), oldest first, in batches."""
    last = await store.log_count(job_id)
    for start in range(0, last, SLICE):
        after, stop = start, min(last, start + SLICE)
        while part := await store.log_scan(where.within(job_id, after, stop), _READ):
            # The store has checked all but the expression.
            yield part if where.grep is None else await scan.keep(where.passes, part)
            after = part[-1].seq


async def _numbers(
    store: Store, scan: Scan, job_id: str, where: LogFilter, after: int, last: int
) -> list[int]:
    if where.grep is None:
        return await store.log_numbers(where.within(job_id, after, last))
    numbers: list[int] = []
    while part := await store.log_texts(where.within(job_id, after, last), _READ):
        matching = await scan.keep(lambda text: where.finds(text[1], text[2]), part)
        numbers += [seq for seq, _, _ in matching]
        after = part[-1][0]
    return numbers
