"""Predict the jobs a second of a cluster from the measured costs of one job (docs/scaling.md).

The model is a bottleneck analysis: each resource that a job needs has a capacity, and the one that
is used up first is the limit. The control plane and the service are counted; what the jobs
themselves need is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SINGLE_THREADED: Final = ("operator", "recorder", "api")
"""Processes of the service that use one processor at most, each."""
DEFAULT_CONTROLLER_CALLS: Final = 20.0
"""Requests a second of each controller, with the default flags of the controller manager."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of one job.

    Attributes:
        cpu: Processor time in seconds, by process; a process that isn't named costs nothing.
        writes: Write requests at the API server.
        controller_calls: Requests of the Job controller, which has a limit by flags.
    """

    cpu: Mapping[str, float]
    writes: float = 0.0
    controller_calls: float = 0.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """Resources for the jobs.

    Attributes:
        cores: Processors of the control plane and the service together.
        api_replicas: Pods of the API.
        recorders: Recorders that share the jobs (with PostgreSQL).
        operators: Releases in namespaces of their own that share the jobs.
        etcd_writes: Writes a second that etcd can do, which its disk limits; 0 means no limit.
        controller_calls: Requests a second of the Job controller; 0 means no limit.
    """

    cores: float
    api_replicas: int = 1
    recorders: int = 1
    operators: int = 1
    etcd_writes: float = 0.0
    controller_calls: float = 0.0

    def instances(self, process: str) -> int:
        """Return how many processes of a kind share the jobs."""
        shares = {"operator": 1, "recorder": self.recorders, "api": self.api_replicas}
        return shares[process] * self.operators


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most jobs a second, and what limits them."""

    rate: float
    limit: str


def predict(costs: Costs, capacity: Capacity) -> Prediction:
    """Return how many jobs a second a cluster completes, and which resource is used up first."""
    limits = {"cores": _ratio(capacity.cores, sum(costs.cpu.values()))}
    for name in SINGLE_THREADED:
        limits[name] = _ratio(capacity.instances(name), costs.cpu.get(name, 0.0))
    if capacity.etcd_writes:
        limits["etcd"] = _ratio(capacity.etcd_writes, costs.writes)
    if capacity.controller_calls:
        limits["job controller"] = _ratio(capacity.controller_calls, costs.controller_calls)
    name = min(limits, key=lambda limit: limits[limit])
    return Prediction(limits[name], name)


def _ratio(available: float, needed: float) -> float:
    return available / needed if needed else float("inf")
