"""The actions of a client as programs without I/O; the methods of both clients run them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypedDict

from core4.client import answers, paging, requests
from core4.client.credentials import basic
from core4.client.effects import Emit, Program, Run
from core4.client.errors import Core4Error, DuplicateError, JobFailedError, NotFoundError
from core4.client.following import follow
from core4.client.results import CatalogueEntry, JobDocument, Meta, Page, Profile, State
from core4.client.session import Session, call

Time = datetime | str
"""A time: aware, naive in UTC, or ISO 8601."""
Make = Callable[[], Program[None]]
"""Makes a program that emits the pages of a listing."""

_CURSOR_SORTS: Final = frozenset({"_id", "enqueued.at", "finished_at"})
_NO_RECORD: Final = {"tail": 0, "level": 100}
"""Filters that no record passes, for those who wait for the states only."""


def profile(session: Session) -> Program[Profile]:
    """Return the signed-in user."""
    response = yield from call(session, requests.profile())
    return Profile.of(answers.data(response))


def meta(session: Session) -> Program[Meta]:
    """Return what the service says of itself."""
    response = yield from call(session, requests.meta())
    return Meta.of(answers.data(response))


def login(session: Session, user: str, password: str) -> Program[str]:
    """Return a new token for a user and a password."""
    response = yield from call(session, requests.login(basic(user, password)))
    return str(answers.data(response)["token"])


def raw(
    session: Session, method: str, path: str, arguments: Mapping[str, Any]
) -> Program[Mapping[str, Any]]:
    """Return the envelope of any request."""
    response = yield from call(session, requests.send(method, requests.path(path), arguments))
    return answers.envelope(response)


# --- listings -------------------------------------------------------------------------------------


class Query(TypedDict, total=False):
    """Questions to the queue and to the journal, all of them optional.

    Attributes:
        name: A qual_name.
        state: A state, or several.
        username: The user who enqueued the job.
        since: Enqueued then or later.
        until: Enqueued before.
        search: A part of the qual_name; `?` is one character, `*` any number of them.
        filter: A MongoDB-style filter over the documents, in addition.
        sort: Pairs of a field and 1 or -1; by default the oldest first.
        per_page: Rows of a page.
    """

    name: str | None
    state: str | Iterable[str] | None
    username: str | None
    since: Time | None
    until: Time | None
    search: str | None
    filter: Mapping[str, Any] | None
    sort: Iterable[tuple[str, int]] | None
    per_page: int


class LogFilters(TypedDict, total=False):
    """Filters of a log, all of them optional.

    Attributes:
        level: Records of at least this level, a name or a number.
        grep: Records with a match of this regular expression (RE2).
        since: Records of that time or later; a number is seconds since 1970.
        trial: Records of the trial with this number. A stream ends with the log of that trial.
        tail: The last n records of those that exist; in a stream, then all new ones.
        output: True to add what the job printed, each line after the record before it.
    """

    level: str | int | None
    grep: str | None
    since: Time | float | None
    trial: int | None
    tail: int | None
    output: bool | None


def jobs(
    session: Session,
    search: str | None,
    where: Mapping[str, Any] | None,
    per_page: int,
) -> Make:
    """Return what emits the pages of the catalogue."""
    arguments = {"search": search, "filter": where}
    return partial(
        paging.by_number, session, requests.catalogue, arguments, per_page, CatalogueEntry.of
    )


def queue(session: Session, query: Query) -> Make:
    """Return what emits the pages of the queue."""
    arguments, per_page = _listing(**query)
    if arguments["sort"] is None:
        return partial(paging.by_id, session, requests.queue, arguments, per_page)
    return partial(paging.by_number, session, requests.queue, arguments, per_page, JobDocument.of)


def journal(session: Session, query: Query) -> Make:
    """Return what emits the pages of the past jobs."""
    arguments, per_page = _listing(**query)
    pairs = arguments["sort"]
    if not pairs or pairs[0][0] in _CURSOR_SORTS:
        return partial(paging.by_cursor, session, requests.journal, arguments, per_page)
    return partial(paging.by_number, session, requests.journal, arguments, per_page, JobDocument.of)


def log(session: Session, job_id: str, filters: LogFilters, per_page: int) -> Make:
    """Return what emits the pages of a job's log."""
    fetch = partial(requests.log, job_id)
    return partial(paging.log, session, fetch, _log_filters(**filters), per_page)


def events(
    session: Session,
    job_id: str,
    filters: LogFilters,
    *,
    states: bool,
    after: str | int | None,
    timeout: float | None,
) -> Program[None]:
    """Emit the events of a job's stream."""
    return follow(
        session,
        job_id,
        _log_filters(**filters),
        states=states,
        after=None if after is None else int(after),
        deadline=session.deadline(timeout),
    )


def _listing(
    *,
    name: str | None = None,
    state: str | Iterable[str] | None = None,
    username: str | None = None,
    since: Time | None = None,
    until: Time | None = None,
    search: str | None = None,
    filter: Mapping[str, Any] | None = None,  # noqa: A002  # its name in REST
    sort: Iterable[tuple[str, int]] | None = None,
    per_page: int = paging.PER_PAGE,
) -> tuple[dict[str, Any], int]:
    """Return the arguments of a listing, and the rows of a page."""
    found: dict[str, Any] = {}
    if name is not None:
        found["qual_name"] = name
    if state is not None:
        found["state"] = state if isinstance(state, str) else {"$in": list(state)}
    if username is not None:
        found["enqueued.username"] = username
    span = {"$gte": _time(since), "$lt": _time(until)}
    if given := {operator: value for operator, value in span.items() if value is not None}:
        found["enqueued.at"] = given
    where = {"$and": [found, filter]} if found and filter else found or filter
    pairs = None if sort is None else [list(pair) for pair in sort]
    return {"search": search, "filter": where or None, "sort": pairs}, per_page


def _log_filters(
    *,
    level: str | int | None = None,
    grep: str | None = None,
    since: Time | float | None = None,
    trial: int | None = None,
    tail: int | None = None,
    output: bool | None = None,
) -> dict[str, Any]:
    moment = since if isinstance(since, int | float) else _time(since)
    return {
        "level": level,
        "grep": grep,
        "since": moment,
        "trial": trial,
        "tail": tail,
        "output": output,
    }


# --- one job --------------------------------------------------------------------------------------


def enqueue(
    session: Session,
    qual_name: str,
    args: Mapping[str, Any] | None,
    more: Mapping[str, Any],
    key: str | None,
) -> Program[str]:
    """Enqueue a job and return its id.

    Raises:
        TypeError: An argument is given twice.
    """
    if both := more.keys() & (args or {}).keys():
        raise TypeError(f"arguments are given twice: {', '.join(sorted(both))}")
    args = {**(args or {}), **more}
    request = requests.enqueue(qual_name, args, os.urandom(16).hex() if key is None else key)
    try:
        response = yield from call(session, request)
    except DuplicateError as error:
        error.existing_id = yield from _duplicate(session, error)
        raise
    return str(answers.data(response))


def document(session: Session, job_id: str) -> Program[JobDocument]:
    """Return a job's document."""
    response = yield from call(session, requests.detail(job_id))
    return JobDocument.of(answers.data(response))


def kill(session: Session, job_id: str) -> Program[None]:
    """Kill a job."""
    yield from call(session, requests.kill(job_id))


def restart(session: Session, job_id: str) -> Program[str]:
    """Restart a job and return the id of the one that runs now."""
    response = yield from call(session, requests.restart(job_id))
    return str(answers.data(response))


def remove(session: Session, job_id: str) -> Program[None]:
    """Remove a job from the queue."""
    try:
        yield from call(session, requests.remove(job_id))
    except NotFoundError as error:
        # The first attempt may have removed it, though its answer was lost.
        if not error.repeated:
            raise
        found = yield from document(session, job_id)
        if found.removed_at is None:
            raise


def wait(session: Session, job_id: str, timeout: float | None = None) -> Program[JobDocument]:
    """Return a job's document once it has ended and its log is complete."""
    deadline = session.deadline(timeout)
    states: list[JobDocument] = []

    def note(item: Any) -> None:
        if isinstance(item, State):
            states[:] = [item.document]

    yield from _items(follow(session, job_id, _NO_RECORD, deadline=deadline), note)
    try:
        return (yield from document(session, job_id))
    except NotFoundError:
        # The journal's retention may delete it at any time.
        return states[-1]


def result(session: Session, job_id: str, timeout: float | None = None) -> Program[JobDocument]:
    """Return a job's document once it is complete.

    Raises:
        JobFailedError: It has ended otherwise.
    """
    ended = yield from wait(session, job_id, timeout)
    if not ended.is_complete:
        raise JobFailedError(ended)
    return ended


def _items(program: Program[None], use: Any) -> Program[None]:
    """Run a program, and use its items here instead of emitting them."""
    run = Run(program)
    while (effect := run.effect) is not None:
        if isinstance(effect, Emit):
            use(effect.item)
            run.go_on(None)
            continue
        try:
            value = yield effect
        except Core4Error as error:
            run.fail(error)
        else:
            run.go_on(value)


def _duplicate(session: Session, error: DuplicateError) -> Program[str | None]:
    """Look for the job that is in the way; None if that fails, since the refusal is what counts."""
    quoted = answers.duplicate_of(error.text)
    if quoted is None:
        return None
    qual_name, args = quoted
    arguments = {"filter": {"qual_name": qual_name, "args": args}, "per_page": 1}
    try:
        response = yield from call(session, requests.queue(arguments))
        page: Page[JobDocument] = answers.page(response, JobDocument.of)
    except Core4Error:
        return None
    return page.items[0].id if page.items else None


def _time(value: Time | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(tzinfo=None).isoformat()
