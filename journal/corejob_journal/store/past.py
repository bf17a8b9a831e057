"""Pages of past jobs, selected by indexed columns: kinds, ids, times, users.

A kind is a qual_name with a state. The number of jobs of each kind is always known (`tally`), so a
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
from corejob_journal.store.tally import Kind

_JOB: Final = schema.job
_SOME: Final = 500
"""Maximum number of values in one IN list."""
_MOST_RANGES: Final = 100
"""Maximum number of ranges that one statement merges; SQLite's own limit is 500."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query for past jobs.

    Attributes:
        tally: Number of stored jobs of each kind.
        kinds: The kinds to select.
        conditions: Further conditions, which must all hold.
    """

    tally: Mapping[Kind, int]
    kinds: frozenset[Kind]
    conditions: tuple[Condition, ...] = ()

    @property
    def of_all_kinds(self) -> bool:
        """True if the query selects all kinds."""
        return len(self.kinds) == len(self.tally)

    @property
    def most(self) -> int:
        """Number of jobs of the selected kinds: an upper bound of the number of matches."""
        return sum(self.tally[kind] for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Order:
    """Sort order of past jobs: by a column, then by id."""

    column: Literal["job_id", "enqueued_at", "finished_at"] = "job_id"
    descending: bool = False
    ids_descending: bool = field(default=False)

    def reversed(self) -> "Order":
        """Return the reverse order."""
        return Order(self.column, not self.descending, not self.ids_descending)


@dataclass(frozen=True, slots=True)
class Place:
    """Cursor: the position of a job in a sort order."""

    value: str
    job_id: str


@dataclass(frozen=True, slots=True)
class PastJob:
    """A past job: its document, and its cursor in the order of the query."""

    place: Place
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Range:
    """A contiguous range of one index, in which jobs are in the order of their ids."""

    state: str | None
    qual_name: str | None
    jobs: int

    def clauses(self) -> list[sa.ColumnElement[bool]]:
        found = [] if self.qual_name is None else [_JOB.c.qual_name == self.qual_name]
        return found if self.state is None else [*found, _JOB.c.state == self.state]


def count(connection: sa.Connection, *, wanted: Wanted) -> int:
    """Return the number of jobs that match."""
    if not wanted.conditions:
        return wanted.most
    query = sa.select(sa.func.count()).select_from(_JOB).where(*_clauses(wanted))
    return connection.execute(query).scalar_one()


def page(
    connection: sa.Connection,
    *,
    wanted: Wanted,
    order: Order,
    window: Callable[[int], tuple[int, int]],
) -> list[PastJob]:
    """Return a page. `window` gets the number of matches and returns offset and limit."""
    total = count(connection, wanted=wanted)
    offset, limit = window(total)
    limit = min(limit, total - offset)
    if limit <= 0:
        return []
    # The database walks over all rows before the offset, so start at the nearer end.
    behind = total - offset - limit
    if behind >= offset:
        return _rows(connection, _cut(wanted, order, offset=offset, limit=limit))
    rows = _rows(connection, _cut(wanted, order.reversed(), offset=behind, limit=limit))
    return rows[::-1]


def after(
    connection: sa.Connection, *, wanted: Wanted, order: Order, place: Place | None, limit: int
) -> list[PastJob]:
    """Return the first jobs after a cursor; None starts at the beginning."""
    if not wanted.kinds:
        return []
    if place is None:
        return _rows(connection, _cut(wanted, order, offset=0, limit=limit))
    ids = _behind(_JOB.c.job_id, place.job_id, descending=order.ids_descending)
    if order.column == "job_id":
        return _rows(connection, _cut(wanted, order, offset=0, limit=limit, more=[ids]))
    column = _JOB.c[order.column]
    # Two ranges of the index: first the rest of the cursor's value, then all further values.
    same = [column == place.value, ids]
    rows = _rows(connection, _cut(wanted, order, offset=0, limit=limit, more=same))
    if len(rows) < limit:
        further = [_behind(column, place.value, descending=order.descending)]
        left = limit - len(rows)
        rows += _rows(connection, _cut(wanted, order, offset=0, limit=left, more=further))
    return rows


def pick(connection: sa.Connection, *, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the documents of these jobs, in the order of `job_ids`, without missing ones."""
    found = _documents(connection, job_ids)
    return [found[job_id] for job_id in job_ids if job_id in found]


def _documents(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for start in range(0, len(job_ids), _SOME):
        part = job_ids[start : start + _SOME]
        query = sa.select(_JOB.c.job_id, _JOB.c.document).where(_JOB.c.job_id.in_(part))
        found.update({row.job_id: row.document for row in connection.execute(query)})
    return found


def _behind(column: Any, value: str, *, descending: bool) -> sa.ColumnElement[bool]:
    clause: sa.ColumnElement[bool] = column < value if descending else column > value
    return clause


def _clauses(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    kinds = [] if wanted.of_all_kinds else [of_kinds(wanted.kinds)]
    return [*map(render, wanted.conditions), *kinds]


def _rows(connection: sa.Connection, places: sa.Select[Any]) -> list[PastJob]:
    """Return the jobs at these cursors; rows that are only sorted or skipped load no document."""
    found = [Place(*row) for row in connection.execute(places)]
    documents = _documents(connection, [place.job_id for place in found])
    return [PastJob(place, documents[place.job_id]) for place in found if place.job_id in documents]


def _cut(
    wanted: Wanted,
    order: Order,
    *,
    offset: int,
    limit: int,
    more: Sequence[sa.ColumnElement[bool]] = (),
) -> sa.Select[Any]:
    """Return a query for the cursors of the matching jobs, in order, by the cheaper plan."""
    if wanted.conditions or wanted.of_all_kinds:
        query = _select(order).where(*_clauses(wanted), *more)
        return query.order_by(*_by(order, _JOB.c)).offset(offset).limit(limit)
    ranges = _ranges(wanted)
    enough = offset + limit
    if _along_is_cheaper(wanted, order, ranges, enough):
        query = _select(order).where(_unindexed(wanted.kinds), *more)
        return query.order_by(*_by(order, _JOB.c)).offset(offset).limit(limit)
    parts = [_select(order).where(*each.clauses(), *more) for each in ranges]
    if order.column == "job_id":
        parts = [part.order_by(*_by(order, _JOB.c)).limit(enough) for part in parts]
    merged = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
    places: sa.Select[Any] = sa.select(merged.c.value, merged.c.job_id)
    return places.order_by(*_by(order, merged.c)).offset(offset).limit(limit)


def _select(order: Order) -> sa.Select[Any]:
    return sa.select(_JOB.c[order.column].label("value"), _JOB.c.job_id)


def _by(order: Order, columns: Any) -> Iterable[Any]:
    ids = columns.job_id.desc() if order.ids_descending else columns.job_id
    if order.column == "job_id":
        return (ids,)
    value = columns.get("value", columns.get(order.column))
    return (value.desc() if order.descending else value, ids)


def _ranges(wanted: Wanted) -> list[_Range]:
    """Return the index ranges that together contain exactly the selected kinds."""
    all_of: dict[str, int] = {}
    for kind in wanted.tally:
        all_of[kind.state] = all_of.get(kind.state, 0) + 1
    by_state: dict[str, list[Kind]] = {}
    for kind in sorted(wanted.kinds):
        by_state.setdefault(kind.state, []).append(kind)
    found = []
    for state, kinds in by_state.items():
        if len(kinds) == all_of[state]:
            found.append(_Range(state, None, sum(wanted.tally[kind] for kind in kinds)))
        else:
            found += [_Range(state, kind.qual_name, wanted.tally[kind]) for kind in kinds]
    return found


def _along_is_cheaper(wanted: Wanted, order: Order, ranges: Sequence[_Range], enough: int) -> bool:
    """True if scanning the sort index is cheaper than merging the per-kind ranges."""
    if not ranges or len(ranges) > _MOST_RANGES:
        return True
    if order.column == "job_id":
        by_kinds = sum(min(each.jobs, enough) for each in ranges)
    else:
        by_kinds = wanted.most
    everything = sum(wanted.tally.values())
    along = min(everything, enough * everything / max(1, wanted.most))
    return along < by_kinds


def _unindexed(kinds: frozenset[Kind]) -> sa.ColumnElement[bool]:
    """Return an SQL clause for jobs of these kinds that no index on kinds can serve.

    It makes the database use the index of the sort order.
    """
    state, name = (sa.func.coalesce(column, "") for column in (_JOB.c.state, _JOB.c.qual_name))
    by_state: dict[str, list[str]] = {}
    for kind in sorted(kinds):
        by_state.setdefault(kind.state, []).append(kind.qual_name)
    parts = [sa.and_(state == each, name.in_(names)) for each, names in by_state.items()]
    return sa.or_(sa.false(), *parts)
