"""Who records: each recorder renews a Lease of its own, and sees by the others' who lives.

By its Lease it also tells the API that it can't write to the store, and why. A recorder that is
always alone, with the embedded store, has a Lease for that only, and only as long.

As with the operator's Lease, nobody compares the clocks of two machines: whose Lease shows no
renewal for its duration, by the watcher's own clock, or whose pod is no more, is no member. Two may
hold different views for a moment. The store's tokens make that harmless (docs/journal.md).
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from corejob.names import ANNOTATION_TROUBLE, LABEL_RECORDER, MANAGER_RECORDER
from corejob_journal.recorder import shares
from corejob_kube import leases, tasks
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError, NotFoundError
from corejob_kube.leases import Renewals
from corejob_kube.resources import LEASES
from corejob_kube.supervision import Supervision

log = logging.getLogger(__name__)

PREFIX: Final = "core4-recorder-"
DURATION_S: Final = 5.0
RENEW_S: Final = 1.5
_MOST_WORDS: Final = 500


class Membership:
    """The living recorders of one namespace, as one of them sees it.

    Args:
        kube: The API server.
        namespace: The namespace that is served.
        identity: Name of this recorder's pod.
        alone: Whether there is never another, so that all is its own.
        now: The clock, for the times that people read.
        supervision: Looks after its task; None: a new one.
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
    ) -> None:
        self._supervision = supervision or Supervision()
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._alone = alone
        self._now = now
        self._trouble: str | None = None
        self._news = asyncio.Event()
        # What an earlier process may have left has to go, too.
        self._has_lease = True
        self._joined = asyncio.Event()
        self._members = frozenset({self._identity})
        self._renewals = Renewals(DURATION_S)
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever members have come or gone."""
        self._listeners.append(changed)

    def owns(self, key: str) -> bool:
        """Whether what has this key (a CoreJob's name, shared duties) is this recorder's."""
        return self._alone or shares.owner(self._members, key) == self._identity

    def tell(self, trouble: str | None) -> None:
        """Let the API know at once why nothing can be written to the store; None: it can."""
        self._trouble = trouble
        self._news.set()

    async def join(self) -> None:
        """Become a member; returns when it is known who the others are. Twice is as once."""
        if self._task is None:
            self._task = self._supervision.start("membership", self._run)
        if not self._alone:
            await self._joined.wait()

    async def leave(self) -> None:
        """Give the Lease up, so that the others need not wait; to be called at the very end."""
        if self._task is None:
            return
        await tasks.cancel(self._task)
        self._task = None
        if not self._has_lease:
            return
        try:
            await self._kube.delete(LEASES, self._namespace, PREFIX + self._identity)
        except NotFoundError:
            log.debug("there was no Lease to give up")
        except KubeError as error:
            log.warning("the Lease runs out by itself: %s", error)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                async with asyncio.timeout(DURATION_S):  # one that hangs must not hold up the next
                    members = await self._turn()
            except (KubeError, TimeoutError) as error:
                log.warning("no answer about the Leases: %s", error or "it takes too long")
                # Who can't look can't say that others did not renew.
                self._renewals.forget()
            else:
                self._note(members)
                self._joined.set()
            await tasks.wait(self._news, RENEW_S)

    async def _turn(self) -> frozenset[str]:
        """Renew the own Lease, and see who else lives."""
        if self._alone:
            return await self._publish()
        await self._renew()
        return await self._look()

    def _note(self, members: frozenset[str]) -> None:
        if members == self._members:
            return
        log.info("the recorders are %s", ", ".join(sorted(members)))
        self._members = members
        for listener in self._listeners:
            listener()

    async def _publish(self) -> frozenset[str]:
        """Who is alone has a Lease only while there is something to tell."""
        if self._trouble is not None:
            self._has_lease = True
            await self._renew()
        elif self._has_lease:
            found, _ = await self._kube.list(LEASES, self._namespace, selector=LABEL_RECORDER)
            for body in found:
                await self._kube.delete(LEASES, self._namespace, body["metadata"]["name"])
            self._has_lease = False
        return self._members

    async def _look(self) -> frozenset[str]:
        """Those who live; Leases of pods that are no more are cleared away."""
        found, _ = await self._kube.list(LEASES, self._namespace, selector=LABEL_RECORDER)
        known = {body["metadata"]["name"]: body for body in found}
        self._renewals.keep(known)
        now = asyncio.get_running_loop().time()
        living = {self._identity}
        for name, lease in known.items():
            member = name.removeprefix(PREFIX)
            if member == self._identity or not self._renewals.is_recent(lease, now):
                continue
            if await leases.has_pod(self._kube, self._namespace, member):
                living.add(member)
            else:
                await self._kube.delete(LEASES, self._namespace, name)
        return frozenset(living)

    async def _renew(self) -> None:
        name = PREFIX + self._identity
        spec = leases.spec(self._identity, DURATION_S, self._now())
        notes = {ANNOTATION_TROUBLE: self._trouble and self._trouble[:_MOST_WORDS]}
        patch = {"metadata": {"annotations": notes}, "spec": spec}
        try:
            await self._kube.patch(LEASES, self._namespace, name, patch, manager=MANAGER_RECORDER)
        except NotFoundError:
            told = {key: words for key, words in notes.items() if words is not None}
            labels = {LABEL_RECORDER: "member"}
            body = leases.manifest(self._namespace, name, spec, labels=labels, annotations=told)
            await self._kube.create(LEASES, self._namespace, body, manager=MANAGER_RECORDER)
