"""Printed lines of a job among the records of a page, each after the record before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from corejob_api.http.errors import bad_request
from corejob_api.query import log_rows
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import END
from corejob_api.query.ordering import Row
from corejob_api.query.scans import Scan
from corejob_journal.store import OutputLine, Store

OUTPUT: Final = "output"
_READ: Final = 1000
_MOST_LINES: Final = 50_000
MOST_TEXT: Final = 32 * 2**20
"""Maximum characters of a page's records, and of its printed lines: they are in memory several
times over."""


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a log that a page covers: what was printed after these records belongs to it.

    Attributes:
        first: Number of the first record; 0 includes what was printed before the first record.
        last: Number of the last record.
    """

    first: int
    last: int


NONE: Final = Span(END, END)
"""A span that nothing belongs to."""


async def lines_of(
    store: Store, scan: Scan, job_id: str, where: LogFilter, span: Span
) -> list[OutputLine]:
    """Return the passing lines of a span.

    Raises:
        ApiError: 400, there are too many of them for a page.
    """
    found: list[OutputLine] = []
    size = seq = 0
    while part := await store.outputs(
        job_id, seq=seq, first=span.first, last=span.last, limit=_READ
    ):
        seq = part[-1].seq
        kept = await scan.keep(where.passes_output, part)
        found += kept
        size += sum(len(line.text) for line in kept)
        if len(found) > _MOST_LINES or size > MOST_TEXT:
            raise bad_request(
                "the job printed too much for a page: ask for fewer records, for format=text, or "
                "for a stream"
            )
    return found


def merged(rows: Sequence[Row], lines: Sequence[OutputLine], *, descending: bool) -> list[Row]:
    """Return the rows of records and of printed lines in the order of the log, or in reverse."""
    ascending = rows[::-1] if descending else rows
    both = list(_merged(ascending, lines))
    return both[::-1] if descending else both


def _merged(rows: Sequence[Row], lines: Sequence[OutputLine]) -> Iterator[Row]:
    position = 0
    for row in rows:
        number = int(row["_id"])
        while position < len(lines) and lines[position].after_seq < number:
            yield log_rows.output_row(lines[position])
            position += 1
        yield row
    yield from map(log_rows.output_row, lines[position:])
