"""Listings, page by page, without a row lost or doubled where the server allows that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from core4.client import answers
from core4.client.effects import Emit, Program
from core4.client.errors import BadRequestError
from core4.client.requests import Request
from core4.client.results import JobDocument, Log, Page
from core4.client.session import Session, call

T = TypeVar("T")
Fetch = Callable[[Mapping[str, Any]], Request]
"""Makes the request for a page from its arguments."""

PER_PAGE: Final = 500
_BEYOND: Final = 10**12
"""More than the number of any record."""


def by_id(
    session: Session, fetch: Fetch, arguments: Mapping[str, Any], per_page: int
) -> Program[None]:
    """Emit pages of jobs in the order of their ids, each beginning after the last job before.

    Numbered pages would shift whenever a job leaves the queue.
    """
    given: Any = arguments.get("filter")
    last: str | None = None
    total: int | None = None
    while True:
        after: Any = {"_id": {"$gt": last}} if last else None
        where = {"$and": [given, after]} if given and after else given or after
        page = yield from _page(
            session, fetch, {**arguments, "filter": where, "per_page": per_page}, JobDocument.of
        )
        total = page.total_count if total is None else total
        yield Emit(replace(page, total_count=total))
        if len(page) < per_page:
            return
        last = page.items[-1].id


def by_cursor(
    session: Session, fetch: Fetch, arguments: Mapping[str, Any], per_page: int
) -> Program[None]:
    """Emit pages of past jobs by the server's cursor. A page may be empty before the last one."""
    cursor: str | None = ""
    while cursor is not None:
        page = yield from _page(
            session, fetch, {**arguments, "cursor": cursor, "per_page": per_page}, JobDocument.of
        )
        yield Emit(page)
        cursor = page.next_cursor


def by_number(
    session: Session,
    fetch: Fetch,
    arguments: Mapping[str, Any],
    per_page: int,
    item: Callable[[Any], T],
    *,
    offset: int = 0,
) -> Program[None]:
    """Emit pages by their numbers, beginning with the row at `offset`."""
    while True:
        number, skipped = divmod(offset, per_page)
        try:
            page = yield from _page(
                session, fetch, {**arguments, "page": number, "per_page": per_page}, item
            )
        except BadRequestError as error:
            if per_page == 1 or error.field != "per_page":
                raise
            # The rows of this page are too long together.
            per_page //= 2
            continue
        yield Emit(replace(page, items=page.items[skipped:]))
        if len(page) < per_page:
            return
        offset += len(page) - skipped


def log(
    session: Session, fetch: Fetch, arguments: Mapping[str, Any], per_page: int
) -> Program[None]:
    """Emit pages of a log, which only grows at its end."""
    tail = arguments.get("tail")
    if arguments.get("output"):
        yield from _log_with_output(session, fetch, arguments, per_page)
        return
    if tail is None and arguments.get("trial") is not None:
        # A numbered page with a filter reads the whole log.
        yield from _ranges(session, fetch, arguments, per_page)
        return
    if tail is None:
        yield from by_number(session, fetch, arguments, per_page, Log.of)
        return
    # The server's pages of a tail would shift while the log grows.
    rest = {**arguments, "tail": None}
    counted = yield from _page(session, fetch, {**rest, "per_page": 1}, Log.of)
    offset = max(0, (counted.total_count or 0) - tail)
    yield from by_number(session, fetch, rest, per_page, Log.of, offset=offset)


def _log_with_output(
    session: Session, fetch: Fetch, arguments: Mapping[str, Any], per_page: int
) -> Program[None]:
    """Emit ranges of a log with what the job printed, which has no place in numbered pages."""
    tail = arguments.get("tail")
    rest = {**arguments, "tail": None}
    if tail is not None:
        if tail:
            newest = {**rest, "before": _BEYOND, "limit": tail}
            yield Emit((yield from _page(session, fetch, newest, Log.of)))
        return
    yield from _ranges(session, fetch, rest, per_page)


def _ranges(
    session: Session, fetch: Fetch, arguments: Mapping[str, Any], limit: int
) -> Program[None]:
    """Emit ranges of a log from its beginning, each after the last record of the one before."""
    start = 1
    while True:
        bounds = {"from": start, "limit": limit}
        try:
            page = yield from _page(session, fetch, {**arguments, **bounds}, Log.of)
        except BadRequestError as error:
            if limit == 1 or error.field != "per_page":
                raise
            limit //= 2  # the records of this range are too long together
            continue
        yield Emit(page)
        numbers = [record.number for record in page.items if record.output is None]
        if len(numbers) < limit:
            return
        start = numbers[-1] + 1


def _page(
    session: Session, fetch: Fetch, arguments: Mapping[str, Any], item: Callable[[Any], T]
) -> Program[Page[T]]:
    response = yield from call(session, fetch(arguments))
    return answers.page(response, item)
