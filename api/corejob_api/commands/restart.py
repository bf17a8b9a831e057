"""Restart: the next trial of a waiting job, or a child in place of a stopped one (docs/rest.md)."""

import logging

from corejob import ids, lineage
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.names import MANAGER_API
from corejob.state import STOPPED
from corejob_api.auth.users import User
from corejob_api.commands.claims import Claims, JobClaim
from corejob_api.commands.pending_creates import TakenError
from corejob_api.commands.spec_patches import SpecPatch, SpecPatcher, start_next_trial
from corejob_api.commands.store_health import StoreHealth
from corejob_api.http.errors import ApiError, forbidden, of_kubernetes
from corejob_api.queue.abilities import restart_problem
from corejob_api.queue.index import Queue
from corejob_api.queue.jobs import Jobs
from corejob_kube.client import Kube
from corejob_kube.errors import AlreadyExistsError, KubeError
from corejob_kube.resources import COREJOBS
from corejob_process.clock import Clock
from corejob_process.keyed_locks import KeyedLocks

log = logging.getLogger(__name__)


class Restart:
    """Restarts jobs in the queue."""

    def __init__(
        self,
        *,
        kube: Kube,
        namespace: str,
        store_health: StoreHealth,
        queue: Queue,
        jobs: Jobs,
        claims: Claims,
        locks: KeyedLocks,
        patcher: SpecPatcher,
        now: Clock,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._store_health = store_health
        self._queue = queue
        self._jobs = jobs
        self._claims = claims
        self._locks = locks
        self._patcher = patcher
        self._now = now

    async def restart(self, job_id: str, user: User) -> str:
        """Restart a job. Return the id of the job that runs then: the same one or its child.

        Raises:
            ApiError: 404 or 403; 409, the job is pending or running; 429 or 503, Kubernetes
                accepts no job now.
        """
        entry = self._queue.get(job_id)
        job = entry.job if entry is not None else await self._patcher.executable(job_id, user)
        async with self._locks.lock(identity(job.qual_name, job.args)):
            child_id = await self._create_missing_child(job_id, user)
            if child_id is not None:
                return child_id
            job = await self._patcher.executable(job_id, user)
            if job.unreadable:
                raise ApiError(
                    409, f"job [{job_id}] can't be restarted, since its args can't be read: "
                    f"{job.unreadable}; enqueue it anew with flatter args"
                )  # fmt: skip
            if job.state in STOPPED:
                return await self._replace(job, user)
            return str(await self._patcher.patch(job_id, user, self._next_trial))

    def _next_trial(self, job: CoreJob) -> SpecPatch:
        problem = restart_problem(job.id, job.state)
        if problem is not None:
            raise ApiError(409, problem)
        return start_next_trial(job, self._now())

    # --- a stopped job: a child replaces it -------------------------------------------------------

    async def _replace(self, job: CoreJob, user: User) -> str:
        """Replace a stopped job by a child and return the child's id.

        Take the claim first so that no enqueue can slip in, then mark the old job replaced, then
        create the new one. If the process dies after the second step, the operator creates the
        child.
        """
        await self._store_health.check()
        child_id = ids.new_id(self._now())
        claim = await self._inherit_claim(job, child_id)
        try:
            old: CoreJob = await self._patcher.patch(
                job.id, user, lambda current: SpecPatch({"childId": child_id}, current)
            )
        except ApiError:
            if claim is not None:
                await self._claims.release(claim)
            raise
        await self._create_child(old, child_id, claim)
        return child_id

    async def _inherit_claim(self, job: CoreJob, child_id: str) -> JobClaim | None:
        """Take the claim on name and args; None if another job, made by kubectl, has it."""
        fingerprint = identity(job.qual_name, job.args)
        try:
            return await self._claims.take(fingerprint, child_id, inherit_from=job.id)
        except TakenError:
            return None

    async def _create_missing_child(self, job_id: str, user: User) -> str | None:
        """Create the child of a job whose earlier restart Kubernetes refused.

        Return the child's id; None if the job has no child, or the child exists.
        """
        entry = self._queue.get(job_id)
        old = entry.job if entry is not None else None
        if old is None or old.child_id is None or await self._jobs.find(old.child_id) is not None:
            return None
        if not user.may_execute(old.qual_name):
            raise forbidden(f"no permission to execute job [{job_id}]")
        await self._create_child(old, old.child_id, None)
        return old.child_id

    async def _create_child(self, old: CoreJob, child_id: str, claim: JobClaim | None) -> None:
        body = lineage.restart(old, child_id)
        child: CoreJob | None
        try:
            created = await self._kube.create(COREJOBS, self._namespace, body, manager=MANAGER_API)
        except AlreadyExistsError:
            child = await self._jobs.fetch(child_id)  # the operator created it first
        except KubeError as error:
            # The old job already names its child, so the operator creates it as soon as possible.
            log.warning("job %s is left to the operator to create: %s", child_id, error)
            refusal = of_kubernetes(error)
            text = f"job [{child_id}], the restart of job [{old.id}], is created as soon as "
            text += f"Kubernetes accepts it: {refusal.text}"
            raise ApiError(refusal.status, text, refusal.headers) from None
        else:
            child = self._queue.put(created)
        if claim is not None and child is not None:
            self._claims.confirm(claim, child)
