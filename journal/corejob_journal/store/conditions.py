"""Conditions on past jobs, as values and as SQL that is true or false but never null."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

import sqlalchemy as sa

from corejob_journal.store import schema
from corejob_journal.store.past_counts import Kind

Column = Literal["job_id", "username", "enqueued_at", "finished_at"]
Relation = Literal["=", "<", "<=", ">", ">="]
_ABSENT_IS_EMPTY: Final = frozenset({"enqueued_at", "finished_at"})


@dataclass(frozen=True, slots=True)
class Compare:
    """A column's text stands in `relation` to another text, compared by code points."""

    column: Column
    relation: Relation
    text: str


@dataclass(frozen=True, slots=True)
class Among:
    """A column has one of these texts."""

    column: Column
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """A column is null or, if it is a time, empty."""

    column: Column


@dataclass(frozen=True, slots=True)
class OfKinds:
    """The job has one of these kinds."""

    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Condition"


Condition = Compare | Among | Absent | OfKinds | Every | Either | Not
_Clause = sa.ColumnElement[bool]


def render(condition: Condition) -> _Clause:
    """Return the condition as an SQL clause over `schema.job`."""
    match condition:
        case Every(parts):
            return sa.and_(sa.true(), *map(render, parts))
        case Either(parts):
            return sa.or_(sa.false(), *map(render, parts))
        case Not(part):
            return sa.not_(render(part))
        case OfKinds(kinds):
            return of_kinds(kinds)
        case _:
            return _leaf(condition)


def _leaf(condition: Compare | Among | Absent) -> _Clause:
    column = schema.job.c[condition.column]
    present = column != "" if condition.column in _ABSENT_IS_EMPTY else column.is_not(None)
    match condition:
        case Absent():
            return sa.not_(present)
        case Among(_, texts):
            return sa.and_(present, column.in_(sorted(set(texts))))
        case Compare(_, relation, text):
            return sa.and_(present, column.bool_op(relation)(text))


def of_kinds(kinds: Iterable[Kind]) -> _Clause:
    """Return an SQL clause for jobs of one of these kinds: a list of names for each state."""
    table = schema.job.c
    ordered = sorted(kinds, key=lambda kind: (kind.state, kind.qual_name))
    return sa.or_(
        sa.false(),
        *(
            sa.and_(table.state == state, table.qual_name.in_([kind.qual_name for kind in same]))
            for state, same in groupby(ordered, key=lambda kind: kind.state)
        ),
    )
