"""Claims: what makes one of two racing enqueues win, across all replicas of the API.

A claim is a Lease of a name that follows from what is claimed, so that creating it is the race. Its
holder is the id of a job:

- `core4-job-…` claims a qual_name with its args (contract section 2: no two of them in the queue).
  It belongs to the CoreJob, and the cluster's garbage collector takes it along.
- `core4-key-…` claims an `Idempotency-Key` of a user for a day, however soon the job is over. It is
  given back if the job is refused, and a user has a limited number of them.

Which jobs are in the queue only the CoreJobs say: a claim decides nothing but the moments in which
they can't yet.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import clock
from corejob.model import CoreJob
from corejob.names import API_VERSION, KIND_JOB, MANAGER_API
from corejob_journal.store import StoreError
from corejob_kube import leases, tasks
from corejob_kube.client import Kube
from corejob_kube.errors import AlreadyExistsError, ConflictError, KubeError, NotFoundError
from corejob_kube.resources import LEASES
from corejob_kube.supervision import Supervision
from corejob_kube.tasks import log_failure
from corejob_kube.timing import Clock

log = logging.getLogger(__name__)

YOUNG: Final = timedelta(seconds=10)
"""Within this time whoever made a claim may still be making its job."""
KEY_LIFE: Final = timedelta(days=1)
_GRACE: Final = timedelta(minutes=2)
_SWEEP_S: Final = 600.0
_FIRST_SWEEP_S: Final = 30.0
"""After the start: the caches are filled by then, so that few jobs need be asked for."""
_MOST_FAILURES: Final = 10
"""Of a sweep, before it is given up until the next."""
_LABEL: Final = "core4.io/claim"
_LABEL_USER: Final = "core4.io/key-user"
_JOB: Final = "job"
_KEY: Final = "key"
_FINGERPRINT: Final = "core4.io/fingerprint"
_DIGITS: Final = 40
_TRIES: Final = 4

InQueue = Callable[[str], Awaitable[bool | None]]
"""Whether the job of an id is in the queue; None if nobody knows the job."""


class TakenError(Exception):
    """Another job holds the claim, or is just about to."""


class KeyMisusedError(Exception):
    """The same Idempotency-Key came with another job before."""


class TooManyKeysError(Exception):
    """A user has as many Idempotency-Keys as one may have."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A Lease that we hold.

    Attributes:
        version: Its resource version: whoever takes it over changes that.
        made: Whether we made or took it just now; else it was ours before.
    """

    name: str
    uid: str
    version: str
    made: bool


@dataclass(frozen=True, slots=True)
class Key:
    """An Idempotency-Key that is claimed.

    Attributes:
        job_id: The job that it stands for.
        claim: Its Lease.
    """

    job_id: str
    claim: Claim


class Claims:
    """The Leases of one namespace.

    Args:
        kube: An open client.
        namespace: The namespace.
        in_queue: Tells which jobs are in the queue.
        now: The clock.
        most_keys: How many Idempotency-Keys a user may have at once, as far as is known here:
            those that other replicas claimed count from the next sweep on.
    """

    def __init__(
        self, kube: Kube, namespace: str, in_queue: InQueue, now: Clock, *, most_keys: int
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._in_queue = in_queue
        self._now = now
        self._most_keys = most_keys
        self._keys: Counter[str] = Counter()
        self._sweeping: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def start(self, supervision: Supervision) -> None:
        """Begin to sweep up claims that nobody needs any more."""
        self._sweeping = supervision.start("sweep claims", self._sweep_for_ever, restart=True)

    async def stop(self) -> None:
        """Stop that, and what goes on in the background."""
        await tasks.cancel(*self._background, *([self._sweeping] if self._sweeping else []))

    async def take(self, fingerprint: str, job_id: str, heir_of: str | None = None) -> Claim:
        """Claim a qual_name and args for a job.

        Args:
            fingerprint: Their identity.
            job_id: The job's id.
            heir_of: The job that it restarts, whose claim it inherits.

        Raises:
            TakenError: A job in the queue has it, or somebody is just enqueuing one.
        """
        name = _name(_JOB, fingerprint)
        for _ in range(_TRIES):
            try:
                lease = await self._create(name, _JOB, job_id, fingerprint)
                return _claim(lease, made=True)
            except AlreadyExistsError:
                pass
            try:
                return await self._take_over(name, job_id, fingerprint, heir_of)
            except (NotFoundError, ConflictError):
                # It went just now, or somebody else took it over, or all that has changed is that
                # its CoreJob became its owner (`bequeath`): what there is now decides.
                continue
        raise TakenError

    async def _take_over(
        self, name: str, job_id: str, fingerprint: str, heir_of: str | None
    ) -> Claim:
        lease = await self._kube.get(LEASES, self._namespace, name)
        holder = leases.holder(lease)
        if holder == job_id:
            return _claim(lease, made=False)
        if holder != heir_of:
            there = await self._in_queue(holder)
            if there or (there is None and _age(lease, self._now()) < YOUNG):
                raise TakenError
        body = self._body(name, _JOB, job_id, fingerprint)
        body["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
        path = LEASES.path(self._namespace, name)
        params = {"fieldManager": MANAGER_API}
        answer = await self._kube.request("PUT", path, params=params, body=body)
        return _claim(answer, made=True)

    async def take_key(self, user: str, key: str, fingerprint: str, job_id: str) -> Key:
        """Claim an Idempotency-Key for our job, or find the earlier job that it stands for.

        Raises:
            KeyMisusedError: It stands for a job of another qual_name or other args.
            TooManyKeysError: The user has too many others.
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
                    return Key(job_id, _claim(lease, made=True))
            try:
                lease = await self._kube.get(LEASES, self._namespace, name)
            except NotFoundError:
                if is_full:
                    raise TooManyKeysError from None
                continue
            holder = leases.holder(lease)
            if not holder or _expired(lease, self._now()):
                await self._delete(_claim(lease, made=False))
                continue
            if (lease["metadata"].get("annotations") or {}).get(_FINGERPRINT) != fingerprint:
                raise KeyMisusedError
            return Key(holder, _claim(lease, made=False))
        raise ConflictError(409, "Conflict", "the Idempotency-Key is contested")

    async def adopt_key(self, key: Key) -> bool:
        """Change the Lease of a key whose job we make in place of another replica.

        That one then can't delete it any more, although its own try is refused.

        Returns:
            Whether the Lease was still as it was read.
        """
        renewal = {"renewTime": clock.render(self._now())}
        body = {"metadata": {"resourceVersion": key.claim.version}, "spec": renewal}
        name = key.claim.name
        try:
            await self._kube.patch(LEASES, self._namespace, name, body, manager=MANAGER_API)
        except (ConflictError, NotFoundError):
            return False
        return True

    async def release_key(self, user: str, key: Key) -> None:
        """Give back a key that was claimed for a job which was refused."""
        await self.release(key.claim)
        self._keys[_user_label(user)] -= 1

    async def release(self, claim: Claim) -> None:
        """Give a claim back: its job was not made."""
        try:
            await self._delete(claim)
        except KubeError as error:
            log.warning("the claim %s is left to the sweep: %s", claim.name, error)

    def bequeath(self, claim: Claim, job: CoreJob) -> None:
        """Make the CoreJob the claim's owner, in the background: they go together."""
        task = asyncio.create_task(self._own(claim, job), name=f"own {claim.name}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(log_failure)

    async def _own(self, claim: Claim, job: CoreJob) -> None:
        owner = {"apiVersion": API_VERSION, "kind": KIND_JOB, "name": job.name, "uid": job.uid}
        body = {"metadata": {"resourceVersion": claim.version, "ownerReferences": [owner]}}
        try:
            await self._kube.patch(LEASES, self._namespace, claim.name, body, manager=MANAGER_API)
        except KubeError as error:
            log.warning("the claim %s is left to the sweep: %s", claim.name, error)

    async def _create(
        self, name: str, kind: str, job_id: str, fingerprint: str, *, user: str | None = None
    ) -> dict[str, Any]:
        body = self._body(name, kind, job_id, fingerprint)
        if user is not None:
            body["metadata"]["labels"][_LABEL_USER] = user
        return await self._kube.create(LEASES, self._namespace, body, manager=MANAGER_API)

    def _body(self, name: str, kind: str, job_id: str, fingerprint: str) -> dict[str, Any]:
        life = KEY_LIFE if kind == _KEY else YOUNG
        return leases.manifest(
            self._namespace,
            name,
            leases.spec(job_id, life.total_seconds(), self._now()),
            labels={_LABEL: kind},
            annotations={_FINGERPRINT: fingerprint},
        )

    # --- the sweep: claims whose process died before their job was made, and old keys -------------

    async def _sweep_for_ever(self) -> None:
        await asyncio.sleep(_FIRST_SWEEP_S)
        while True:
            try:
                await self.sweep()
            except (KubeError, StoreError) as error:
                log.warning("claims could not be swept up: %s", error)
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> None:
        """Delete the claims that nobody needs any more, and count the keys of each user.

        Raises:
            KubeError: They can't be listed, or many of them can't be deleted.
            StoreError: The store is away.
        """
        found, _ = await self._kube.list(LEASES, self._namespace, selector=_LABEL)
        keys: Counter[str] = Counter()
        failures = 0
        for lease in found:
            try:
                if await self._needless(lease):
                    await self._delete(_claim(lease, made=False))
                    continue
            except KubeError as error:
                failures += 1
                if failures > _MOST_FAILURES:
                    raise
                log.warning("claim %s could not be swept up: %s", lease["metadata"]["name"], error)
            if (user := lease["metadata"]["labels"].get(_LABEL_USER)) is not None:
                keys[user] += 1
        self._keys = keys

    async def _needless(self, lease: Mapping[str, Any]) -> bool:
        if lease["metadata"]["labels"][_LABEL] == _KEY:
            return not leases.holder(lease) or _expired(lease, self._now())
        if _age(lease, self._now()) < _GRACE:
            return False
        return not await self._in_queue(leases.holder(lease))

    async def _delete(self, claim: Claim) -> None:
        """Delete just this version: another replica may be taking it over."""
        only = {"uid": claim.uid, "resourceVersion": claim.version}
        path = LEASES.path(self._namespace, claim.name)
        try:
            await self._kube.request("DELETE", path, body={"preconditions": only})
        except (NotFoundError, ConflictError):
            log.debug("the claim %s is another's now", claim.name)


def _name(kind: str, digest: str) -> str:
    return f"core4-{kind}-{digest[:_DIGITS]}"


def _claim(lease: Mapping[str, Any], *, made: bool) -> Claim:
    meta = lease["metadata"]
    return Claim(meta["name"], meta["uid"], meta["resourceVersion"], made)


def _user_label(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest()[:_DIGITS]


def _age(lease: Mapping[str, Any], now: datetime) -> timedelta:
    """Time since it was renewed. A time that is yet to come, beyond odd clocks, is not believed."""
    renewed = leases.renewed_at(lease)
    if renewed is not None and renewed > now + _GRACE:
        renewed = clock.parse(lease["metadata"]["creationTimestamp"])
    return now - (renewed or clock.from_epoch(0))


def _expired(lease: Mapping[str, Any], now: datetime) -> bool:
    return _age(lease, now) > KEY_LIFE
