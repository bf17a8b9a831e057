"""Looking through a long log for the records that pass a filter, a slice at a time.

No index knows which records pass, so each has to be looked at. The store does it for level and
time, a slice a query, so that none keeps a connection for long; a regular expression is tried by a
thread.
"""

from array import array
from collections.abc import AsyncIterator, Sequence
from typing import Final

from corejob_api.query.logfilter import LogFilter
from corejob_api.query.scans import Scan
from corejob_journal.store import LogRecord, Store

SLICE: Final = 20_000
"""Numbers of a slice: some ms for the store, if none of them pass."""
_READ: Final = 2000
_COUNTED: Final = 10
"""Slices that are counted at once."""


class Found:
    """The records that pass: how many there are, and their numbers, ascending."""

    def __init__(self, store: Store, scan: Scan, job_id: str, where: LogFilter, last: int) -> None:
        self._store = store
        self._scan = scan
        self._job_id = job_id
        self._where = where
        self._last = last
        self._numbers: array[int] | None = None
        self._counts: dict[int, int] = {}

    @classmethod
    async def of(cls, store: Store, scan: Scan, job_id: str, where: LogFilter) -> "Found":
        """Look at the whole log; with `tail`, from its end as far as needed."""
        found = cls(store, scan, job_id, where, await store.log_count(job_id))
        if where.grep is None and where.tail is None:
            await found._count()
        else:
            found._numbers = await found._collect()
        return found

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self._counts.values()) if self._numbers is None else len(self._numbers)

    async def cut(self, start: int, stop: int) -> Sequence[int]:
        """The numbers of a page: of those that are only counted, its slices are looked at again."""
        if self._numbers is not None:
            return self._numbers[start:stop]
        found: list[int] = []
        begin = 0
        for part, count in sorted(self._counts.items()):
            if begin < stop and begin + count > start:
                after = part * SLICE
                numbers = await self._slice(after, min(self._last, after + SLICE))
                found += numbers[max(0, start - begin) : stop - begin]
            begin += count
        return found

    async def _count(self) -> None:
        """Counting alone costs a tenth of fetching the numbers."""
        where, step = self._where, SLICE * _COUNTED
        for after in range(0, self._last, step):
            self._counts |= await self._store.log_tally(
                self._job_id,
                after=after,
                last=min(self._last, after + step),
                level=where.level,
                since=where.since,
                part=SLICE,
            )

    async def _collect(self) -> "array[int]":
        found = array("q")
        if self._where.tail is not None:
            last = self._last
            found.extend(
                await last_numbers(self._store, self._scan, self._job_id, self._where, last)
            )
            return found
        for after in range(0, self._last, SLICE):
            found.extend(await self._slice(after, min(self._last, after + SLICE)))
        return found

    async def _slice(self, after: int, last: int) -> list[int]:
        return await _numbers(self._store, self._scan, self._job_id, self._where, after, last)


async def last_numbers(
    store: Store, scan: Scan, job_id: str, where: LogFilter, last: int
) -> list[int]:
    """Numbers of the last `where.tail` records up to number `last` that pass, ascending."""
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


async def passing(
    store: Store, scan: Scan, job_id: str, where: LogFilter
) -> AsyncIterator[list[LogRecord]]:
    """All records that pass but for `tail`, oldest first, some at a time."""
    last = await store.log_count(job_id)
    for start in range(0, last, SLICE):
        after, stop = start, min(last, start + SLICE)
        while part := await store.log_scan(
            job_id, after=after, last=stop, level=where.level, since=where.since, limit=_READ
        ):
            # Level and time are the store's to check; the expression is ours.
            yield part if where.grep is None else await scan.keep(where.passes, part)
            after = part[-1].seq


async def _numbers(
    store: Store, scan: Scan, job_id: str, where: LogFilter, after: int, last: int
) -> list[int]:
    if where.grep is None:
        return await store.log_numbers(
            job_id, after=after, last=last, level=where.level, since=where.since
        )
    found: list[int] = []
    while part := await store.log_texts(
        job_id, after=after, last=last, level=where.level, since=where.since, limit=_READ
    ):
        passed = await scan.keep(lambda text: where.finds(text[1], text[2]), part)
        found += [seq for seq, _, _ in passed]
        after = part[-1][0]
    return found
