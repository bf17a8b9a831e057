"""One burst of jobs from the first request to the last deletion, of any kind of jobs."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from tests.bench import idle
from tests.bench.audit import Write
from tests.bench.client import Send, administrator, send_all
from tests.bench.simulated import Measured, Stage
from tests.bench.usage import LocalProcess
from tests.bench.watching import watched
from tests.support.kubectl import Kubectl

from corejob_kube.client import Kube
from corejob_kube.resources import JOBS, PODS, Resource

CLIENTS: Final = 16
_SECONDS_FOR_A_JOB: Final = 1.0
_MARGIN_S: Final = 120.0
_PROCESSES: Final = {
    "operator": "operator",
    "recorder": "recorder",
    "api": "api",
    "apiserver": "kube-apiserver",
    "etcd": "etcd",
    "controllers": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "kwok": "kwok",
    "logs": "podlogs",
    "client": "",
}
"""Processes whose usage is measured, by their names in the table; the client is this process."""
_KINDS: Final = ("corejobs", "jobs", "pods", "events", "leases")


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of jobs.

    Attributes:
        kubectl: kubectl in their namespace.
        resource: What is created, and watched for its end.
        sender: Opens what creates a job.
        processes: Processes that are measured besides those of the service and the cluster.
    """

    kubectl: Kubectl
    resource: Resource
    sender: Callable[[Kube], AbstractAsyncContextManager[Send]]
    processes: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one burst.

    Attributes:
        jobs: Number of jobs.
        seconds: From the first request until all were complete.
        whole: From the first request until all was deleted.
        writes: Write requests until all was deleted.
        cpu: Processor time in seconds until all was deleted, less that of the idle processes.
        idle: The share of a processor that each process uses without jobs, taken afterwards.
    """

    jobs: int
    seconds: float
    whole: float
    writes: Counter[Write]
    cpu: Mapping[str, float]
    idle: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Jobs completed in a second."""
        return self.jobs / self.seconds

    def _job_controller(self) -> int:
        """Return the writes of the controller that the default flags limit to 20 a second."""
        return sum(count for write, count in self.writes.items() if write.actor == "job-controller")

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
            "gone/s": round(self.jobs / self.whole, 1),
            "writes": round(self.writes.total() / self.jobs, 2),
            **writes,
            "job controller": round(self._job_controller() / self.jobs, 2),
            **{f"{name} ms": round(used / self.jobs * 1000, 1) for name, used in self.cpu.items()},
        }


async def run(
    stage: Stage, workload: Workload, jobs: int, *, idle_before: Mapping[str, float] | None = None
) -> Run:
    """Run so many jobs of one kind, and wait until everything is deleted again.

    Args:
        stage: The cluster.
        workload: The kind.
        jobs: Their number.
        idle_before: The processes' idle shares after the previous run; None: they are taken now.
    """
    kubectl, resource = workload.kubectl, workload.resource
    processes = _processes(stage, workload)
    async with administrator(kubectl) as kube:
        if idle_before is None:
            idle_before = await idle.shares(processes)
        before, since, began = idle.used(processes), stage.audit.mark(), time.monotonic()
        async with (
            watched(kube, resource, kubectl.namespace) as seen,
            workload.sender(kube) as send,
        ):
            await send_all(send, clients=CLIENTS, count=jobs)
            await seen.complete(jobs, _MARGIN_S + jobs * _SECONDS_FOR_A_JOB)
            seconds = time.monotonic() - began
            await _gone(kube, kubectl, (resource, JOBS, PODS))
        took = time.monotonic() - began
        spent = {name: used - before[name] for name, used in idle.used(processes).items()}
        # Before the processes rest, since they write then too, by time.
        writes = stage.audit.writes(since, kubectl.namespace)
        idle_after = await idle.shares(processes)
    cpu = idle.net(spent, idle.lower(idle_before, idle_after), took)
    return Run(jobs, seconds, took, writes, cpu, idle_after)


async def _gone(kube: Kube, kubectl: Kubectl, resources: Sequence[Resource]) -> None:
    """Wait until none of the jobs is left; the pods of the service itself stay."""
    params = {"limit": "1", "labelSelector": "app.kubernetes.io/component notin (api,operator)"}
    async with asyncio.timeout(_MARGIN_S * 5):
        for resource in resources:
            path = resource.path(kubectl.namespace)
            while (await kube.request("GET", path, params=params))["items"]:  # noqa: ASYNC110
                await asyncio.sleep(0.5)


def _processes(stage: Stage, workload: Workload) -> dict[str, Measured]:
    own: dict[str, Measured] = {
        label: stage.process(name) if name else LocalProcess(os.getpid())
        for label, name in _PROCESSES.items()
    }
    return own | dict(workload.processes)
