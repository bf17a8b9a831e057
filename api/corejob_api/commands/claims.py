"""Claims let exactly one of several racing enqueues win, across all API replicas.

They are Leases. A claim's name is derived from the thing claimed, so the first replica to create
the Lease wins. The Lease's holder is the id of a job:

- `core4-job-…` claims a qual_name with its args: no two such jobs may be in the queue
  (docs/rest.md, "Enqueue"). The CoreJob owns the Lease, so the garbage collector deletes both
  together. The only replica (`sole_replica`) needs no such Lease: its cache, the pending creates
  and the lock that callers hold decide.
- `core4-key-…` claims an `Idempotency-Key` of a user for a day, even if the job ends earlier. It is
  released if the job is refused, and each user may have a limited number of them.

The CoreJobs alone define which jobs are in the queue. A Lease only covers the time until its
CoreJob exists and all replicas have it in their caches.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import timestamps
from corejob.model import CoreJob
from corejob.names import API_VERSION, KIND_JOB, MANAGER_API
from corejob_api.commands.pending_creates import YOUNG, InQueue, PendingCreates, TakenError
from corejob_journal.store import StoreError
from corejob_kube import leases
from corejob_kube.client import Kube
from corejob_kube.errors import AlreadyExistsError, ConflictError, KubeError, NotFoundError
from corejob_kube.leases import LeaseClient
from corejob_process import tasks
from corejob_process.clock import Clock
from corejob_process.supervision import Supervision
from corejob_process.tasks import log_failure

log = logging.getLogger(__name__)

KEY_LIFE: Final = timedelta(days=1)
_GRACE: Final = timedelta(minutes=2)
_SWEEP_S: Final = 600.0
_FIRST_SWEEP_S: Final = 30.0
"""Delay of the first sweep: the caches are filled by then, so few jobs must be fetched."""
_MOST_FAILURES: Final = 10
"""Failures that a sweep tolerates; after one more it stops until the next sweep."""
_LABEL: Final = "core4.io/claim"
_LABEL_USER: Final = "core4.io/key-user"
_JOB: Final = "job"
_KEY: Final = "key"
_FINGERPRINT: Final = "core4.io/fingerprint"
_DIGITS: Final = 40
_TRIES: Final = 4


class KeyMisusedError(Exception):
    """An earlier request used the same Idempotency-Key for another job."""


class TooManyKeysError(Exception):
    """The user has reached the limit of Idempotency-Keys."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A Lease that this process has created, taken over or read.

    Attributes:
        version: Its resource version, which changes when another process takes the Lease over.
        is_new: True if this request created the Lease or took it over; False if the Lease existed.
    """

    name: str
    uid: str
    version: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class JobClaim:
    """A claimed qual_name with args.

    Attributes:
        fingerprint: Their identity.
        lease: The Lease; None if this process is the only replica.
    """

    fingerprint: str
    lease: Claim | None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A claimed Idempotency-Key.

    Attributes:
        job_id: The job that the key stands for.
        claim: The key's Lease.
    """

    job_id: str
    claim: Claim


class Claims:
    """Takes, releases and sweeps the claims of one namespace.

    Args:
        kube: An open client.
        namespace: The namespace.
        in_queue: Returns True if a job is in the queue.
        is_sole: Returns True if no other replica acts at this moment.
        now: The clock.
        most_keys: Idempotency-Keys that a user may have at once. The limit is approximate: keys
            claimed by other replicas count only after the next sweep.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        in_queue: InQueue,
        is_sole: Callable[[], bool],
        now: Clock,
        *,
        most_keys: int,
    ) -> None:
        self._leases = LeaseClient(kube, namespace, manager=MANAGER_API, now=now)
        self._in_queue = in_queue
        self._is_sole = is_sole
        self._creates = PendingCreates(in_queue, now)
        self._now = now
        self._most_keys = most_keys
        self._keys: Counter[str] = Counter()
        self._sweeping: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def start(self, supervision: Supervision) -> None:
        """Start the periodic sweep, which deletes obsolete claims."""
        self._sweeping = supervision.start("sweep claims", self._sweep_for_ever, restart=True)

    async def stop(self) -> None:
        """Cancel the sweep and all background tasks."""
        await tasks.cancel(*self._background, *([self._sweeping] if self._sweeping else []))

    async def take(
        self, fingerprint: str, job_id: str, inherit_from: str | None = None
    ) -> JobClaim:
        """Claim a qual_name and args for a job. Callers hold the keyed lock of the fingerprint.

        Args:
            fingerprint: Identity of qual_name and args.
            job_id: The job's id.
            inherit_from: Id of the job that this job restarts, whose claim it takes over.

        Raises:
            TakenError: A job in the queue holds the claim, or another enqueue is in progress.
        """
        await self._creates.begin(fingerprint, job_id, inherit_from)
        # Asked last, right before the create, since another replica may start at any time.
        if self._is_sole():
            return JobClaim(fingerprint, None)
        try:
            lease = await self._take_lease(fingerprint, job_id, inherit_from)
        except (TakenError, KubeError, StoreError):
            self._creates.end(fingerprint)
            raise
        return JobClaim(fingerprint, lease)

    async def _take_lease(self, fingerprint: str, job_id: str, inherit_from: str | None) -> Claim:
        name = _name(_JOB, fingerprint)
        for _ in range(_TRIES):
            try:
                lease = await self._create(name, _JOB, job_id, fingerprint)
                return _claim(lease, is_new=True)
            except AlreadyExistsError:
                pass
            try:
                return await self._take_over(name, job_id, fingerprint, inherit_from)
            except (NotFoundError, ConflictError):
                # The race with other processes: the Lease was deleted or taken over, or only its
                # owner was set (`set_owner`). Decide again by its current state.
                continue
        raise TakenError

    async def _take_over(
        self, name: str, job_id: str, fingerprint: str, inherit_from: str | None
    ) -> Claim:
        lease = await self._leases.get(name)
        holder = leases.holder(lease)
        if holder == job_id:
            return _claim(lease, is_new=False)
        if holder != inherit_from:
            in_queue = await self._in_queue(holder)
            if in_queue or (in_queue is None and _age(lease, self._now()) < YOUNG):
                raise TakenError
        replaced = await self._leases.replace(
            name,
            job_id,
            YOUNG.total_seconds(),
            version=lease["metadata"]["resourceVersion"],
            labels={_LABEL: _JOB},
            annotations={_FINGERPRINT: fingerprint},
        )
        return _claim(replaced, is_new=True)

    async def take_key(self, user: str, key: str, fingerprint: str, job_id: str) -> IdempotencyKey:
        """Claim an Idempotency-Key for a new job, or find the earlier job that the key stands for.

        Raises:
            KeyMisusedError: The key stands for a job of another qual_name or other args.
            TooManyKeysError: The user has reached the limit of keys.
            ConflictError: Other requests kept changing the key's Lease.
        """
        name = _name(_KEY, hashlib.sha256(f"{user}\0{key}".encode()).hexdigest())
        owner = _user_label(user)
        is_full = self._keys[owner] >= self._most_keys
        for _ in range(_TRIES):
            if not is_full:
                try:
                    lease = await self._create(name, _KEY, job_id, fingerprint, user=owner)
                except AlreadyExistsError:
                    pass
                else:
                    self._keys[owner] += 1
                    return IdempotencyKey(job_id, _claim(lease, is_new=True))
            try:
                lease = await self._leases.get(name)
            except NotFoundError:
                if is_full:
                    raise TooManyKeysError from None
                continue
            holder = leases.holder(lease)
            if not holder or _expired(lease, self._now()):
                await self._delete(_claim(lease, is_new=False))
                continue
            if (lease["metadata"].get("annotations") or {}).get(_FINGERPRINT) != fingerprint:
                raise KeyMisusedError
            return IdempotencyKey(holder, _claim(lease, is_new=False))
        raise ConflictError(409, "Conflict", "the Idempotency-Key is contested")

    async def adopt_key(self, key: IdempotencyKey) -> bool:
        """Renew the Lease of a key before creating its job in place of another replica.

        The renewal changes the resource version, so that the other replica can't delete the Lease
        when its own attempt is refused.

        Returns:
            True if the Lease had not changed since it was read.
        """
        try:
            await self._leases.prolong(key.claim.name, key.claim.version)
        except (ConflictError, NotFoundError):
            return False
        return True

    async def release_key(self, user: str, key: IdempotencyKey) -> None:
        """Release a key whose job was refused."""
        await self._release(key.claim)
        self._keys[_user_label(user)] -= 1

    async def release(self, claim: JobClaim) -> None:
        """Release a claim whose job was not created; if its Lease stays, the sweep deletes it."""
        self._creates.end(claim.fingerprint)
        if claim.lease is not None:
            await self._release(claim.lease)

    async def _release(self, claim: Claim) -> None:
        try:
            await self._delete(claim)
        except KubeError as error:
            log.warning(
                "claim %s could not be released, the next sweep deletes it if it is obsolete: %s",
                claim.name,
                error,
            )

    def confirm(self, claim: JobClaim, job: CoreJob) -> None:
        """Note that the job of a claim is in the cache.

        The CoreJob becomes the owner of the Lease (in the background): both are deleted together.
        """
        self._creates.end(claim.fingerprint)
        if claim.lease is None:
            return
        work = self._patch_owner(claim.lease, job)
        task = asyncio.create_task(work, name=f"own {claim.lease.name}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(log_failure)

    async def _patch_owner(self, claim: Claim, job: CoreJob) -> None:
        owner = {"apiVersion": API_VERSION, "kind": KIND_JOB, "name": job.name, "uid": job.uid}
        try:
            await self._leases.set_owner(claim.name, owner, version=claim.version)
        except KubeError as error:
            log.warning(
                "claim %s could not be updated, the next sweep deletes it if it is obsolete: %s",
                claim.name,
                error,
            )

    async def _create(
        self, name: str, kind: str, job_id: str, fingerprint: str, *, user: str | None = None
    ) -> dict[str, Any]:
        labels = {_LABEL: kind}
        if user is not None:
            labels[_LABEL_USER] = user
        life = KEY_LIFE if kind == _KEY else YOUNG
        return await self._leases.create(
            name,
            job_id,
            life.total_seconds(),
            labels=labels,
            annotations={_FINGERPRINT: fingerprint},
        )

    # --- the sweep: claims whose process died before it created the job, and expired keys ---------

    async def _sweep_for_ever(self) -> None:
        await asyncio.sleep(_FIRST_SWEEP_S)
        while True:
            try:
                await self.sweep()
            except (KubeError, StoreError) as error:
                log.warning("obsolete claims could not be deleted: %s", error)
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> None:
        """Delete obsolete claims, and count the keys of each user.

        Raises:
            KubeError: The Leases can't be listed, or too many of them can't be deleted.
            StoreError: The store is unavailable.
        """
        keys: Counter[str] = Counter()
        failures = 0
        for lease in await self._leases.list(_LABEL):
            try:
                if await self._is_obsolete(lease):
                    await self._delete(_claim(lease, is_new=False))
                    continue
            except KubeError as error:
                failures += 1
                if failures > _MOST_FAILURES:
                    raise
                log.warning(
                    "claim %s could not be checked or deleted: %s", lease["metadata"]["name"], error
                )
            if (user := lease["metadata"]["labels"].get(_LABEL_USER)) is not None:
                keys[user] += 1
        self._keys = keys

    async def _is_obsolete(self, lease: Mapping[str, Any]) -> bool:
        if lease["metadata"]["labels"][_LABEL] == _KEY:
            return not leases.holder(lease) or _expired(lease, self._now())
        if _age(lease, self._now()) < _GRACE:
            return False
        return not await self._in_queue(leases.holder(lease))

    async def _delete(self, claim: Claim) -> None:
        """Delete the Lease, but only in this version: another replica may be taking it over."""
        await self._leases.delete(claim.name, uid=claim.uid, version=claim.version)


def _name(kind: str, digest: str) -> str:
    return f"core4-{kind}-{digest[:_DIGITS]}"


def _claim(lease: Mapping[str, Any], *, is_new: bool) -> Claim:
    meta = lease["metadata"]
    return Claim(meta["name"], meta["uid"], meta["resourceVersion"], is_new)


def _user_label(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest()[:_DIGITS]


def _age(lease: Mapping[str, Any], now: datetime) -> timedelta:
    """Return the time since the last renewal.

    A renewal further in the future than clock skew explains is ignored; the Lease's creation counts
    instead.
    """
    renewed = leases.renewed_at(lease)
    if renewed is not None and renewed > now + _GRACE:
        renewed = timestamps.parse(lease["metadata"]["creationTimestamp"])
    return now - (renewed or timestamps.from_epoch(0))


def _expired(lease: Mapping[str, Any], now: datetime) -> bool:
    return _age(lease, now) > KEY_LIFE
