"""The figures of a part as a table for people."""

from collections.abc import Sequence
from typing import Any, Final

_NOT_SHOWN: Final = ("name", "runs", "size", "clients", "waiting", "rate")
"""The name has the first column and tells the size; single runs are in the JSON only."""


def table(part: dict[str, Any]) -> str:
    """Return the figures of a part as aligned text."""
    rows = comparisons(part) if "series" in part else cells(part)
    return _aligned(part["title"], rows)


def comparisons(part: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a part with series, and of their comparisons."""
    labels = [name for name in part["series"][0] if name.startswith("p")]
    rows = [["ms", "n", *labels]]
    rows += [
        [series["name"], str(series["count"]), *(f"{series[x]:.1f}" for x in labels)]
        for series in part["series"]
    ]
    for compared in part["comparisons"]:
        pair = f"{compared['of']} - {compared['to']}"
        rows.append([pair, "", *(f"{compared['difference'][x]:+.1f}" for x in labels)])
        pair = f"{compared['of']} / {compared['to']}"
        rows.append([pair, "", *(_ratio(compared["ratio"][x]) for x in labels)])
    return rows


def cells(part: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a part with named rows of figures, in named columns."""
    found = dict.fromkeys(name for row in part["rows"] for name in row)
    columns = [name for name in found if name not in _NOT_SHOWN]
    rows = [["", *columns]]
    rows += [
        [row["name"], *(str(row.get(column, "")) for column in columns)] for row in part["rows"]
    ]
    return rows


def _aligned(title: str, rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join([title, *(_line(row, widths) for row in rows)])


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"x{value:.2f}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name = row[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(["", name, *rest])
