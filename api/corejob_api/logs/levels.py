"""Count the records of a log by level."""

from collections.abc import Sequence

from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import LEVELS, level
from corejob_api.query.log_scan import SLICE, LogMatches
from corejob_api.query.scans import Scan
from corejob_journal.store import Store

_AT_ONCE = 10 * SLICE
"""Record numbers whose levels one query counts."""


async def counts(
    store: Store, scan: Scan, job_id: str, where: LogFilter, passing: Sequence[int] | None
) -> dict[str, int]:
    """Return the number of passing records of each level; all five levels are present.

    Args:
        store: The store.
        scan: Runs the expression of the filter.
        job_id: The job.
        where: The filters of the log.
        passing: Numbers of the passing records, if they are known already; else None.
    """
    result = dict.fromkeys(LEVELS, 0)
    if passing is None and (where.grep is not None or where.tail is not None):
        passing = (await LogMatches.of(store, scan, job_id, where)).numbers
    last = await store.log_count(job_id)
    if passing is None:
        for after in range(0, last, _AT_ONCE):
            part = where.within(job_id, after, min(last, after + _AT_ONCE))
            _add(result, await store.log_levels(part))
        return result
    ascending = sorted(passing)
    for start in range(0, len(ascending), SLICE):
        _add(result, await store.levels_of(job_id, ascending[start : start + SLICE]))
    return result


def _add(result: dict[str, int], found: dict[int, int]) -> None:
    for levelno, number in found.items():
        result[level(levelno)] += number
