"""Jobs on simulated nodes (`tests.cluster.kwok`): the service's, and the same pods as raw Jobs.

Both kinds have a namespace of their own, so that writes are counted apart. The service's release is
made for the measurement: its CoreJobs are deleted soon after their end, as the raw Jobs are.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tests.bench.audit import AuditLog
from tests.bench.client import administrator, send_all
from tests.bench.raw import Cluster
from tests.bench.usage import API, OPERATOR, RECORDER, LocalProcess, Process, Usage
from tests.cluster import deploy, kwok
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider
from tests.support.kubectl import Kubectl
from tests.support.release import Release, released
from tests.support.rest import Rest

from corejob_kube.errors import NotFoundError
from corejob_kube.resources import COREJOBS

COMPLETE: Final = "bench.jobs.Complete"
"""Job whose pod completes at once."""
RUN: Final = "bench.jobs.Run"
"""Job whose pod runs until it is deleted."""
WAITING: Final = tuple(f"bench.jobs.Wait{number:02}" for number in range(20))
"""Jobs of which one runs like `RUN`, and all others of the same name wait."""
TTL_SECONDS: Final = 2
_NO_LIMIT: Final = 1_000_000
_SERVICE: Final[Mapping[str, tuple[int, str]]] = {
    "operator": (OPERATOR, "operator"),
    "recorder": (RECORDER, "api"),
    "api": (API, "api"),
}
_AT_ONCE: Final = 32
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
        provider: The cluster.
        release: The service.
        rest: Its administrator, by token.
        cluster: The API server.
        raw: kubectl in the namespace of the raw Jobs.
        audit: The audit log.
    """

    provider: LocalCluster
    release: Release
    rest: Rest
    cluster: Cluster
    raw: Kubectl
    audit: AuditLog

    def process(self, name: str) -> Measured:
        """Return a process of the service, or of the control plane."""
        if name in _SERVICE:
            return Process.of(self.cluster, self.release.kubectl, *_SERVICE[name])
        return LocalProcess(self.provider.pids[name])

    def raw_job(self) -> dict[str, Any]:
        """Return a raw Job with the pod of the service's Job, without its name."""
        # One that runs, since one that completes is soon deleted.
        job_id = self.rest.enqueue(RUN, pattern=True)
        self.rest.wait_state(job_id, "running")
        (job,) = self.release.kubectl.items("jobs", "-l", f"core4.io/qual-name={RUN}")
        self.rest.kill(job_id)
        self.rest.remove(job_id)
        self.rest.wait_journaled(job_id)
        pod = {**job["spec"]["template"]["spec"], **kwok.placement(kwok.COMPLETE)}
        spec = {key: job["spec"][key] for key in ("backoffLimit", "podFailurePolicy")}
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
        release.kubectl.apply(*(_template(name) for name in (COMPLETE, RUN, *WAITING)))
        for name in (COMPLETE, RUN, *WAITING):
            rest.wait_listed(name)
        audit = AuditLog(provider.audit_log)
        try:
            yield Stage(provider, release, rest, cluster, raw, audit)
        finally:
            # Thousands of jobs would be ended and stored one by one, for nothing.
            asyncio.run(_drop_jobs(release))


@contextlib.contextmanager
def _namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "namespace", kubectl.namespace)
    try:
        yield kubectl
    finally:
        kubectl("delete", "namespace", kubectl.namespace, timeout=300)


def _template(qual_name: str) -> dict[str, Any]:
    behaviour = kwok.COMPLETE if qual_name == COMPLETE else kwok.RUN
    parallel = 1 if qual_name in WAITING else _NO_LIMIT
    spec = {
        "qualName": qual_name,
        "author": "the benchmark",
        "properties": {"maxParallel": parallel},
        "template": {"spec": kwok.placement(behaviour)},
    }
    return {
        "apiVersion": "core4.io/v1",
        "kind": "CoreJobTemplate",
        "metadata": {"name": qual_name.lower()},
        "spec": spec,
    }


async def _drop_jobs(release: Release) -> None:
    """Stop the service, and delete all jobs without their finalizers."""
    for component in ("operator", "api"):
        name = f"deployment/{deploy.RELEASE}-{component}"
        release.kubectl("scale", name, "--replicas=0")
    async with administrator(release.kubectl) as kube:
        jobs, _ = await kube.list(COREJOBS, release.namespace)

        async def drop(number: int) -> None:
            name = jobs[number]["metadata"]["name"]
            with contextlib.suppress(NotFoundError):
                patch = {"metadata": {"finalizers": None}}
                await kube.patch(COREJOBS, release.namespace, name, patch, manager="core4-bench")
                await kube.delete(COREJOBS, release.namespace, name)

        await send_all(drop, clients=_AT_ONCE, count=len(jobs))
