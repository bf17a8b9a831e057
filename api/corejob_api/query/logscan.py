"""Looking through a long log for the records that pass a filter, a slice at a time.

No index knows which records pass, so each has to be looked at. The store does it for level and
time, a slice a query, so that none keeps a connection for long; a regular expression is tried here,
and other requests get their turns meanwhile.
"""

from array import array
from collections.abc import AsyncIterator
from typing import Final

from corejob_api.query.logfilter import LogFilter
from corejob_api.query.selection import Turns
from corejob_journal.store import LogRecord, Store

SLICE: Final = 20_000
"""Numbers of a slice: some ms for the store, if none of them pass."""
_READ: Final = 2000


async def all_numbers(store: Store, job_id: str, where: LogFilter) -> "array[int]":
    """Numbers of all records that pass, ascending; with `tail`, of the last of them."""
    last = await store.log_count(job_id)
    found = array("q")
    if where.tail is not None:
        found.extend(await last_numbers(store, job_id, where, last))
        return found
    for after in range(0, last, SLICE):
        found.extend(await _numbers(store, job_id, where, after, min(last, after + SLICE)))
    return found


async def last_numbers(store: Store, job_id: str, where: LogFilter, last: int) -> list[int]:
    """Numbers of the last `where.tail` records up to number `last` that pass, ascending."""
    slices: list[list[int]] = []
    missing = where.tail or 0
    while missing > 0 and last > 0:
        after = max(0, last - SLICE)
        if not where.chooses:
            after = max(after, last - missing)
        slices.append(await _numbers(store, job_id, where, after, last))
        missing -= len(slices[-1])
        last = after
    return where.newest([number for numbers in reversed(slices) for number in numbers])


async def passing(store: Store, job_id: str, where: LogFilter) -> AsyncIterator[LogRecord]:
    """All records that pass but for `tail`, oldest first."""
    last = await store.log_count(job_id)
    for start in range(0, last, SLICE):
        after, stop = start, min(last, start + SLICE)
        while part := await store.log_scan(
            job_id, after=after, last=stop, level=where.level, since=where.since, limit=_READ
        ):
            for record in part:
                if where.passes(record):
                    yield record
            after = part[-1].seq


async def _numbers(store: Store, job_id: str, where: LogFilter, after: int, last: int) -> list[int]:
    if where.grep is None:
        return await store.log_numbers(
            job_id, after=after, last=last, level=where.level, since=where.since
        )
    turns = Turns()
    found: list[int] = []
    while part := await store.log_texts(
        job_id, after=after, last=last, level=where.level, since=where.since, limit=_READ
    ):
        for seq, message, exception in part:
            if where.finds(message, exception):
                found.append(seq)
            await turns.give_way()
        after = part[-1][0]
    return found
