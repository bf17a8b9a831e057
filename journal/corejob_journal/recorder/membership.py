"""Who records: each recorder renews a Lease of its own, and sees by the others' who lives.

As with the operator's Lease, nobody compares the clocks of two machines: whose Lease shows no
renewal for its duration, by the watcher's own clock, or whose pod is no more, is no member. Two may
hold different views for a moment. The store's tokens make that harmless (docs/journal.md).
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from corejob.names import MANAGER_RECORDER
from corejob_journal.recorder import shares
from corejob_kube import leases, tasks
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError, NotFoundError
from corejob_kube.leases import Renewals
from corejob_kube.resources import LEASES

log = logging.getLogger(__name__)

PREFIX: Final = "core4-recorder-"
LABEL: Final = "core4.io/recorder"
"""On the Leases: by it they are found among those of the claims."""
DURATION_S: Final = 5.0
RENEW_S: Final = 1.5


class Membership:
    """The living recorders of one namespace, as one of them sees it.

    Args:
        kube: The API server.
        namespace: The namespace that is served.
        identity: Name of this recorder's pod; None: there is never another, so all is its own.
        now: The clock, for the times that people read.
    """

    def __init__(
        self, kube: Kube, namespace: str, identity: str | None, now: Callable[[], datetime]
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._identity = identity or ""
        self._alone = identity is None
        self._now = now
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

    async def join(self) -> None:
        """Become a member; returns when it is known who the others are."""
        if self._alone:
            return
        joined = asyncio.Event()
        self._task = asyncio.create_task(self._run(joined), name="membership")
        await joined.wait()

    async def leave(self) -> None:
        """Give the Lease up, so that the others need not wait; to be called at the very end."""
        if self._task is None:
            return
        await tasks.cancel(self._task)
        try:
            await self._kube.delete(LEASES, self._namespace, PREFIX + self._identity)
        except KubeError as error:
            log.warning("the Lease runs out by itself: %s", error)

    async def _run(self, joined: asyncio.Event) -> None:
        while True:
            try:
                await self._renew()
                members = await self._look()
            except KubeError as error:
                log.warning("no answer about the Leases: %s", error)
                # Who can't look can't say that others did not renew.
                self._renewals.forget()
            else:
                self._note(members)
                joined.set()
            await asyncio.sleep(RENEW_S)

    def _note(self, members: frozenset[str]) -> None:
        if members == self._members:
            return
        log.info("the recorders are %s", ", ".join(sorted(members)))
        self._members = members
        for listener in self._listeners:
            listener()

    async def _look(self) -> frozenset[str]:
        """Those who live; Leases of pods that are no more are cleared away."""
        found, _ = await self._kube.list(LEASES, self._namespace, selector=LABEL)
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
        patch = {"spec": spec}
        try:
            await self._kube.patch(LEASES, self._namespace, name, patch, manager=MANAGER_RECORDER)
        except NotFoundError:
            body = leases.manifest(self._namespace, name, spec, labels={LABEL: "member"})
            await self._kube.create(LEASES, self._namespace, body, manager=MANAGER_RECORDER)
