"""Distinguish the pods of a CoreJob's own Jobs from pods that only have their labels.

Anybody who may create pods can write labels and annotations, so the chain of controllers counts: a
Job controls the pod, and the CoreJob controls the Job, each identified by its uid.
"""

import logging
from collections.abc import Callable, Collection
from typing import Final

from corejob import model, names
from corejob.children import controller
from corejob.model import CoreJob
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import NotFoundError
from corejob_kube.informer import Informer
from corejob_kube.resources import COREJOBS, JOBS

log = logging.getLogger(__name__)

_NOBODY: Final = ""


class Owners:
    """The owning CoreJob of each pod, checked once per pod."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        jobs: Informer,
        *,
        parse: Callable[[Body], CoreJob] = model.parse,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._jobs = jobs
        self._parse = parse
        self._owners: dict[str, str] = {}

    def is_known(self, pod: JobPod) -> bool:
        """True if the pod was checked."""
        return pod.uid in self._owners

    def owner(self, pod: JobPod) -> str | None:
        """Return the uid of the CoreJob that owns a checked pod, or None."""
        return self._owners.get(pod.uid) or None

    def may_own(self, pod: JobPod) -> bool:
        """True if a pod that could not be checked looks like the one of its CoreJob's last trial.

        Anybody may have labelled it, so nothing is written that a reader would take for proved.
        """
        body = self._jobs.get(pod.child.corejob)
        job = self._parse(body) if body is not None else None
        return (
            job is not None
            and (pod.source.job_id, pod.child.trial) == (job.id, job.status.trial)
            and pod.job_name == f"{job.name}-{pod.child.trial}"
        )

    def keep(self, uids: Collection[str]) -> None:
        """Forget all pods except these."""
        self._owners = {uid: owner for uid, owner in self._owners.items() if uid in uids}

    async def check(self, pod: JobPod) -> None:
        """Find the CoreJob that owns a pod.

        Raises:
            KubeError: The API server does not answer.
        """
        job = await self._corejob(pod.child.corejob)
        is_own = job is not None and await self._is_own(pod, job)
        self._owners[pod.uid] = job.uid if job is not None and is_own else _NOBODY
        if not is_own:
            log.warning(
                "pod %s has the labels of CoreJob %s, but is not of its Jobs: its log is not read",
                pod.child.name,
                pod.child.corejob,
            )

    async def _corejob(self, name: str) -> CoreJob | None:
        """Return the CoreJob, or None; ask the API server, since its watch may lag behind pods."""
        body = self._jobs.get(name)
        if body is None:
            try:
                body = await self._kube.get(COREJOBS, self._namespace, name)
            except NotFoundError:
                return None
            self._jobs.put(body)
        return self._parse(body)

    async def _is_own(self, pod: JobPod, job: CoreJob) -> bool:
        if pod.source.job_id != job.id or pod.job_name != f"{job.name}-{pod.child.trial}":
            return False
        try:
            body = await self._kube.get(JOBS, self._namespace, pod.job_name)
        except NotFoundError:
            # The Job was deleted before the pod was seen, by a kill or by a user. Then the pod
            # counts as long as its trial's log may be incomplete.
            return pod.child.trial >= job.status.trial and not (
                job.archivable and job.log_finalised
            )
        owner = controller(body["metadata"])
        same = body["metadata"]["uid"] == pod.child.owner_uid
        return same and (owner.get("kind"), owner.get("uid")) == (names.KIND_JOB, job.uid)
