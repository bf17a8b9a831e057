"""Find out if this process is the only replica of the API; then claims need no Leases.

The holder of the Lease `core4-api` is the only replica, or empty if there are several. No two
replicas act at once while one of them takes itself for the only one:

1. The holder reads the Lease every `check` seconds, and is the only replica for `valid` seconds
   from the moment before it asked. Nothing else makes it the only one, so a replica that is cut off
   or stands still soon stops being one.
2. A replica that starts empties the holder. Its pod existed before that. Then it waits until no
   other pod is left, but for at most `join` seconds, which is longer than `valid`. Only after that
   it lists the CoreJobs, which now include all those of a former only replica, and serves.
3. A replica that sees no other pod may make itself the holder, but is the only one if a list of
   the pods *after* that still shows no other, and if its CoreJobs are as new as that list. A
   replica whose pod is in no such list starts later, and empties the holder (2).

Not covered, except by the operator, which refuses the younger of two equal jobs (`Duplicate`): a
create that Kubernetes carries out more than a second after its process ceased to be the only one,
and a pod that was deleted by force and whose process still acts.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from corejob.names import MANAGER_API
from corejob_kube import leases
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, NotFoundError
from corejob_kube.informer import Informer
from corejob_kube.leases import LeaseClient
from corejob_kube.resources import COREJOBS, PODS
from corejob_process import tasks
from corejob_process.clock import Clock
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

LEASE: Final = "core4-api"
_ENDED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class ReplicaTiming:
    """Times in seconds.

    Attributes:
        check: Interval of the checks.
        valid: How long a check counts.
        join: How long a new replica waits for others; more than `valid` by the time that a create
            under way may take.
        poll: Interval of the lists of pods while it waits.
        search: Interval of the lists of pods while there are several replicas.
    """

    check: float = 1.5
    valid: float = 4.0
    join: float = 5.0
    poll: float = 0.5
    search: float = 30.0


USUAL_TIMING: Final = ReplicaTiming()


class SoleReplica:
    """Knows if this process is the only replica of the API.

    Args:
        kube: An open client.
        namespace: The namespace.
        pod: Name of this process's pod; empty outside a pod, where nothing is known of others.
        selector: Label selector of the API's pods; empty: unknown, as outside a pod.
        corejobs: The informer of CoreJobs; `start` starts it.
        now: The clock of the Lease.
        timing: Times of the protocol.
        monotonic: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        *,
        pod: str,
        selector: str,
        corejobs: Informer,
        now: Clock,
        timing: ReplicaTiming = USUAL_TIMING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pod = pod
        self._selector = selector
        self._corejobs = corejobs
        self._timing = timing
        self._time = monotonic
        self._leases = LeaseClient(kube, namespace, manager=MANAGER_API, now=now)
        self._task: asyncio.Task[None] | None = None
        self._has_joined = False
        self._valid_until = 0.0
        self._next_search = 0.0
        self._least_version: int | None = None
        """Version of the CoreJobs when no other replica was left; None while not known."""

    @property
    def is_sole(self) -> bool:
        """True if no other replica acts at this moment."""
        return self._time() < self._valid_until

    def start(self, supervision: Supervision) -> None:
        """Start to check, and start the informer once no other replica is the only one."""
        if self._pod and self._selector:
            self._task = supervision.start(
                "sole replica", lambda: self._run(supervision), restart=True
            )
        else:
            self._corejobs.start(supervision)

    async def stop(self) -> None:
        """Stop checking."""
        if self._task is not None:
            await tasks.cancel(self._task)

    async def _run(self, supervision: Supervision) -> None:
        while True:
            try:
                if self._has_joined:
                    await self._check()
                else:
                    await self._enter(supervision)
            except KubeError as error:
                log.warning("the number of API replicas is unknown: %s", error)
            await asyncio.sleep(self._timing.check)

    async def _enter(self, supervision: Supervision) -> None:
        """Start to serve when no other replica is the only one any more (2)."""
        lease = await self._read()
        if lease is not None and leases.holder(lease):
            await self._leases.renew(LEASE, "", self._timing.valid)
        until = self._time() + self._timing.join
        while await self._has_others() and self._time() < until:  # noqa: ASYNC110  # no event
            await asyncio.sleep(self._timing.poll)
        self._has_joined = True
        try:
            # Before the first list of CoreJobs, which is then new enough at once.
            await self._check()
        finally:
            self._corejobs.start(supervision)

    async def _check(self) -> None:
        asked_at = self._time()
        lease = await self._read()
        if self._least_version is not None and _is_held(lease, self._pod):
            # Until then the cache may lack the last jobs of a replica that has ended.
            if self._corejobs.version >= self._least_version:
                self._extend(asked_at + self._timing.valid)
            return
        self._valid_until = 0.0
        if asked_at >= self._next_search:
            self._next_search = asked_at + self._timing.search
            if not await self._has_others():
                await self._take(lease)

    def _extend(self, until: float) -> None:
        if not self.is_sole:
            log.info("this is the only replica of the API: claims are kept in its memory")
        self._valid_until = until

    async def _take(self, lease: dict[str, Any] | None) -> None:
        """Become the holder of the Lease, if there is still no other replica then (3)."""
        self._least_version = None
        try:
            if lease is None:
                await self._leases.create(LEASE, self._pod, self._timing.valid)
            else:
                version = lease["metadata"]["resourceVersion"]
                await self._leases.renew(LEASE, self._pod, self._timing.valid, version=version)
        except ConflictError:
            return  # another replica starts, or was faster
        # The race with a replica that starts: if it emptied the holder before our write, it is in
        # this list; if after it, the next check reads that.
        if await self._has_others():
            await self._leases.renew(LEASE, "", self._timing.valid)
        else:
            self._least_version = await self._kube.version(COREJOBS, self._namespace)

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._leases.get(LEASE)
        except NotFoundError:
            return None

    async def _has_others(self) -> bool:
        """True if there is another pod of the API whose containers may run."""
        pods, _ = await self._kube.list(PODS, self._namespace, selector=self._selector)
        return any(
            pod["metadata"]["name"] != self._pod
            and (pod.get("status") or {}).get("phase") not in _ENDED
            for pod in pods
        )


def _is_held(lease: dict[str, Any] | None, pod: str) -> bool:
    return lease is not None and leases.holder(lease) == pod
