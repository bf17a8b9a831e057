"""Bursts of jobs that complete at once, against the same pods as raw Jobs, pair after pair.

Throughput, writes at the API server, and processor time, on simulated nodes. A run lasts from
the first request until everything is deleted again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from tests.bench.audit import Write
from tests.bench.client import Send, administrator, creator, enqueuer, send_all
from tests.bench.figures import spread
from tests.bench.finished import watched
from tests.bench.simulated import COMPLETE, Stage
from tests.cluster.output import say
from tests.support.kubectl import Kubectl

from corejob_kube.client import Kube
from corejob_kube.resources import COREJOBS, JOBS, PODS, Resource

CLIENTS: Final = 16
_IDLE_S: Final = 5.0
"""Time for which the idle processes are measured before each run."""
_SECONDS_FOR_A_JOB: Final = 1.0
_MARGIN_S: Final = 120.0
_KINDS: Final = ("corejobs", "jobs", "pods", "events", "leases")


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one burst.

    Attributes:
        jobs: Number of jobs.
        seconds: From the first request until all were complete.
        writes: Write requests until all was deleted.
        cpu: Processor time in seconds until all was deleted, less that of the idle processes.
    """

    jobs: int
    seconds: float
    writes: Counter[Write]
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Jobs completed in a second."""
        return self.jobs / self.seconds

    def by_actor(self) -> dict[str, float]:
        """Return the writes of one job by actor, verb and resource, most first."""
        return {
            f"{write.actor} {write.verb} {write.resource}": round(count / self.jobs, 3)
            for write, count in self.writes.most_common()
        }

    def row(self) -> dict[str, float]:
        """Return the figures for one job, processor time in milliseconds."""
        kinds: Counter[str] = Counter()
        for write, count in self.writes.items():
            kinds[write.kind if write.kind in _KINDS else "others"] += count
        writes = {kind: round(kinds[kind] / self.jobs, 2) for kind in _KINDS}
        return {
            "jobs/s": round(self.rate, 1),
            "writes": round(self.writes.total() / self.jobs, 2),
            **writes,
            **{f"{name} ms": round(used / self.jobs * 1000, 1) for name, used in self.cpu.items()},
        }


def measure(stage: Stage, *, sizes: Sequence[int], pairs: int) -> dict[str, Any]:
    """Run `pairs` pairs of each size."""
    # The first jobs of a process are slower than the others.
    pod = stage.raw_job()
    asyncio.run(_run(stage, pod, 20, ours=True))
    rows: list[dict[str, Any]] = []
    for size in sizes:
        ours, raw = [], []
        for number in range(pairs):
            ours.append(asyncio.run(_run(stage, pod, size, ours=True)))
            raw.append(asyncio.run(_run(stage, pod, size, ours=False)))
            say(f"pair {number + 1} of {pairs}: {ours[-1].row()}; {raw[-1].row()}")
        rows += _rows(size, ours, raw)
    return {"title": "bursts of jobs that complete at once, figures of one job", "rows": rows}


async def _run(stage: Stage, pod: dict[str, Any], jobs: int, *, ours: bool) -> Run:
    kubectl, resource = (stage.release.kubectl, COREJOBS) if ours else (stage.raw, JOBS)
    async with administrator(kubectl) as kube:
        idle = await _idle(stage)
        before, since, began = _usage(stage), stage.audit.mark(), time.monotonic()
        async with (
            watched(kube, resource, kubectl.namespace) as finished,
            _sender(stage, kube, pod, ours=ours) as send,
        ):
            await send_all(send, clients=CLIENTS, count=jobs)
            patience = _MARGIN_S + jobs * _SECONDS_FOR_A_JOB
            await finished.reached(jobs, patience)
            seconds = time.monotonic() - began
        await _gone(kube, kubectl, (resource, JOBS, PODS))
        took = time.monotonic() - began
        after = _usage(stage)
    cpu = {name: max(0.0, after[name] - before[name] - idle[name] * took) for name in after}
    return Run(jobs, seconds, stage.audit.writes(since, kubectl.namespace), cpu)


@asynccontextmanager
async def _sender(
    stage: Stage, kube: Kube, pod: dict[str, Any], *, ours: bool
) -> AsyncIterator[Send]:
    if not ours:
        yield creator(kube, JOBS.path(stage.raw.namespace), lambda _: pod)
        return
    stamp = time.time_ns()
    async with enqueuer(stage.rest, COMPLETE, lambda number: {"n": f"{stamp}-{number}"}) as send:
        yield send


async def _gone(kube: Kube, kubectl: Kubectl, resources: Sequence[Resource]) -> None:
    """Wait until none of the jobs is left; the pods of the service itself stay."""
    params = {"limit": "1", "labelSelector": "app.kubernetes.io/component notin (api,operator)"}
    async with asyncio.timeout(_MARGIN_S * 5):
        for resource in resources:
            path = resource.path(kubectl.namespace)
            while (await kube.request("GET", path, params=params))["items"]:  # noqa: ASYNC110
                await asyncio.sleep(0.5)


async def _idle(stage: Stage) -> dict[str, float]:
    """Return the share of a processor that each process uses while there are no jobs."""
    before = _usage(stage)
    await asyncio.sleep(_IDLE_S)
    return {name: (used - before[name]) / _IDLE_S for name, used in _usage(stage).items()}


def _usage(stage: Stage) -> dict[str, float]:
    return {name: process.usage().cpu for name, process in stage.processes.items()}


def _rows(size: int, ours: Sequence[Run], raw: Sequence[Run]) -> list[dict[str, Any]]:
    mine, theirs = _middle(ours), _middle(raw)
    ratios = [mine_run.rate / raw_run.rate for mine_run, raw_run in zip(ours, raw, strict=True)]
    return [
        {"name": f"{size} jobs: core4", **mine, "runs": _details(ours)},
        {"name": f"{size} jobs: raw Jobs", **theirs, "runs": _details(raw)},
        {
            "name": "  core4 / raw Jobs",
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
