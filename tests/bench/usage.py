"""Processor time and memory of a process of the service, by its own metrics."""

import os
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.bench import procfs
from tests.bench.raw import Cluster
from tests.support.kubectl import Kubectl

API = 5004
RECORDER = 5002
OPERATOR = 5003
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of a process since its start.

    Attributes:
        cpu: Processor time in seconds.
        mib: Memory in use now, in MiB.
    """

    cpu: float
    mib: float


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the service, by its port; read through the API server, as in any cluster."""

    cluster: Cluster
    path: str

    @classmethod
    def of(cls, cluster: Cluster, kubectl: Kubectl, port: int, component: str = "api") -> "Process":
        """Return the process of a component's only pod that serves its metrics at this port."""
        pods = [
            pod["metadata"]["name"]
            for pod in kubectl.items("pods", "-l", f"app.kubernetes.io/component={component}")
            if "deletionTimestamp" not in pod["metadata"]
        ]
        assert len(pods) == 1, f"the figures are those of one pod, not of {pods}"
        path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pods[0]}:{port}/proxy/metrics"
        return cls(cluster, path)

    def usage(self) -> Usage:
        """Return the usage so far."""
        values = {
            sample.name: sample.value
            for family in text_string_to_metric_families(self.cluster.text(self.path))
            for sample in family.samples
            if not sample.labels
        }
        memory = values["process_resident_memory_bytes"] / 2**20
        return Usage(values["process_cpu_seconds_total"], memory)


@dataclass(frozen=True, slots=True)
class LocalProcess:
    """A process of this machine."""

    pid: int

    def usage(self) -> Usage:
        """Return the usage so far."""
        folder = Path(f"/proc/{self.pid}")
        fields = (folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        memory = procfs.mib((folder / "status").read_text(encoding="ascii"), "VmRSS")
        return Usage((int(fields[11]) + int(fields[12])) / _TICKS, memory)
