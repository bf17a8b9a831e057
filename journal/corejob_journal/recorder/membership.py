"""Membership of the recorders: each renews a Lease of its own and observes those of the others.

The Lease also tells the API that the recorder can't write to the store, and why. With the embedded
store, where there is only one recorder, the Lease exists for this purpose only and only meanwhile.

Clocks of different machines are never compared. A recorder is no member if its Lease was not
renewed for its duration, by the observer's own clock, or if its pod is gone. Two recorders may
briefly have different views; the store's fencing tokens make that harmless (docs/journal.md).
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from corejob.names import ANNOTATION_STORE_PROBLEM, LABEL_RECORDER, MANAGER_RECORDER
from corejob_journal.recorder import rendezvous
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError, NotFoundError
from corejob_kube.leases import LeaseClient, Renewals
from corejob_process import tasks
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

PREFIX: Final = "core4-recorder-"
DURATION_S: Final = 5.0
RENEW_S: Final = 1.5
_MOST_CHARACTERS: Final = 500


class Membership:
    """The live recorders of one namespace, as one of them sees them.

    Args:
        kube: The API server.
        namespace: The namespace that is served.
        identity: Name of this recorder's pod.
        alone: True if there is never another recorder, so that this one owns everything.
        now: The clock for the times in the Lease, which only people read.
        supervision: Supervises the task; None creates a new one.
        duration: Seconds after its last renewal at which a member's Lease expires.
        renew_every: Seconds between two renewals.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        identity: str,
        *,
        alone: bool,
        now: Callable[[], datetime],
        supervision: Supervision | None = None,
        duration: float = DURATION_S,
        renew_every: float = RENEW_S,
    ) -> None:
        self._supervision = supervision or Supervision()
        self._leases = LeaseClient(kube, namespace, manager=MANAGER_RECORDER, now=now)
        self._identity = identity
        self._lease_name = PREFIX + identity
        self._alone = alone
        self._duration = duration
        self._renew_every = renew_every
        self._problem: str | None = None
        self._problem_changed = asyncio.Event()
        # True at first, since an earlier process may have left a Lease to delete.
        self._has_lease = True
        self._joined = asyncio.Event()
        self._members = frozenset({self._identity})
        self._renewals = Renewals(duration)
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever members have joined or left."""
        self._listeners.append(changed)

    def owns(self, key: str) -> bool:
        """True if this recorder owns a key (a CoreJob's name, or `SHARED_DUTIES`)."""
        return self._alone or rendezvous.owner(self._members, key) == self._identity

    def publish_problem(self, problem: str | None) -> None:
        """Publish at once why nothing can be written to the store; None if it can."""
        self._problem = problem
        self._problem_changed.set()

    async def join(self) -> None:
        """Become a member, and wait until the other members are known. Idempotent."""
        if self._task is None:
            self._task = self._supervision.start("membership", self._run)
        if not self._alone:
            await self._joined.wait()

    async def leave(self) -> None:
        """Delete the Lease, so that the others need not wait for its end.

        Call it last, after the last commit.
        """
        if self._task is None:
            return
        await tasks.cancel(self._task)
        self._task = None
        if not self._has_lease:
            return
        try:
            await self._leases.delete(self._lease_name)
        except NotFoundError:
            log.debug("there was no Lease to give up")
        except KubeError as error:
            log.warning("the Lease runs out by itself: %s", error)

    async def _run(self) -> None:
        while True:
            self._problem_changed.clear()
            try:
                # A hanging call must not delay the next one.
                async with asyncio.timeout(self._duration):
                    members = await self._renew_and_observe()
            except (KubeError, TimeoutError) as error:
                log.warning("no answer about the Leases: %s", error or "it takes too long")
                # Missed renewals can't be observed while the API server does not answer.
                self._renewals.forget()
            else:
                self._set_members(members)
                self._joined.set()
            await tasks.wait(self._problem_changed, self._renew_every)

    async def _renew_and_observe(self) -> frozenset[str]:
        """Renew the own Lease, and return the live members."""
        if self._alone:
            return await self._publish()
        await self._renew()
        return await self._live_members()

    def _set_members(self, members: frozenset[str]) -> None:
        if members == self._members:
            return
        log.info("the recorders are %s", ", ".join(sorted(members)))
        self._members = members
        for listener in self._listeners:
            listener()

    async def _publish(self) -> frozenset[str]:
        """Keep a lone recorder's Lease only while it has a problem to publish."""
        if self._problem is not None:
            self._has_lease = True
            await self._renew()
        elif self._has_lease:
            for lease in await self._leases.list(LABEL_RECORDER):
                await self._leases.delete(lease["metadata"]["name"])
            self._has_lease = False
        return self._members

    async def _live_members(self) -> frozenset[str]:
        """Return the live members, and delete the Leases of pods that are gone."""
        leases = {
            lease["metadata"]["name"]: lease for lease in await self._leases.list(LABEL_RECORDER)
        }
        self._renewals.keep(leases)
        now = asyncio.get_running_loop().time()
        living = {self._identity}
        for name, lease in leases.items():
            member = name.removeprefix(PREFIX)
            if member == self._identity or not self._renewals.is_recent(lease, now):
                continue
            if await self._leases.has_pod(member):
                living.add(member)
            else:
                await self._leases.delete(name)
        return frozenset(living)

    async def _renew(self) -> None:
        problem = self._problem and self._problem[:_MOST_CHARACTERS]
        notes = {ANNOTATION_STORE_PROBLEM: problem}
        try:
            await self._leases.renew(
                self._lease_name, self._identity, self._duration, annotations=notes
            )
        except NotFoundError:
            await self._leases.create(
                self._lease_name,
                self._identity,
                self._duration,
                labels={LABEL_RECORDER: "member"},
                annotations={ANNOTATION_STORE_PROBLEM: problem} if problem is not None else None,
            )
