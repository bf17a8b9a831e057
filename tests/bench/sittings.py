"""Figures of several runs in one file: the rows that each run leaves, and where they come from.

A *sitting* is the measurement of one part in one run. Rows of a part with sizes (or the like) are
replaced size by size, so that a later sitting can measure one of them anew.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Figures = Mapping[str, Any]

_KEYS: Final = ("size", "waiting", "clients", "rate")
"""Columns that tell a row's size, or the like. A part has one of them, or none."""


def key_of(part: Figures) -> str | None:
    """Return the column that tells the sizes of a part's rows; None: it has no sizes."""
    first: Mapping[str, Any] = next(iter(part.get("rows", ())), {})
    return next((key for key in _KEYS if key in first), None)


def sizes(part: Figures) -> list[int]:
    """Return the sizes that a part was measured with, least first."""
    key = key_of(part)
    return sorted({row[key] for row in part["rows"] if key in row}) if key else []


def dated(
    part: Figures, *, taken: str, commit: str, load_before: float, stolen: float | None = None
) -> dict[str, Any]:
    """Return a part with its only sitting.

    Args:
        part: Its figures.
        taken: Time of its start, in ISO's form.
        commit: The commit that was measured, abbreviated.
        load_before: Load of the machine (of one minute) at its start.
        stolen: Share of the processors' time that the machine's host gave to others meanwhile;
            None: not known.
    """
    sitting = {"taken": taken, "commit": commit, "load_before": load_before, "of": sizes(part)}
    if stolen is not None:
        sitting["stolen"] = round(stolen, 3)
    return {**part, "sittings": [sitting]}


def merged(old: Figures | None, new: Figures) -> Figures:
    """Return the figures of a new sitting, with the rows of the sizes that it didn't measure."""
    key = key_of(new)
    if old is None or key is None or key_of(old) != key:
        return new
    again = set(sizes(new))
    kept = [row for row in old["rows"] if row[key] not in again]
    earlier = [
        {**sitting, "of": left}
        for sitting in old["sittings"]
        if (left := [size for size in sitting["of"] if size not in again])
    ]
    rows = sorted([*kept, *new["rows"]], key=lambda row: row[key])
    return {**new, "rows": rows, "sittings": [*earlier, *new["sittings"]]}


def each_dated(figures: Figures) -> dict[str, Any]:
    """Return figures whose parts have sittings, also of a file that dates the whole run only."""
    return {
        name: _from_run(value, figures) if _is_part(value) and "sittings" not in value else value
        for name, value in figures.items()
        if name not in {"taken", "commit"}
    }


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and ("rows" in value or "series" in value)


def _from_run(part: Figures, figures: Figures) -> dict[str, Any]:
    rest = {name: value for name, value in part.items() if name != "load_before"}
    key = key_of(part)
    if key:
        rest["rows"] = list(_completed(part["rows"], key))
    run = {name: figures[name] for name in ("taken", "commit")}
    return dated(rest, **run, load_before=part["load_before"])


def _completed(rows: Iterable[Figures], key: str) -> Iterable[Figures]:
    """Yield all rows with a size: ratios have that of the row before them."""
    size = None
    for row in rows:
        size = row.get(key, size)
        yield {**row, key: size}
