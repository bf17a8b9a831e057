"""Bursts of jobs that complete at once, against the same pods as raw Jobs, pair after pair.

Throughput, writes at the API server, and processor time, on simulated nodes. A run lasts from
the first request until everything is deleted again.
"""

import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.bench import workloads
from tests.bench.figures import spread
from tests.bench.life import Run, run
from tests.bench.simulated import Stage
from tests.cluster.output import say


def measure(stage: Stage, *, sizes: Sequence[int], pairs: int) -> dict[str, Any]:
    """Run `pairs` pairs of each size."""
    core4, raw_jobs = workloads.core4(stage), workloads.raw(stage, stage.raw_job())
    # The first jobs of a process are slower than the others.
    last = asyncio.run(run(stage, core4, 20))
    rows: list[dict[str, Any]] = []
    for size in sizes:
        ours, raw = [], []
        for number in range(pairs):
            ours.append(asyncio.run(run(stage, core4, size, idle_before=last.idle)))
            last = asyncio.run(run(stage, raw_jobs, size, idle_before=ours[-1].idle))
            raw.append(last)
            say(f"pair {number + 1} of {pairs}: {ours[-1].row()}; {raw[-1].row()}")
        rows += _rows(size, ours, raw)
    return {"title": "bursts of jobs that complete at once, figures of one job", "rows": rows}


def _rows(size: int, ours: Sequence[Run], raw: Sequence[Run]) -> list[dict[str, Any]]:
    mine, theirs = _middle(ours), _middle(raw)
    ratios = [mine_run.rate / raw_run.rate for mine_run, raw_run in zip(ours, raw, strict=True)]
    return [
        {"name": f"{size} jobs: core4", "size": size, **mine, "runs": _details(ours)},
        {"name": f"{size} jobs: raw Jobs", "size": size, **theirs, "runs": _details(raw)},
        {
            "name": "  core4 / raw Jobs",
            "size": size,
            "jobs/s": f"x{spread(ratios)}",
            "writes": f"{mine['writes'] - theirs['writes']:+.2f}",
        },
    ]


def _details(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [{**run.row(), "by actor": run.by_actor()} for run in runs]


def _middle(runs: Sequence[Run]) -> dict[str, float]:
    """Return the median of each figure."""
    rows = [run.row() for run in runs]
    return {name: round(median(row[name] for row in rows), 2) for name in rows[0]}
