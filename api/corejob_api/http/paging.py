"""Pages of a listing (docs/rest.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request, cut

T = TypeVar("T")

DEFAULT_PER_PAGE: Final = 10
MOST_PER_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """Position of a page among all rows: from `start` up to, not including, `stop`."""

    page: int
    per_page: int
    page_count: int
    total: int
    start: int
    stop: int

    def cut(self, rows: Sequence[T]) -> Sequence[T]:
        """Return the rows of this page."""
        return rows[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page that a client asked for; negative ones count from the end."""

    page: int
    per_page: int

    def window(self, total: int) -> Window:
        """Return the page's window among `total` rows; a page before the first is the first."""
        page_count = -(-total // self.per_page)
        page = self.page if self.page >= 0 else max(0, page_count + self.page)
        start = min(page * self.per_page, total)
        stop = min(start + self.per_page, total)
        return Window(page, self.per_page, page_count, total, start, stop)


def page_request(
    arguments: Arguments, size: str = "per_page", *, most: int = MOST_PER_PAGE
) -> PageRequest:
    """Read the arguments `page` and `per_page`.

    Args:
        arguments: Arguments of the request.
        size: Name of the argument `per_page`.
        most: Maximum number of rows of a page.

    Raises:
        ApiError: 400, an argument is malformed or out of range.
    """
    per_page = arguments.integer(size, DEFAULT_PER_PAGE)
    if per_page < 1:
        raise bad_request(f"parameter [{size}] must be at least 1, got [{per_page}]")
    if per_page > most:
        raise bad_request(
            f"parameter [{size}] must be at most {most}, got [{cut(str(per_page), 40)}]: "
            "ask for the rest by parameter [page]"
        )
    return PageRequest(arguments.integer("page", 0), per_page)
