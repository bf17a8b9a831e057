"""Leader election by a Lease: its holder is the active operator, the others are warm standbys.

As in client-go: the holder renews the Lease; another process that observes no renewal for the
Lease's duration, by its own clock, may take it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from corejob.names import MANAGER_OPERATOR
from corejob_kube import leases
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError
from corejob_kube.leases import LeaseClient, Renewals
from corejob_process import tasks
from corejob_process.clock import Clock
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

LEASE: Final = "core4-operator"
DURATION_S: Final = 5.0
RENEW_S: Final = 1.5
_TIMER_SLACK_S: Final = 0.01
TIMEOUT_S: Final = 3.0
"""Timeout of a renewal in seconds; there is time for another before the Lease expires."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Times of the Lease in seconds.

    Attributes:
        duration: How long it is valid after a renewal.
        renew: Interval of the renewals.
        timeout: Timeout of a renewal.
    """

    duration: float = DURATION_S
    renew: float = RENEW_S
    timeout: float = TIMEOUT_S


class NotLeadingError(UnavailableError):
    """This process may not act: another one holds the Lease, or it was not renewed in time."""


class LeaderElection:
    """Leader election of one namespace's operator, in one process.

    Attributes:
        leading: Set while this process may act. `lost`: set while it may not.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        identity: str,
        now: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        timing: LeaseTiming = LeaseTiming(),  # frozen
    ) -> None:
        self._leases = LeaseClient(kube, namespace, manager=MANAGER_OPERATOR, now=now)
        self._identity = identity
        self._time = monotonic
        self._lease: dict[str, Any] | None = None
        self._timing = timing
        self._renewals = Renewals(timing.duration)
        self._renewed = 0.0
        self._task: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.leading = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()

    def start(self, supervision: Supervision | None = None) -> None:
        """Start to acquire and renew the Lease.

        Args:
            supervision: Supervises the task; None: a new one.
        """
        supervision = supervision or Supervision()
        self._task = supervision.start("leader election", self._run)

    def check(self) -> None:
        """Raise unless this process may act at this moment.

        A process that was suspended for a while continues with all ready callbacks before its
        timers. So each write calls this method, which compares the time itself.

        Raises:
            NotLeadingError: This process may not act.
        """
        self._doubt()
        if not self.leading.is_set():
            raise NotLeadingError(503, "NotLeading", "the operator does not hold its Lease")

    async def stop(self) -> None:
        """Stop renewing, and release the Lease so that a standby can take it at once."""
        if self._task is not None:
            await tasks.cancel(self._task)
        if self._expiry is not None:
            self._expiry.cancel()
        led = self.leading.is_set()
        self._lose()
        try:
            # Anew: the answer to the last write may not have arrived.
            self._lease = await self._leases.get(LEASE)
            if leases.holder(self._lease) == self._identity:
                await self._write("")
        except NotFoundError:
            pass
        except KubeError as error:
            if led:
                log.warning("the Lease runs out by itself: %s", error)

    async def _run(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(self._timing.renew)

    async def turn(self) -> None:
        """Renew the Lease, or acquire it if it is free or expired; log errors of the API server."""
        try:
            async with asyncio.timeout(self._timing.timeout):
                await self._try()
        except TimeoutError:
            log.warning("no answer about the Lease within %g s", self._timing.timeout)
        except KubeError as error:
            log.warning("no answer about the Lease: %s", error)
        self._doubt()

    def _doubt(self) -> None:
        """Stop acting if the Lease was not renewed in time: another process may have taken it."""
        if self.leading.is_set() and self._time() - self._renewed > self._timing.duration:
            log.warning("the Lease could not be renewed in time")
            self._lose()

    def _expire_in_time(self) -> None:
        """Set the timer that stops acting when the Lease expires, even while a renewal hangs."""
        if self._expiry is not None:
            self._expiry.cancel()
        left = self._timing.duration - (self._time() - self._renewed)
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(max(left, 0.0) + _TIMER_SLACK_S, self._doubt)

    async def _try(self) -> None:
        began = self._time()
        try:
            self._lease = await self._leases.get(LEASE)
        except NotFoundError:
            self._lease = None
        if self._lease is not None and not await self._is_free(self._lease):
            self._lose()
            return
        try:
            await self._write(self._identity)
        except ConflictError:
            return  # another process acquired the Lease first
        self._renewed = began
        self._expire_in_time()
        if not self.leading.is_set():
            log.info("%s is the active operator", self._identity)
            self.leading.set()
            self.lost.clear()

    def _lose(self) -> None:
        self.leading.clear()
        self.lost.set()

    async def _is_free(self, lease: dict[str, Any]) -> bool:
        holder = leases.holder(lease)
        if holder in {"", self._identity}:
            return True
        if not await self._leases.has_pod(holder):
            return True
        if not self._renewals.is_recent(lease, self._time()):
            return True
        if self.leading.is_set():
            log.warning("%s has taken over", holder)
        return False

    async def _write(self, holder: str) -> None:
        if self._lease is None:
            self._lease = await self._leases.create(LEASE, holder, self._timing.duration)
            return
        version = self._lease["metadata"]["resourceVersion"]
        self._lease = await self._leases.renew(
            LEASE, holder, self._timing.duration, version=version
        )
