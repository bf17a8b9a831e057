"""Pages of past jobs, selected by indexed columns: kinds, ids, times, users.

A kind is a qual_name with a state. The number of jobs of each kind is known (`past_counts`), so a
query by kinds only needs no count, and the cheaper of two query plans can be chosen:

- *by kinds*: read the first rows of each kind's own index range and merge them;
- *along the order*: scan the rows of all kinds in sort order until enough of them match.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.conditions import Condition, of_kinds, render
from corejob_journal.store.past_counts import Kind
from corejob_journal.store.slices import in_slices

_JOB: Final = schema.job
_MOST_RANGES: Final = 100
"""Maximum number of ranges that one statement merges; SQLite's own limit is 500."""


@dataclass(frozen=True, slots=True)
class PastQuery:
    """A query for past jobs.

    Attributes:
        counts: Number of stored jobs of each kind.
        kinds: The kinds to select.
        conditions: Further conditions, which must all hold.
    """

    counts: Mapping[Kind, int]
    kinds: frozenset[Kind]
    conditions: tuple[Condition, ...] = ()

    @property
    def of_all_kinds(self) -> bool:
        """True if the query selects all kinds."""
        return len(self.kinds) == len(self.counts)

    @property
    def most(self) -> int:
        """Number of jobs of the selected kinds: an upper bound of the number of matches."""
        return sum(self.counts[kind] for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class PastOrder:
    """Sort order of past jobs: by a column, then by id."""

    column: Literal["job_id", "enqueued_at", "finished_at"] = "job_id"
    descending: bool = False
    ids_descending: bool = field(default=False)

    def reversed(self) -> "PastOrder":
        """Return the reverse order."""
        return PastOrder(self.column, not self.descending, not self.ids_descending)


@dataclass(frozen=True, slots=True)
class PastCursor:
    """Cursor: the position of a job in a sort order."""

    value: str
    job_id: str


@dataclass(frozen=True, slots=True)
class PastJob:
    """A past job: its document, and its cursor in the order of the query."""

    cursor: PastCursor
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Range:
    """A contiguous range of one index, in which jobs are in the order of their ids."""

    state: str | None
    qual_name: str | None
    jobs: int

    def clauses(self) -> list[sa.ColumnElement[bool]]:
        clauses = [] if self.qual_name is None else [_JOB.c.qual_name == self.qual_name]
        return clauses if self.state is None else [*clauses, _JOB.c.state == self.state]


def count(connection: sa.Connection, *, past_query: PastQuery) -> int:
    """Return the number of jobs that match."""
    if not past_query.conditions:
        return past_query.most
    query = sa.select(sa.func.count()).select_from(_JOB).where(*_clauses(past_query))
    return connection.execute(query).scalar_one()


def page(
    connection: sa.Connection,
    *,
    past_query: PastQuery,
    order: PastOrder,
    window: Callable[[int], tuple[int, int]],
) -> list[PastJob]:
    """Return a page. `window` gets the number of matches and returns offset and limit."""
    total = count(connection, past_query=past_query)
    offset, limit = window(total)
    limit = min(limit, total - offset)
    if limit <= 0:
        return []
    # The database walks over all rows before the offset, so start at the nearer end.
    remaining = total - offset - limit
    if remaining >= offset:
        return _rows(connection, _cut(past_query, order, offset=offset, limit=limit))
    rows = _rows(connection, _cut(past_query, order.reversed(), offset=remaining, limit=limit))
    return rows[::-1]


def after(
    connection: sa.Connection,
    *,
    past_query: PastQuery,
    order: PastOrder,
    cursor: PastCursor | None,
    limit: int,
) -> list[PastJob]:
    """Return the first jobs after a cursor; None starts at the beginning."""
    if not past_query.kinds:
        return []
    if cursor is None:
        return _rows(connection, _cut(past_query, order, offset=0, limit=limit))
    ids = _after(_JOB.c.job_id, cursor.job_id, descending=order.ids_descending)
    if order.column == "job_id":
        return _rows(connection, _cut(past_query, order, offset=0, limit=limit, more=[ids]))
    column = _JOB.c[order.column]
    # Two ranges of the index: first the rest of the cursor's value, then all further values.
    same = [column == cursor.value, ids]
    rows = _rows(connection, _cut(past_query, order, offset=0, limit=limit, more=same))
    if len(rows) < limit:
        further = [_after(column, cursor.value, descending=order.descending)]
        left = limit - len(rows)
        rows += _rows(connection, _cut(past_query, order, offset=0, limit=left, more=further))
    return rows


def pick(connection: sa.Connection, *, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the documents of these jobs, in the order of `job_ids`, without missing ones."""
    documents = _documents(connection, job_ids)
    return [documents[job_id] for job_id in job_ids if job_id in documents]


def _documents(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    documents = {}
    for ids in in_slices(job_ids):
        query = sa.select(_JOB.c.job_id, _JOB.c.document).where(_JOB.c.job_id.in_(ids))
        documents.update({row.job_id: row.document for row in connection.execute(query)})
    return documents


def _after(column: Any, value: str, *, descending: bool) -> sa.ColumnElement[bool]:
    clause: sa.ColumnElement[bool] = column < value if descending else column > value
    return clause


def _clauses(past_query: PastQuery) -> list[sa.ColumnElement[bool]]:
    kinds = [] if past_query.of_all_kinds else [of_kinds(past_query.kinds)]
    return [*map(render, past_query.conditions), *kinds]


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[PastJob]:
    """Return the jobs of a query for cursors; rows that are sorted or skipped load no document."""
    page_cursors = [PastCursor(*row) for row in connection.execute(query)]
    documents = _documents(connection, [cursor.job_id for cursor in page_cursors])
    # A job may be deleted between the two queries.
    return [
        PastJob(cursor, documents[cursor.job_id])
        for cursor in page_cursors
        if cursor.job_id in documents
    ]


def _cut(
    past_query: PastQuery,
    order: PastOrder,
    *,
    offset: int,
    limit: int,
    more: Sequence[sa.ColumnElement[bool]] = (),
) -> sa.Select[Any]:
    """Return a query for the cursors of the matching jobs, in order, by the cheaper plan."""
    if past_query.conditions or past_query.of_all_kinds:
        query = _select(order).where(*_clauses(past_query), *more)
        return query.order_by(*_by(order, _JOB.c)).offset(offset).limit(limit)
    ranges = _ranges(past_query)
    enough = offset + limit
    if _along_is_cheaper(past_query, order, ranges, enough):
        query = _select(order).where(_unindexed(past_query.kinds), *more)
        return query.order_by(*_by(order, _JOB.c)).offset(offset).limit(limit)
    parts = [_select(order).where(*index_range.clauses(), *more) for index_range in ranges]
    if order.column == "job_id":
        parts = [part.order_by(*_by(order, _JOB.c)).limit(enough) for part in parts]
    merged = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
    cursors: sa.Select[Any] = sa.select(merged.c.value, merged.c.job_id)
    return cursors.order_by(*_by(order, merged.c)).offset(offset).limit(limit)


def _select(order: PastOrder) -> sa.Select[Any]:
    return sa.select(_JOB.c[order.column].label("value"), _JOB.c.job_id)


def _by(order: PastOrder, columns: Any) -> Iterable[Any]:
    ids = columns.job_id.desc() if order.ids_descending else columns.job_id
    if order.column == "job_id":
        return (ids,)
    value = columns.get("value", columns.get(order.column))
    return (value.desc() if order.descending else value, ids)


def _ranges(past_query: PastQuery) -> list[_Range]:
    """Return the index ranges that together contain exactly the selected kinds."""
    all_of: dict[str, int] = {}
    for kind in past_query.counts:
        all_of[kind.state] = all_of.get(kind.state, 0) + 1
    by_state: dict[str, list[Kind]] = {}
    for kind in sorted(past_query.kinds):
        by_state.setdefault(kind.state, []).append(kind)
    ranges = []
    for state, kinds in by_state.items():
        if len(kinds) == all_of[state]:
            ranges.append(_Range(state, None, sum(past_query.counts[kind] for kind in kinds)))
        else:
            ranges += [_Range(state, kind.qual_name, past_query.counts[kind]) for kind in kinds]
    return ranges


def _along_is_cheaper(
    past_query: PastQuery, order: PastOrder, ranges: Sequence[_Range], enough: int
) -> bool:
    """True if scanning the sort index is cheaper than merging the per-kind ranges."""
    if not ranges or len(ranges) > _MOST_RANGES:
        return True
    if order.column == "job_id":
        by_kinds = sum(min(index_range.jobs, enough) for index_range in ranges)
    else:
        by_kinds = past_query.most
    everything = sum(past_query.counts.values())
    along = min(everything, enough * everything / max(1, past_query.most))
    return along < by_kinds


def _unindexed(kinds: frozenset[Kind]) -> sa.ColumnElement[bool]:
    """Return an SQL clause for jobs of these kinds that no index on kinds can serve.

    It makes the database use the index of the sort order.
    """
    state, name = (sa.func.coalesce(column, "") for column in (_JOB.c.state, _JOB.c.qual_name))
    by_state: dict[str, list[str]] = {}
    for kind in sorted(kinds):
        by_state.setdefault(kind.state, []).append(kind.qual_name)
    parts = [sa.and_(state == value, name.in_(names)) for value, names in by_state.items()]
    return sa.or_(sa.false(), *parts)
