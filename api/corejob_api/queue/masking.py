"""Masking of rows that a user may not read, in listings of current and of past jobs."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from corejob_api.query.ordering import Row

UNAUTHORIZED: Final = "UnauthorizedJob"
"""The qual_name that a masked row shows."""


_HIDDEN: Final[Row] = {
    "qual_name": UNAUTHORIZED,
    "name": UNAUTHORIZED,
    "args": None,
    "message": None,
    "waiting": None,
    "last_error": None,
    "sources": [],
    "sources_dropped": 0,
}


def mask(row: Row) -> Row:
    """Return a row, or some fields of one, without name, args, messages, numbers and sources."""
    masked = {**row, **_HIDDEN}
    if "prog" in row:
        masked["prog"] = {"value": row["prog"]["value"], "message": None}
    return masked


class Masking:
    """Masks the rows that one user may not read; checks each qual_name once.

    Args:
        check: Returns True if the user may read the jobs of a qual_name.
    """

    def __init__(self, check: Callable[[str], bool]) -> None:
        self._check = check
        self._answers: dict[str, bool] = {}

    def name(self, qual_name: str) -> str:
        """Return the qual_name as the user sees it."""
        return qual_name if self.may_read(qual_name) else UNAUTHORIZED

    def row(self, row: Row) -> Row:
        """Return a row, masked if the user may not read it."""
        return row if self.may_read(row["qual_name"]) else mask(row)

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows, masked where the user may not read them."""
        return map(self.row, rows)

    def may_read(self, qual_name: str) -> bool:
        """Return True if the user may read the jobs of a qual_name."""
        readable = self._answers.get(qual_name)
        if readable is None:
            readable = self._answers[qual_name] = self._check(qual_name)
        return readable
