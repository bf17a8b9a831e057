"""The generated sections of the documentation: one function for each, figures in, Markdown out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.bench import summary
from tests.bench.plots import PLOTS
from tests.bench.tables import cells, comparisons
from tests.bench.validation import CORES, capacities, predictions

Figures = Mapping[str, Any]

NOT_MEASURED: Final = "Not measured yet.\n"


def section(name: str, figures: Figures) -> str:
    """Return the text of a section; that of a part is its table."""
    write = _SECTIONS.get(name)
    if write is not None:
        return write(figures)
    if name not in figures:
        return NOT_MEASURED
    part = figures[name]
    rows = comparisons(part) if "series" in part else cells(part)
    images = [f"![{plot.title}](bench/{plot.name}.svg)\n\n" for plot in PLOTS if plot.part == name]
    load = f"\nLoad of the machine before: {part['load_before']}.\n"
    return "".join(images) + _table(rows) + load


def _environment(figures: Figures) -> str:
    machine = figures["machine"]
    return (
        f"Taken {figures['taken'][:10]} on {machine['cpus']} processors, {machine['system']}, "
        f"Kubernetes {figures['kubernetes']}, Python {figures['python']}, SQLite, "
        f"core4 {figures['version']} ({figures['commit']}).\n"
    )


def _summary(figures: Figures) -> str:
    return _table([["figure", "baseline", "measured", "aim"], *summary.rows(figures)])


def _predictions(figures: Figures) -> str:
    if "burst" not in figures:
        return NOT_MEASURED
    return _table([["burst", "predicted", "limit", "measured", "ratio"], *predictions(figures)])


def _capacities(figures: Figures) -> str:
    if "burst" not in figures:
        return NOT_MEASURED
    head = ["jobs/s, and what is used up first", *(f"{cores} processors" for cores in CORES)]
    return _table([head, *capacities(figures)])


_SECTIONS: Final[Mapping[str, Callable[[Figures], str]]] = {
    "environment": _environment,
    "summary": _summary,
    "predictions": _predictions,
    "capacities": _capacities,
}
"""Sections that are not the table of one part."""


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [" | ".join(cell.strip() or " " for cell in row) for row in rows]
    rule = " | ".join("---" for _ in rows[0])
    return "".join(f"| {line} |\n" for line in (head, rule, *body))
