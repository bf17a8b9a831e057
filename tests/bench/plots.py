"""Plots of cost against size, as SVG files for the documentation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.bench.sittings import sizes

Row = Mapping[str, Any]

_SIZE: Final = (6.4, 3.2)
_STACKED: Final = ("operator", "recorder", "api", "apiserver", "etcd", "controllers", "scheduler")
_RAW: Final = ("apiserver", "etcd", "controllers", "scheduler")
_LISTS: Final = ("page", "search", "filter", "sort")
_MEMORY: Final = ("api", "recorder", "operator")


def draw(figures: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all plots that are shown, and delete all others; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    # The same figures give the same file.
    mpl.rcParams.update({"svg.hashsalt": "core4", "svg.fonttype": "none", "font.size": 9})
    drawn = []
    for plot in shown(figures):
        figure = Figure(_SIZE, layout="constrained")
        plot.draw(figure.subplots(), figures[plot.part]["rows"])
        path = folder / f"{plot.name}.svg"
        figure.savefig(path, metadata={"Date": None})
        drawn.append(path)
    for stale in set(folder.glob("*.svg")) - set(drawn):
        stale.unlink()
    return drawn


def shown(figures: Mapping[str, Any]) -> list["Plot"]:
    """Return the plots whose part was measured with enough sizes."""
    return [
        plot
        for plot in PLOTS
        if plot.part in figures and len(sizes(figures[plot.part])) >= plot.least
    ]


def _burst_rate(axes: Axes, rows: Sequence[Row]) -> None:
    for label, ours in (("core4", True), ("raw Jobs", False)):
        found = list(_bursts(rows, ours=ours))
        _line(axes, label, [(row["size"], row["jobs/s"]) for row in found])
    _finish(axes, "jobs in the burst", "jobs completed in a second")


def _burst_cpu(axes: Axes, rows: Sequence[Row]) -> None:
    ours, raw = list(_bursts(rows, ours=True)), list(_bursts(rows, ours=False))
    labels = [f"{row['size']}\n{kind}" for row in ours for kind in ("core4", "raw")]
    bars = [row for pair in zip(ours, raw, strict=True) for row in pair]
    bottom = [0.0] * len(bars)
    for name in _STACKED:
        heights = [row[f"{name} ms"] if row in ours or name in _RAW else 0.0 for row in bars]
        axes.bar(labels, heights, bottom=bottom, label=name)
        bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
    axes.set_ylabel("processor time of a job, ms")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _posts(axes: Axes, rows: Sequence[Row]) -> None:
    for label, kind in (("POST /job", "POST"), ("raw create", "raw create")):
        found = [row for row in rows if "clients" in row and kind in row["name"]]
        _line(axes, label, [(row["clients"], row["jobs/s"]) for row in found])
    _finish(axes, "clients", "requests in a second")


def _lists(axes: Axes, rows: Sequence[Row]) -> None:
    for label in _LISTS:
        found = [row for row in rows if row["name"].endswith(f": {label}")]
        _line(axes, label, [(row["waiting"], row["p50 ms"]) for row in found])
    _finish(axes, "waiting jobs", "GET /job, p50, ms", logarithmic=False)


def _memory(axes: Axes, rows: Sequence[Row]) -> None:
    found = [row for row in rows if row["name"].endswith(": memory")]
    for name in _MEMORY:
        _line(axes, name, [(row["waiting"], row[f"{name} MiB"]) for row in found])
    _finish(axes, "waiting jobs, 200 running beside them", "memory, MiB", logarithmic=False)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        name: Name of its file without the suffix.
        part: Part of the benchmark.
        title: What it shows, for those who can't see it.
        draw: Draws the rows of the part.
        least: Number of sizes from which on it tells something; a line through two does not.
    """

    name: str
    part: str
    title: str
    draw: Callable[[Axes, Sequence[Row]], None]
    least: int = 3


PLOTS: Final = (
    Plot("burst", "burst", "Jobs completed in a second, against the number of jobs", _burst_rate),
    Plot("cpu", "burst", "Processor time of a job, by process", _burst_cpu, least=1),
    Plot("posts", "posts", "Requests in a second, against the number of clients", _posts),
    Plot("lists", "queue", "GET /job, against the number of waiting jobs", _lists),
    Plot("memory", "queue", "Memory, against the number of waiting jobs", _memory),
)


def _bursts(rows: Sequence[Row], *, ours: bool) -> Iterator[Row]:
    for row in rows:
        if row["name"].endswith(": core4" if ours else ": raw Jobs"):
            yield row


def _line(axes: Axes, label: str, points: Sequence[tuple[float, float]]) -> None:
    axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)


def _finish(axes: Axes, x: str, y: str, *, logarithmic: bool = True) -> None:
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
