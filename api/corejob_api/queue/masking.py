"""Masking of rows that a user may not read, in listings of current and of past jobs."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from corejob_api.query.ordering import Row

UNAUTHORIZED: Final = "UnauthorizedJob"
"""The qual_name that a masked row shows."""


def mask(row: Row) -> Row:
    """Return a row without name, args, messages and sources."""
    hidden: dict[str, Any] = {"qual_name": UNAUTHORIZED, "name": UNAUTHORIZED, "args": None}
    silent: dict[str, Any] = {"message": None, "last_error": None, "sources": []}
    silent["sources_dropped"] = 0
    progress = {"value": row["prog"]["value"], "message": None}
    return {**row, **hidden, **silent, "prog": progress}


class Masking:
    """Masks the rows that one user may not read; checks each qual_name once.

    Args:
        may_read: Returns True if the user may read the jobs of a qual_name.
    """

    def __init__(self, may_read: Callable[[str], bool]) -> None:
        self._may_read = may_read
        self._answers: dict[str, bool] = {}

    def name(self, qual_name: str) -> str:
        """Return the qual_name as the user sees it."""
        return qual_name if self._is_readable(qual_name) else UNAUTHORIZED

    def row(self, row: Row) -> Row:
        """Return a row, masked if the user may not read it."""
        return row if self._is_readable(row["qual_name"]) else mask(row)

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows, masked where the user may not read them."""
        return map(self.row, rows)

    def _is_readable(self, qual_name: str) -> bool:
        readable = self._answers.get(qual_name)
        if readable is None:
            readable = self._answers[qual_name] = self._may_read(qual_name)
        return readable
