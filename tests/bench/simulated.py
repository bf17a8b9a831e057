"""Jobs on simulated nodes (`tests.cluster.kwok`): the service's, and the same pods as raw Jobs.

Both kinds have a namespace of their own, so that writes are counted apart. The service's release is
made for the measurement: its CoreJobs are deleted soon after their end, as the raw Jobs are.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tests.bench.audit import AuditLog
from tests.bench.raw import Cluster
from tests.bench.usage import API, OPERATOR, RECORDER, LocalProcess, Process, Usage
from tests.cluster import deploy, kwok
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider
from tests.support.kubectl import Kubectl
from tests.support.release import Release, released
from tests.support.rest import Rest
from tests.support.waiting import until

COMPLETE: Final = "bench.jobs.Complete"
"""Job whose pod completes at once."""
RUN: Final = "bench.jobs.Run"
"""Job whose pod runs until it is deleted."""
TTL_SECONDS: Final = 2
_NO_LIMIT: Final = 1_000_000
_VALUES: Final[Mapping[str, Any]] = {
    "api": {"queueLimit": 100_000},
    "jobs": {"ttlSeconds": TTL_SECONDS},
    "persistence": {"keep": False},
    "rbac": {"aggregate": False},
}


class Measured(Protocol):
    """A process whose usage is measured."""

    def usage(self) -> Usage:
        """Return the usage so far."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A release, and a namespace without one, in a cluster with simulated nodes.

    Attributes:
        release: The service.
        rest: Its administrator, by token.
        cluster: The API server.
        raw: kubectl in the namespace of the raw Jobs.
        audit: The audit log.
        processes: What is measured, by its name.
    """

    release: Release
    rest: Rest
    cluster: Cluster
    raw: Kubectl
    audit: AuditLog
    processes: Mapping[str, Measured]

    def raw_job(self) -> dict[str, Any]:
        """Return a raw Job with the pod of the service's Job, without its name."""
        kubectl = self.release.kubectl
        job_id = self.rest.enqueue(COMPLETE, pattern=True)
        selector = f"core4.io/qual-name={COMPLETE}"
        jobs = until(lambda: kubectl.items("jobs", "-l", selector), what="the first Job exists")
        self.rest.wait_journaled(job_id)
        pod: dict[str, Any] = jobs[0]["spec"]["template"]["spec"]
        spec = {key: jobs[0]["spec"][key] for key in ("backoffLimit", "podFailurePolicy")}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"generateName": "raw-", "namespace": self.raw.namespace},
            "spec": {
                **spec,
                "ttlSecondsAfterFinished": TTL_SECONDS,
                "template": {"spec": pod},
            },
        }


@contextlib.contextmanager
def staged(provider: Provider) -> Iterator[Stage]:
    """Start all that is needed, and take it away at the end.

    Raises:
        ClusterError: The cluster is not the local one, whose processes can be measured.
    """
    if not isinstance(provider, LocalCluster):
        raise ClusterError(f"simulated nodes need the local cluster; this one is {provider.name}")
    image = deploy.provide_image(provider)
    with (
        provider.simulated_nodes(),
        released(provider, image, _VALUES) as release,
        Cluster.connect(release.kubectl, f"deployment/{deploy.RELEASE}-api") as cluster,
        release.rest() as admin,
        admin.by_token() as rest,
        _namespace(Kubectl(provider, f"{release.namespace}-raw")) as raw,
    ):
        release.kubectl.apply(*(_template(name) for name in (COMPLETE, RUN)))
        for name in (COMPLETE, RUN):
            rest.wait_listed(name)
        processes = _processes(provider, cluster, release.kubectl)
        yield Stage(release, rest, cluster, raw, AuditLog(provider.audit_log), processes)


@contextlib.contextmanager
def _namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "namespace", kubectl.namespace)
    try:
        yield kubectl
    finally:
        kubectl("delete", "namespace", kubectl.namespace, timeout=300)


def _template(qual_name: str) -> dict[str, Any]:
    behaviour = kwok.COMPLETE if qual_name == COMPLETE else kwok.RUN
    spec = {
        "qualName": qual_name,
        "author": "the benchmark",
        "properties": {"maxParallel": _NO_LIMIT},
        "template": {"spec": kwok.placement(behaviour)},
    }
    return {
        "apiVersion": "core4.io/v1",
        "kind": "CoreJobTemplate",
        "metadata": {"name": qual_name.lower()},
        "spec": spec,
    }


def _processes(
    provider: LocalCluster, cluster: Cluster, kubectl: Kubectl
) -> Mapping[str, Measured]:
    pids = provider.pids
    return {
        "operator": Process.of(cluster, kubectl, OPERATOR, "operator"),
        "recorder": Process.of(cluster, kubectl, RECORDER),
        "api": Process.of(cluster, kubectl, API),
        "apiserver": LocalProcess(pids["kube-apiserver"]),
        "etcd": LocalProcess(pids["etcd"]),
        "controllers": LocalProcess(pids["kube-controller-manager"]),
        "scheduler": LocalProcess(pids["kube-scheduler"]),
    }
