"""One active operator: whoever holds the Lease works, all others wait, warm, to take it over.

As client-go's leader election: the holder renews; who sees no renewal for the Lease's duration, by
its own clock, may take it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from corejob.names import MANAGER_OPERATOR
from corejob_kube import leases, tasks
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError
from corejob_kube.leases import Renewals
from corejob_kube.resources import LEASES
from corejob_kube.supervision import Supervision
from corejob_kube.timing import Clock

log = logging.getLogger(__name__)

LEASE: Final = "core4-operator"
DURATION_S: Final = 5.0
RENEW_S: Final = 1.5
_TIMER_SLACK_S: Final = 0.01
_WITHIN_S: Final = 3.0
"""A renewal that takes longer is given up: there is time for another before the Lease runs out."""


class NotLeadingError(UnavailableError):
    """This process may not act: the Lease is another's, or was not renewed in time."""


class Leadership:
    """The Lease of one namespace's operator, as one process sees it.

    Attributes:
        held: Set while this process may act. `lost`: set while it may not.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        identity: str,
        now: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._now = now
        self._time = monotonic
        self._lease: dict[str, Any] | None = None
        self._renewals = Renewals(DURATION_S)
        self._renewed = 0.0
        self._task: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.held = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()

    def start(self, supervision: Supervision | None = None) -> None:
        """Begin to try.

        Args:
            supervision: Looks after the task; None: a new one.
        """
        supervision = supervision or Supervision()
        self._task = supervision.start("leadership", self._run)

    def check(self) -> None:
        """Do nothing if this process may act at this moment.

        A process that was stopped for a while goes on with whatever is ready, timers last. So this
        is asked before each write, and does not rely on anything having run meanwhile.

        Raises:
            NotLeadingError: It may not.
        """
        self._doubt()
        if not self.held.is_set():
            raise NotLeadingError(503, "NotLeading", "the operator does not hold its Lease")

    async def stop(self) -> None:
        """Give the Lease up, so that the next one need not wait."""
        if self._task is not None:
            await tasks.cancel(self._task)
        if self._expiry is not None:
            self._expiry.cancel()
        if self.held.is_set():
            self._lose()
            try:
                await self._write("")
            except KubeError as error:
                log.warning("the Lease runs out by itself: %s", error)

    async def _run(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(RENEW_S)

    async def turn(self) -> None:
        """Renew the Lease, or take it if it is free or has run out; doubt it if nobody answers."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                await self._try()
        except TimeoutError:
            log.warning("no answer about the Lease within %g s", _WITHIN_S)
        except KubeError as error:
            log.warning("no answer about the Lease: %s", error)
        self._doubt()

    def _doubt(self) -> None:
        """Who could not renew in time must not act: somebody else may."""
        if self.held.is_set() and self._time() - self._renewed > DURATION_S:
            log.warning("the Lease could not be renewed in time")
            self._lose()

    def _expire_in_time(self) -> None:
        """Stop acting when the Lease has run out, whatever a renewal is waiting for then."""
        if self._expiry is not None:
            self._expiry.cancel()
        left = DURATION_S - (self._time() - self._renewed)
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(max(left, 0.0) + _TIMER_SLACK_S, self._doubt)

    async def _try(self) -> None:
        began = self._time()
        try:
            self._lease = await self._kube.get(LEASES, self._namespace, LEASE)
        except NotFoundError:
            self._lease = None
        if self._lease is not None and not await self._is_free(self._lease):
            self._lose()
            return
        try:
            await self._write(self._identity)
        except ConflictError:
            return  # somebody else was faster
        self._renewed = began
        self._expire_in_time()
        if not self.held.is_set():
            log.info("%s is the active operator", self._identity)
            self.held.set()
            self.lost.clear()

    def _lose(self) -> None:
        self.held.clear()
        self.lost.set()

    async def _is_free(self, lease: dict[str, Any]) -> bool:
        holder = leases.holder(lease)
        if holder in {"", self._identity}:
            return True
        if not await leases.has_pod(self._kube, self._namespace, holder):
            return True
        if not self._renewals.is_recent(lease, self._time()):
            return True
        if self.held.is_set():
            log.warning("%s has taken over", holder)
        return False

    async def _write(self, holder: str) -> None:
        spec = leases.spec(holder, DURATION_S, self._now())
        if self._lease is None:
            body = leases.manifest(self._namespace, LEASE, spec)
            self._lease = await self._kube.create(
                LEASES, self._namespace, body, manager=MANAGER_OPERATOR
            )
            return
        version = self._lease["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        self._lease = await self._kube.patch(
            LEASES, self._namespace, LEASE, patch, manager=MANAGER_OPERATOR
        )
