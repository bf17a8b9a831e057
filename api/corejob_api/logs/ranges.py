"""Ranges of a log by record number: `from`, `before` and `around`, with `limit`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request, cut
from corejob_api.http.paging import MOST_PER_PAGE
from corejob_api.logs.printed import Span
from corejob_api.query import log_scan
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import END
from corejob_api.query.scans import Scan
from corejob_journal.store import Store

LIMIT: Final = "limit"
DEFAULT_LIMIT: Final = 100
_EXCLUDED: Final = ("page", "per_page", "sort", "order", "filter", "tail")


class Anchor(StrEnum):
    """The argument that gives the place of a range."""

    FROM = "from"
    BEFORE = "before"
    AROUND = "around"


@dataclass(frozen=True, slots=True)
class LogRange:
    """A range of the records that pass the filters.

    Attributes:
        anchor: Records from `number` on, before it, or half before it and the rest from it on.
        number: Record number, from 1.
        limit: Maximum number of records.
    """

    anchor: Anchor
    number: int
    limit: int

    @classmethod
    def of(cls, arguments: Arguments) -> Self | None:
        """Return the range that the arguments describe; None if they ask for a page.

        Raises:
            ApiError: 400, an argument is bad, or excluded by another one.
        """
        given = [anchor for anchor in Anchor if arguments.raw(anchor) is not None]
        if not given:
            if arguments.raw(LIMIT) is not None:
                raise bad_request(
                    f"parameter [{LIMIT}] needs one of {', '.join(Anchor)}; "
                    "the rows of a page are per_page"
                )
            return None
        anchor, *others = given
        excluded = [*others, *(name for name in _EXCLUDED if arguments.raw(name) is not None)]
        if excluded:
            raise bad_request(f"parameter [{anchor}] excludes [{excluded[0]}]")
        return cls(
            anchor,
            _at_least_one(arguments, anchor, 1),
            _at_least_one(arguments, LIMIT, DEFAULT_LIMIT, most=MOST_PER_PAGE),
        )

    async def numbers(
        self, store: Store, scan: Scan, job_id: str, where: LogFilter, last: int
    ) -> tuple[list[int], Span]:
        """Return the numbers of the range's records, ascending, and the part that it covers.

        Args:
            store: The store.
            scan: Runs the expression of the filter.
            job_id: The job.
            where: The filters of the log.
            last: Number of records of the log.
        """
        number = min(self.number, last + 1)
        before: list[int] = []
        begin = number if number > 1 else 0
        if self.anchor is not Anchor.FROM:
            wanted = self.limit if self.anchor is Anchor.BEFORE else self.limit // 2
            newest = where.with_tail(wanted)
            before = await log_scan.last_numbers(store, scan, job_id, newest, number - 1)
            begin = before[0] if len(before) == wanted > 0 else 0
        if self.anchor is Anchor.BEFORE:
            return before, Span(begin, number - 1)
        limit = self.limit - len(before)
        later = await log_scan.first_numbers(
            store, scan, job_id, where, after=number - 1, last=last, limit=limit + 1
        )
        end = later[limit] - 1 if len(later) > limit else END
        return before + later[:limit], Span(begin, end)


def _at_least_one(arguments: Arguments, name: str, default: int, *, most: int | None = None) -> int:
    value = arguments.integer(name, default)
    if value < 1:
        raise bad_request(f"parameter [{name}] must be at least 1, got [{cut(str(value), 40)}]")
    if most is not None and value > most:
        raise bad_request(f"parameter [{name}] must be at most {most}, got [{cut(str(value), 40)}]")
    return value
