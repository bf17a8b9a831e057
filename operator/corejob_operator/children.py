"""Re-read Jobs and pods before deciding how a trial ended, since either watch may lag."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from corejob import names
from corejob.children import JobChild, PodChild
from corejob.model import CoreJob
from corejob.state import FINAL, State
from corejob_kube.client import Kube
from corejob_kube.errors import NotFoundError
from corejob_kube.resources import JOBS, PODS
from corejob_operator.caches import Caches
from corejob_operator.decide import next_trial, was_created


class Children:
    """The Jobs and pods that belong to a CoreJob."""

    def __init__(self, kube: Kube, caches: Caches) -> None:
        self._kube = kube
        self._caches = caches

    def jobs_of(self, job: CoreJob) -> tuple[JobChild, ...]:
        """Return the Jobs that the CoreJob owns.

        The label is not enough: anybody can set it, and an earlier CoreJob of the same name may
        have left a Job.
        """
        labelled = self._caches.jobs_of(job.name)
        return tuple(child for child in labelled if child.owner_uid == job.uid)

    def pods_of(self, job: CoreJob) -> tuple[PodChild, ...]:
        """Return the pods of the CoreJob's Jobs, including those of a Job that is gone."""
        pods = with_owner(self._caches.pods_of(job.name), job.status.pod)
        return tuple(pod for pod in pods if pod.job_id == job.id)

    def gone_pod_of(self, job: CoreJob) -> PodChild | None:
        """Return the CoreJob's last pod that had started and is gone; None without one."""
        pod = self._caches.gone_pod_of(job.name)
        pods = with_owner([] if pod is None else [pod], job.status.pod)
        return next((pod for pod in pods if pod.job_id == job.id), None)

    async def refresh_stale(self, job: CoreJob, created_trial: int | None) -> None:
        """Read the last trial's Jobs or pods into the cache where the cache may be stale.

        Args:
            job: The CoreJob.
            created_trial: See `Situation`.

        Raises:
            KubeError: The API server did not answer.
        """
        if job.status.state in FINAL:
            return
        own = self.jobs_of(job)
        running = job.status.state is State.RUNNING
        number = job.status.trial if running else next_trial(job, own)
        jobs = [child for child in own if child.trial == number]
        pods = [pod for pod in self.pods_of(job) if pod.trial == number]
        if not pods and any(child.complete or child.failed for child in jobs):
            await self._read_pods(job, number)
        if not job.stop and any(_is_deleted(pod) for pod in pods):
            for child in jobs:
                await self._read_job(job, child)
        if not jobs and not pods and not running and was_created(job, number, created_trial):
            await self._find_job(job, number)

    async def _read_pods(self, job: CoreJob, number: int) -> None:
        """Read the pods of a trial whose Job has ended, since the watch of pods may lag."""
        selector = f"{names.LABEL_COREJOB}={job.name},{names.LABEL_TRIAL}={number}"
        pods, _ = await self._kube.list(PODS, job.namespace, selector=selector)
        for pod in pods:
            self._caches.pods.put(pod)

    async def _read_job(self, job: CoreJob, child: JobChild) -> None:
        """Read the Job of a deleted pod: the Job may be deleted as well, unknown to the cache."""
        if child.deleting:
            return
        try:
            self._caches.jobs.put(await self._kube.get(JOBS, job.namespace, child.name))
        except NotFoundError:
            self._caches.jobs.forget(child.name)

    async def _find_job(self, job: CoreJob, number: int) -> None:
        """Read the Job of a trial that was created before and seems to be gone.

        The cache of an operator that takes over may be newer for CoreJobs than for Jobs.
        """
        with suppress(NotFoundError):
            name = names.trial_name(job.name, number)
            self._caches.jobs.put(await self._kube.get(JOBS, job.namespace, name))


def with_owner(pods: Iterable[PodChild], recorded: str | None) -> list[PodChild]:
    """Return the pods that a Job owns or owned: a copy of a pod has its labels, but no owner.

    Args:
        pods: Pods with the label of a CoreJob.
        recorded: Name of the pod that the status names: it is that of a trial even if it has lost
            its owner before this operator has started.
    """
    return [
        pod if pod.owner_uid is not None else replace(pod, orphaned=True)
        for pod in pods
        if pod.owner_uid is not None or pod.name == recorded
    ]


def _is_deleted(pod: PodChild) -> bool:
    return pod.deleting and pod.over and not pod.disruption
