"""The generated sections of the documentation: one function for each, figures in, Markdown out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.bench import summary
from tests.bench.plots import shown
from tests.bench.sittings import each_dated
from tests.bench.tables import cells, comparisons
from tests.bench.validation import CORES, capacities, predictions

Figures = Mapping[str, Any]

NOT_MEASURED: Final = "Not measured yet.\n"


def section(name: str, figures: Figures) -> str:
    """Return the text of a section; that of a part is its table."""
    figures, write = each_dated(figures), _SECTIONS.get(name)
    if write is not None:
        return write(figures)
    if name not in figures:
        return NOT_MEASURED
    part = figures[name]
    rows = comparisons(part) if "series" in part else cells(part)
    plots = [plot for plot in shown(figures) if plot.part == name]
    images = [f"![{plot.title}](bench/{plot.name}.svg)\n\n" for plot in plots]
    return "".join(images) + _table(rows) + "\n" + _sittings(part["sittings"])


def _environment(figures: Figures) -> str:
    machine = figures["machine"]
    return (
        f"{machine['cpus']} processors, {machine['system']}, Kubernetes {figures['kubernetes']}, "
        f"Python {figures['python']}, SQLite, core4 {figures['version']}. "
        "Date and commit of each part are below its table.\n"
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


def _sittings(sittings: Sequence[Figures]) -> str:
    """Return where the figures come from; which ones, if they come from several runs."""
    lines = []
    for sitting in sittings:
        of = ", ".join(map(str, sitting["of"]))
        which = f"{of}: taken" if len(sittings) > 1 else "Taken"
        lines.append(
            f"{which} {sitting['taken'][:10]} ({sitting['commit']}); "
            f"load of the machine before: {sitting['load_before']}{_stolen(sitting)}."
        )
    # Two spaces at the end of a line break it.
    return "  \n".join(lines) + "\n"


def _stolen(sitting: Figures) -> str:
    share = sitting.get("stolen")
    return "" if share is None else f"; taken away by its host: {share:.0%}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [" | ".join(cell.strip() or " " for cell in row) for row in rows]
    rule = " | ".join("---" for _ in rows[0])
    return "".join(f"| {line} |\n" for line in (head, rule, *body))
