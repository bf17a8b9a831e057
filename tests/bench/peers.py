"""The service, raw Jobs and Argo Workflows, with the same pods in the same cluster and run."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from tests.bench import starts, workloads
from tests.bench.argo import controller
from tests.bench.argo.workload import workload
from tests.bench.life import Run, Workload, run
from tests.bench.simulated import Stage
from tests.bench.usage import LocalProcess
from tests.cluster.output import say

_CORE4: Final = "core4"
_RAW: Final = "raw Job"
_KUBECTL: Final = "raw Job and kubectl logs -f"
_ARGO: Final = "Argo Workflows"
_OWN: Final = ("operator ms", "recorder ms", "api ms", "argo ms")
"""Processes besides Kubernetes'."""


def measure(stage: Stage, *, jobs: int, rounds: int) -> dict[str, Any]:
    """Run a burst of each kind, one after the other; then starts with real pods, taking turns."""
    job = stage.raw_job()
    with controller.running(stage.raw) as process:
        bursts = _bursts(stage, job, process, jobs)
        lines = _first_lines(stage, rounds)
    rows = [
        {"name": name, **lines.get(name, {}), **bursts.get(name, {})}
        for name in (_CORE4, _RAW, _KUBECTL, _ARGO)
    ]
    title = f"peers: {rounds} starts of real pods, bursts of {jobs} jobs, figures of one job"
    return {"title": title, "rows": rows}


def _bursts(
    stage: Stage, job: dict[str, Any], process: LocalProcess, jobs: int
) -> dict[str, dict[str, float]]:
    kinds: Mapping[str, Workload] = {
        _CORE4: workloads.core4(stage),
        _RAW: workloads.raw(stage, job),
        _ARGO: workload(stage, job, process),
    }
    rows, idle = {}, None
    for name, kind in kinds.items():
        # The first jobs of a process are slower than the others.
        idle = asyncio.run(run(stage, kind, 20, idle_before=idle)).idle
        found = asyncio.run(run(stage, kind, jobs, idle_before=idle))
        idle = found.idle
        say(f"{name}: {found.row()}")
        rows[name] = _row(found)
    return rows


def _first_lines(stage: Stage, rounds: int) -> dict[str, dict[str, float]]:
    """Return the median time from the request to the first line, in milliseconds."""
    part = starts.measure(stage.rest, stage.cluster, stage.release.kubectl, rounds=rounds)
    names = (_CORE4, _RAW, _KUBECTL)
    return {
        name: {"first line p50 ms": row["p50"]}
        for name, row in zip(names, part["series"], strict=True)
    }


def _row(found: Run) -> dict[str, float]:
    row = found.row()
    return {
        "jobs/s": row["jobs/s"],
        "writes": row["writes"],
        "apiserver ms": row["apiserver ms"],
        "etcd ms": row["etcd ms"],
        "own processes ms": round(sum(row.get(name, 0.0) for name in _OWN), 1),
    }
