"""The service, raw Jobs and Argo Workflows, with the same pods in the same cluster and run."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.bench import workloads
from tests.bench.argo import controller
from tests.bench.argo.workload import workload
from tests.bench.life import Run, Workload, run
from tests.bench.simulated import Stage
from tests.cluster.output import say


def measure(stage: Stage, *, jobs: int) -> dict[str, Any]:
    """Run a burst of each kind, one after the other."""
    job = stage.raw_job()
    with controller.running(stage.raw) as process:
        kinds: Mapping[str, Workload] = {
            "core4": workloads.core4(stage),
            "raw Job": workloads.raw(stage, job),
            "Argo Workflows": workload(stage, job, process),
        }
        rows = []
        for name, kind in kinds.items():
            # The first jobs of a process are slower than the others.
            asyncio.run(run(stage, kind, 20))
            found = asyncio.run(run(stage, kind, jobs))
            say(f"{name}: {found.row()}")
            rows.append({"name": name, **_row(found)})
    return {"title": f"peers, bursts of {jobs} jobs, figures of one job", "rows": rows}


def _row(found: Run) -> dict[str, float]:
    row = found.row()
    own = ("operator ms", "recorder ms", "api ms", "argo ms")
    return {
        "jobs/s": row["jobs/s"],
        "writes": row["writes"],
        "apiserver ms": row["apiserver ms"],
        "etcd ms": row["etcd ms"],
        "own processes ms": round(sum(row.get(name, 0.0) for name in own), 1),
    }
