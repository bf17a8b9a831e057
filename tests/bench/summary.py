"""The table of all aims (docs/benchmarks.md): which figure, against which baseline, and the aim."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.sittings import each_dated, key_of

Figures = Mapping[str, Any]

_ABSENT: Final = "not measured"


@dataclass(frozen=True, slots=True)
class Aim:
    """One line of the table.

    Attributes:
        figure: What is measured.
        baseline: What it is compared with.
        measured: Returns the text of the measured figure.
        aim: The aim as text.
    """

    figure: str
    baseline: str
    measured: Callable[[Figures], str]
    aim: str


def rows(figures: Figures) -> Iterator[list[str]]:
    """Yield the cells of each line."""
    figures = each_dated(figures)
    for line in _AIMS:
        try:
            measured = line.measured(figures)
        except (KeyError, StopIteration):
            measured = _ABSENT
        yield [line.figure, line.baseline, measured, line.aim]


def _row(figures: Figures, part: str, end: str) -> Mapping[str, Any]:
    """Return the last row of a part whose name ends so: that of the largest size."""
    found = [row for row in figures[part]["rows"] if row["name"].endswith(end)]
    row: Mapping[str, Any] = next(reversed(found))
    return row


def _all(figures: Figures, part: str, end: str, column: str) -> str:
    """Return a column of all rows of a part whose names end so, each with its size."""
    found = [row for row in figures[part]["rows"] if row["name"].endswith(end)]
    key = key_of(figures[part])
    return ", ".join(f"{row[key]}: {row[column]}" if key else str(row[column]) for row in found)


def _more(figures: Figures, part: str, end: str) -> str:
    """Return the differences to the first baseline of a series whose name ends so."""
    found = (each for each in figures[part]["comparisons"] if each["of"].endswith(end))
    difference = next(found)["difference"]
    return ", ".join(f"{label} {value:+.0f} ms" for label, value in difference.items())


def _service(figures: Figures) -> str:
    row = _row(figures, "burst", ": core4")
    return ", ".join(f"{row[f'{name} ms']:.1f}" for name in ("operator", "recorder", "api")) + " ms"


def _lists(figures: Figures) -> str:
    names = ("page", "search", "filter", "sort")
    found = [_row(figures, "queue", f": {name}")["p50 ms"] for name in names]
    return ", ".join(f"{value:g}" for value in found) + " ms"


def _memory(figures: Figures) -> str:
    row, start = _row(figures, "queue", ": memory"), _row(figures, "queue", ": start")
    names = ("api", "recorder", "operator")
    size = ", ".join(f"{row[f'{name} MiB']:.0f}" for name in names)
    ready = ", ".join(f"{start[f'{name} ready s']:.1f}" for name in names)
    return f"{size} MiB; ready in {ready} s"


def _killed(figures: Figures) -> str:
    series = next(each for each in figures["kills"]["series"] if "`killed`" in each["name"])
    return ", ".join(f"{label} {series[label]:.0f} ms" for label in ("p50", "p90"))


def _posts(figures: Figures) -> str:
    rows = [row for row in figures["posts"]["rows"] if row["name"] == "16 clients: POST /job"]
    p50 = f"{rows[0]['p50 ms']:g} ms" if rows else _ABSENT
    return f"{_all(figures, 'posts', 'core4 / raw', 'jobs/s')}; p50 at 16 clients: {p50}"


def _processes(figures: Figures) -> str:
    image = _row(figures, "processes", "image")["MB"]
    return f"{image} MB; {_all(figures, 'processes', 'ready', 'seconds')} s"


def _lines(figures: Figures) -> str:
    return f"{figures['lines']['comparisons'][0]['difference']['p99']:+.0f} ms"


def _followers(figures: Figures) -> str:
    return _all(figures, "followers", "to the fan-out", "p50 ms")


def _throughput(figures: Figures) -> str:
    return _all(figures, "throughput", "recorder / raw tail", "us/line")


_AIMS: Final = (
    Aim(
        "bursts by their jobs: jobs completed/s",
        "the same pods as raw Jobs",
        lambda figures: _all(figures, "burst", "core4 / raw Jobs", "jobs/s"),
        "≥ 0.6, no less at 10,000 than at 300",
    ),
    Aim(
        "bursts by their jobs: writes at the API server in a job's life",
        "raw Job with the same time to live",
        lambda figures: _all(figures, "burst", "core4 / raw Jobs", "writes"),
        "≤ +6",
    ),
    Aim("processor time of a job: operator, recorder, API", "-", _service, "≤ 10, 8, 4 ms"),
    Aim(
        "`POST /job` by clients, jobs that wait: requests/s",
        "raw create of the same CoreJob",
        _posts,
        "≥ 0.4, p50 ≤ 60 ms at 16 clients",
    ),
    Aim(
        "enqueue → first line",
        "raw Job of the same image, followed by REST",
        lambda figures: _more(figures, "starts", "first frame"),
        "≤ +60 ms p50, ≤ +150 ms p99",
    ),
    Aim("kill → `killed` on the stream", "-", _killed, "≤ 50 ms p50, ≤ 150 ms p90"),
    Aim(
        "kill → container ended",
        "deletion of a raw pod until its container has ended",
        lambda figures: _more(figures, "kills", "container ended"),
        "≤ +50 ms",
    ),
    Aim(
        "kill → pod gone",
        "deletion of a raw pod until it is gone",
        lambda figures: _more(figures, "kills", "pod gone"),
        "≤ +50 ms",
    ),
    Aim("line → SSE at 200 lines/s, p99", "`kubectl logs -f`", _lines, "≤ +12 ms"),
    Aim("1,000 and 5,000 followers of one job, p50", "bare fan-out", _followers, "≤ x2, ≤ x2.5"),
    Aim(
        "`GET /job` page, search, filter, sort, p50, longest queue",
        "-",
        _lists,
        "≤ 5, 15, 40, 30 ms at 20,000",
    ),
    Aim(
        "memory with the longest queue: API, recorder, operator; start to ready",
        "-",
        _memory,
        "≤ 350 MiB each, ready within 10 s",
    ),
    Aim(
        "recorder by lines/s: processor time of a line",
        "raw tail of the same pods",
        _throughput,
        "≤ x2",
    ),
    Aim("image; each process from start to ready", "-", _processes, "< 180 MB, < 2 s"),
)
