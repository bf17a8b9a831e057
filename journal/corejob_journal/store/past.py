"""Pages of past jobs, by what is indexed: kinds, ids, times, users.

A kind is a qual_name with a state. How many jobs there are of each is always known (`tally`), so
nothing is counted that is asked for by kinds only, and the cheaper of two ways can be told:

- *by kinds*: for each kind the first rows of its own range of an index, merged;
- *along the order*: the rows of all kinds in order, until enough of them fit.
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
"""Values in one IN list."""
_MOST_RANGES: Final = 100
"""Ranges that one statement merges: SQLite takes no more than 500."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which past jobs.

    Attributes:
        tally: How many there are of each kind.
        kinds: Those that are wanted.
        conditions: What else has to hold.
    """

    tally: Mapping[Kind, int]
    kinds: frozenset[Kind]
    conditions: tuple[Condition, ...] = ()

    @property
    def of_all_kinds(self) -> bool:
        """Whether the kind doesn't matter."""
        return len(self.kinds) == len(self.tally)

    @property
    def most(self) -> int:
        """How many jobs there are of those kinds."""
        return sum(self.tally[kind] for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Order:
    """The order of past jobs: by a column, and where that is equal by id."""

    column: Literal["job_id", "enqueued_at", "finished_at"] = "job_id"
    descending: bool = False
    ids_descending: bool = field(default=False)

    def reversed(self) -> "Order":
        """From the last one on."""
        return Order(self.column, not self.descending, not self.ids_descending)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job stands in an order."""

    value: str
    job_id: str


@dataclass(frozen=True, slots=True)
class PastJob:
    """A past job: its document, and where it stands in the order that it was asked for in."""

    place: Place
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Range:
    """Jobs that lie together, in the order of their ids, in one index."""

    state: str | None
    qual_name: str | None
    jobs: int

    def clauses(self) -> list[sa.ColumnElement[bool]]:
        found = [] if self.qual_name is None else [_JOB.c.qual_name == self.qual_name]
        return found if self.state is None else [*found, _JOB.c.state == self.state]


def count(connection: sa.Connection, *, wanted: Wanted) -> int:
    """How many jobs fit."""
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
    """A page. `window` says which, by offset and limit, once it knows how many jobs fit."""
    total = count(connection, wanted=wanted)
    offset, limit = window(total)
    limit = min(limit, total - offset)
    if limit <= 0:
        return []
    # Rows before an offset are walked over: from the nearer end.
    behind = total - offset - limit
    if behind >= offset:
        return _rows(connection, _cut(wanted, order, offset=offset, limit=limit))
    rows = _rows(connection, _cut(wanted, order.reversed(), offset=behind, limit=limit))
    return rows[::-1]


def after(
    connection: sa.Connection, *, wanted: Wanted, order: Order, place: Place | None, limit: int
) -> list[PastJob]:
    """The first jobs behind a place; None is the beginning."""
    if not wanted.kinds:
        return []
    if place is None:
        return _rows(connection, _cut(wanted, order, offset=0, limit=limit))
    ids = _behind(_JOB.c.job_id, place.job_id, descending=order.ids_descending)
    if order.column == "job_id":
        return _rows(connection, _cut(wanted, order, offset=0, limit=limit, more=[ids]))
    column = _JOB.c[order.column]
    # Two ranges of the index: of the same value the others, then all further values.
    same = [column == place.value, ids]
    rows = _rows(connection, _cut(wanted, order, offset=0, limit=limit, more=same))
    if len(rows) < limit:
        further = [_behind(column, place.value, descending=order.descending)]
        left = limit - len(rows)
        rows += _rows(connection, _cut(wanted, order, offset=0, limit=left, more=further))
    return rows


def pick(connection: sa.Connection, *, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The documents of these jobs, in their order; without those that are gone."""
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
    """The jobs at these places: documents are not read of what is only sorted or skipped."""
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
    """The places of a part of what is wanted, in order."""
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
    """The ranges of the indexes that hold these kinds and no others."""
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
    """Whether fewer rows are touched by going along the order than by going by kinds."""
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
    """Of these kinds, said so that no index on them is used: the order's is the better one."""
    state, name = (sa.func.coalesce(column, "") for column in (_JOB.c.state, _JOB.c.qual_name))
    by_state: dict[str, list[str]] = {}
    for kind in sorted(kinds):
        by_state.setdefault(kind.state, []).append(kind.qual_name)
    parts = [sa.and_(state == each, name.in_(names)) for each, names in by_state.items()]
    return sa.or_(sa.false(), *parts)
