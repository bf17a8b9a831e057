"""Pages of a listing (contract section 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from corejob_api.arguments import Arguments
from corejob_api.errors import bad_request, cut

T = TypeVar("T")

DEFAULT_PER_PAGE: Final = 10
MOST_PER_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows of how many a page has: `start` up to, not including, `stop`."""

    page: int
    per_page: int
    page_count: int
    total: int
    start: int
    stop: int

    def cut(self, rows: Sequence[T]) -> Sequence[T]:
        """The rows of this page."""
        return rows[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page that a client asked for; negative ones count from the end."""

    page: int
    per_page: int

    def window(self, total: int) -> Window:
        """What it comes to among `total` rows. A page before the first is the first."""
        page_count = -(-total // self.per_page)
        page = self.page if self.page >= 0 else max(0, page_count + self.page)
        start = min(page * self.per_page, total)
        stop = min(start + self.per_page, total)
        return Window(page, self.per_page, page_count, total, start, stop)


def page_request(
    arguments: Arguments, size: str = "per_page", *, most: int = MOST_PER_PAGE
) -> PageRequest:
    """The arguments `page` and `per_page`.

    Args:
        arguments: Of the request.
        size: What `per_page` is called.
        most: Rows that a page may have.

    Raises:
        ApiError: 400.
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
