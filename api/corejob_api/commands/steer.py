"""Commands kill, restart and remove (docs/rest.md): patches of the CoreJob, based on its state."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from corejob import ids, lineage, timestamps
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.names import MANAGER_API
from corejob.state import FINAL, STOPPED, State
from corejob_api.auth.users import User
from corejob_api.commands.claims import Claim, Claims, TakenError
from corejob_api.commands.store_health import Storing
from corejob_api.http.errors import (
    ApiError,
    forbidden,
    job_not_found,
    of_kubernetes,
    unavailable,
)
from corejob_api.queue.index import Queue
from corejob_api.queue.jobs import Jobs
from corejob_kube.client import Kube
from corejob_kube.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    KubeError,
    NotFoundError,
)
from corejob_kube.resources import COREJOBS
from corejob_process.clock import Clock
from corejob_process.keyed_locks import KeyedLocks

log = logging.getLogger(__name__)

_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Change:
    """A patch of the spec, and the answer to the client.

    Attributes:
        spec: Fields of the spec to set; empty if nothing changes.
        answer: Answer to the client.
    """

    spec: dict[str, Any]
    answer: Any = True


def kill(job: CoreJob) -> Change:
    """Kill a job; a finished one stays as it is.

    A pending restart request is withdrawn, since the last command wins.
    """
    return Change({} if job.state in FINAL else {"kill": True, "restartAt": None})


def remove(job: CoreJob) -> Change:
    """Remove a job from the queue; a running one is removed when its trial ends."""
    return Change({} if job.remove else {"remove": True})


def restart_waiting(job: CoreJob, now: datetime) -> Change:
    """Start the next trial of a failed or deferred job at once."""
    return Change({"restartAt": timestamps.render(now)}, job.id)


class Steer:
    """Runs commands on jobs in the queue."""

    def __init__(
        self,
        *,
        kube: Kube,
        namespace: str,
        storing: Storing,
        queue: Queue,
        jobs: Jobs,
        claims: Claims,
        locks: KeyedLocks,
        now: Clock,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._storing = storing
        self._queue = queue
        self._jobs = jobs
        self._claims = claims
        self._locks = locks
        self._now = now

    async def kill(self, job_id: str, user: User) -> bool:
        """Kill a job."""
        return bool(await self._change(job_id, user, kill))

    async def remove(self, job_id: str, user: User) -> bool:
        """Remove a job from the queue."""
        return bool(await self._change(job_id, user, remove))

    async def restart(self, job_id: str, user: User) -> str:
        """Restart a job. Return the id of the job that runs then: the same one or its child.

        Raises:
            ApiError: 404 or 403; 409, the job is pending or running; 429 or 503, Kubernetes
                accepts no job now.
        """
        entry = self._queue.get(job_id)
        job = entry.job if entry is not None else await self._steerable(job_id, user)
        async with self._locks.lock(identity(job.qual_name, job.args)):
            unmade = await self._unmade_child(job_id, user)
            if unmade is not None:
                return unmade
            job = await self._steerable(job_id, user)
            if job.unreadable:
                raise ApiError(
                    409, f"job [{job_id}] can't be restarted, since its args can't be read: "
                    f"{job.unreadable}; enqueue it anew with flatter args"
                )  # fmt: skip
            if job.state in STOPPED:
                return await self._replace(job, user)

            def wake(seen: CoreJob) -> Change:
                if seen.state in {State.FAILED, State.DEFERRED}:
                    return restart_waiting(seen, self._now())
                raise ApiError(
                    409, f"job [{seen.id}] is {seen.state}: only a job that waits for another "
                    "trial or has stopped can be restarted"
                )  # fmt: skip

            return str(await self._change(job_id, user, wake))

    async def _steerable(self, job_id: str, user: User) -> CoreJob:
        entry = self._queue.get(job_id)
        job = entry.job if entry is not None else await self._jobs.fetch(job_id)
        return self._allowed(job_id, job, user)

    @staticmethod
    def _allowed(job_id: str, job: CoreJob | None, user: User) -> CoreJob:
        if job is None or not job.in_queue:
            raise job_not_found(job_id)
        if not user.may_execute(job.qual_name):
            raise forbidden(f"no permission to execute job [{job_id}]")
        return job

    async def _change(self, job_id: str, user: User, decide: Callable[[CoreJob], Change]) -> Any:
        """Patch the job as `decide` says for its present state; on a conflict decide again."""
        job = await self._steerable(job_id, user)
        for _ in range(_TRIES):
            change = decide(job)
            if not change.spec:
                return change.answer
            try:
                await self._patch(job, change.spec)
            except ConflictError:
                job = self._allowed(job_id, await self._again(job), user)
            else:
                return change.answer
        raise unavailable(f"job [{job_id}] changes too fast, try again")

    async def _again(self, job: CoreJob) -> CoreJob | None:
        """Read the job from the API server."""
        fresh = await self._jobs.fetch(job.name)
        if fresh is None:
            self._queue.forget(job)
        return fresh

    async def _patch(self, job: CoreJob, spec: dict[str, Any]) -> None:
        body = {"metadata": {"resourceVersion": job.resource_version}, "spec": spec}
        try:
            answer = await self._kube.patch(
                COREJOBS, self._namespace, job.name, body, manager=MANAGER_API
            )
        except NotFoundError:
            self._queue.forget(job)
            raise job_not_found(job.id) from None
        except InvalidError as error:
            raise ApiError(409, error.message) from None
        self._queue.put(answer)

    # --- restart of a stopped job: a child replaces it --------------------------------------------

    async def _replace(self, job: CoreJob, user: User) -> str:
        """Replace a stopped job by a child and return the child's id.

        Take the claim first so that no enqueue can slip in, then mark the old job replaced, then
        create the new one. If the process dies after the second step, the operator creates the
        child.
        """
        await self._storing.check()
        child_id = ids.new_id(self._now())

        def go(seen: CoreJob) -> Change:
            return Change({"childId": child_id}, seen)

        claim = await self._inherit(job, child_id)
        try:
            old: CoreJob = await self._change(job.id, user, go)
        except ApiError:
            if claim is not None:
                await self._claims.release(claim)
            raise
        await self._create_child(old, child_id, claim)
        return child_id

    async def _inherit(self, job: CoreJob, child_id: str) -> Claim | None:
        """Take the claim on name and args; None if another job, made by kubectl, has it."""
        fingerprint = identity(job.qual_name, job.args)
        try:
            return await self._claims.take(fingerprint, child_id, heir_of=job.id)
        except TakenError:
            return None

    async def _unmade_child(self, job_id: str, user: User) -> str | None:
        """Create the child of a job whose earlier restart Kubernetes refused.

        Return the child's id; None if the job is not such a one.
        """
        entry = self._queue.get(job_id)
        old = entry.job if entry is not None else None
        if old is None or old.child_id is None or await self._jobs.find(old.child_id) is not None:
            return None
        if not user.may_execute(old.qual_name):
            raise forbidden(f"no permission to execute job [{job_id}]")
        await self._create_child(old, old.child_id, None)
        return old.child_id

    async def _create_child(self, old: CoreJob, child_id: str, claim: Claim | None) -> None:
        body = lineage.restart(old, child_id)
        child: CoreJob | None
        try:
            made = await self._kube.create(COREJOBS, self._namespace, body, manager=MANAGER_API)
        except AlreadyExistsError:
            child = await self._jobs.fetch(child_id)  # the operator created it first
        except KubeError as error:
            # The old job already names its child, so the operator creates it as soon as possible.
            log.warning("the operator has to make job %s: %s", child_id, error)
            refused = of_kubernetes(error)
            text = f"job [{old.id}] is restarted as job [{child_id}] once Kubernetes takes it: "
            raise ApiError(refused.status, text + refused.text, refused.headers) from None
        else:
            child = self._queue.put(made)
        if claim is not None and child is not None:
            self._claims.bequeath(claim, child)
