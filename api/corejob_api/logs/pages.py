"""Read the pages of a log: record numbers first, then the records of the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from corejob_api.http.errors import bad_request
from corejob_api.http.paging import PageRequest, Window
from corejob_api.logs.printed import MOST_TEXT, NONE, Span
from corejob_api.query import log_rows, log_scan
from corejob_api.query.log_filter import EVERYTHING, LogFilter
from corejob_api.query.log_rows import END
from corejob_api.query.ordering import Keys, Row, Sort, in_order
from corejob_api.query.scans import Scan
from corejob_api.query.selection import BY_ID, Selection
from corejob_journal.store import LogRecord, Store

_NEWEST_FIRST: Final[Sort] = (("_id", -1),)
_PIECE: Final = 100
"""Number of records per query."""
_BY_NUMBER: Final = frozenset({BY_ID, _NEWEST_FIRST})


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of a log.

    Attributes:
        numbers: Numbers of the page's records, in the order of the page.
        window: Position of the page.
        span: The part of the log that the page covers; None if its order is not that of the log.
        passing: Numbers of all records that pass, if a filter or `tail` chose them; else None.
    """

    numbers: Sequence[int]
    window: Window
    span: Span | None
    passing: Sequence[int] | None = None


async def page_of(
    store: Store,
    scan: Scan,
    job_id: str,
    page: PageRequest,
    selection: Selection,
    where: LogFilter,
) -> LogPage:
    """Return the record numbers of a page.

    Args:
        store: The store.
        scan: Runs filters and sorts of the user.
        job_id: The job.
        page: The page.
        selection: `filter` and `sort`.
        where: The filters of the log.
    """
    if selection.predicate is not None or selection.sort not in _BY_NUMBER:
        numbers = await _select(store, scan, job_id, selection, where)
        window = page.window(len(numbers))
        return LogPage(window.cut(numbers), window, None, numbers)
    descending = is_descending(selection)
    if where == EVERYTHING:
        window = page.window(await store.log_count(job_id))
        # Numbers have no gaps, and count from the oldest record: the log may grow meanwhile.
        start, stop = _from_oldest(window) if descending else (window.start, window.stop)
        ascending: Sequence[int] = range(start + 1, stop + 1)
        span = Span(start + 1 if start else 0, stop if stop < window.total else END)
        return LogPage(
            ascending[::-1] if descending else ascending,
            window,
            span if _has_place(window) else NONE,
        )
    matches = await log_scan.LogMatches.of(store, scan, job_id, where)
    window = page.window(matches.total)
    start, stop = _from_oldest(window) if descending else (window.start, window.stop)
    cut = await matches.cut(start, stop + 1)
    ascending, following = cut[: stop - start], cut[stop - start :]
    # Lines printed before the records of a tail are left out, as the records before them are.
    first = 0 if start == 0 and where.tail is None else next(iter(ascending), END)
    span = Span(first, following[0] - 1 if following else END)
    return LogPage(
        ascending[::-1] if descending else ascending,
        window,
        span if _has_place(window) else NONE,
        matches.numbers,
    )


def _has_place(window: Window) -> bool:
    """Return False for a page beyond the last one; without any record, the first page is one."""
    return window.start < window.stop or (window.total == 0 and window.page == 0)


def is_descending(selection: Selection) -> bool:
    """Return True if the newest records come first."""
    return selection.sort == _NEWEST_FIRST


def _from_oldest(window: Window) -> tuple[int, int]:
    return window.total - window.stop, window.total - window.start


async def _select(
    store: Store, scan: Scan, job_id: str, selection: Selection, where: LogFilter
) -> list[int]:
    """Return the numbers of the matching records, in order; other records are not kept."""
    selected = selection.selected()
    numbers_with_keys: list[tuple[int, Keys]] = []
    async for part in log_scan.passing(store, scan, job_id, where):
        sort_keys = await scan.map(lambda record: selected(log_rows.row(record)), part)
        numbers_with_keys += [
            (record.seq, keys)
            for record, keys in zip(part, sort_keys, strict=True)
            if keys is not None
        ]
    newest = where.newest(numbers_with_keys)
    return await scan.call(lambda: in_order(newest, selection.sort))


async def rows_of(store: Store, job_id: str, numbers: Sequence[int]) -> list[Row]:
    """Return the records with these numbers as JSON objects, in this order.

    Raises:
        ApiError: 400, the records' messages exceed `MOST_TEXT` characters.
    """
    rows = _Rows()
    for start in range(0, len(numbers), _PIECE):
        rows.add(await _read(store, job_id, numbers[start : start + _PIECE]))
    return rows.rows


async def _read(store: Store, job_id: str, numbers: Sequence[int]) -> list[LogRecord]:
    """Read records; a run of successive numbers is one short range of the table."""
    first, last = min(numbers), max(numbers)
    if last - first + 1 > len(numbers):
        return await store.log_rows(job_id, numbers)
    records = await store.log_page(job_id, offset=first - 1, limit=len(numbers))
    return records if numbers[0] == first else records[::-1]


class _Rows:
    """Rows of a page that have been read so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._size = 0

    def add(self, records: Iterable[LogRecord]) -> None:
        """Add records to the page.

        Raises:
            ApiError: 400, the page's messages exceed `MOST_TEXT` characters.
        """
        for record in records:
            self._size += len(record.message)
            self.rows.append(log_rows.row(record))
        if self._size > MOST_TEXT and len(self.rows) > 1:
            raise bad_request(
                f"the records of this page have more than {MOST_TEXT} characters: "
                "ask for fewer by parameter [per_page]"
            )
