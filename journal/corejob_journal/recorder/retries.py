"""When logs that could not be read are asked for again: of all followers of a recorder together.

A kubelet that does not answer fails the logs of all pods of its node, and an API server all. Then
one follower tries for all of them, and the others wait for what comes of it. What is asked for once
more is never more than so many requests a second, however many logs there are.
"""

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from corejob_kube import tasks
from corejob_kube.errors import KubeError, UnavailableError

log = logging.getLogger(__name__)

RATE: Final = 20.0
"""Requests a second that are not the first for their log."""
BURST: Final = 20
"""So many may come at once, after a pause."""
_PROBE_FIRST_S: Final = 0.2
_PROBE_MOST_S: Final = 15.0
_PROBE_MOST_API_S: Final = 3.0
_REPEAT_S: Final = 60.0
"""An outage that lasts is written to the process's log once a minute."""
_EVERYWHERE: Final = ""
"""The scope of an outage of the API server itself."""
_NODE: Final = re.compile(
    r"dial tcp|connection re(?:fused|set)|no route to host|unreachable|i/o timeout"
    r"|deadline exceeded|tls: |TLS handshake|x509|\bEOF\b|no such host|No agent available"
)
"""How the API server says, with a 500, that it can't talk to a kubelet."""
_KUBELET_SAID: Final = "( pods/log "
"""In the message of an error that the API server passes on from a kubelet."""


@dataclass(slots=True)
class _Outage:
    """What does not answer."""

    words: str
    failures: int = 0
    next_at: float = 0.0
    probing: bool = False
    logged_at: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Let all that wait check again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Attempt:
    """One request for a log: the follower says what came of it, and closes it in any case."""

    def __init__(self, retries: "Retries", node: str, probe: _Outage | None) -> None:
        self._retries = retries
        self._node = node
        self._probe = probe

    def opened(self) -> None:
        """The log is there."""
        self._probe = None
        self._retries.end(self._node)

    def failed(self, error: KubeError) -> bool:
        """It isn't. True if that is the node's fault: `turn` then waits as long as it has to."""
        if error.status == 400:
            self.opened()  # a kubelet that refuses does answer
            return False
        scope = scope_of(error, self._node)
        if scope is None:
            return False
        self._probe = None
        self._retries.begin(scope, error)
        return True

    def close(self) -> None:
        """It ended without a verdict, such as by a cancellation."""
        if self._probe is not None:
            self._probe.probing = False
            self._probe.tell()


class Retries:
    """Outages, and a common pace."""

    def __init__(
        self,
        *,
        rate: float = RATE,
        burst: int = BURST,
        now: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._gap = 1.0 / rate
        self._burst = burst
        self._now = now
        self._spread = spread
        self._free = now() - burst * self._gap
        self._outages: dict[str, _Outage] = {}

    async def turn(self, node: str, *, again: bool, hurry: Callable[[], bool]) -> Attempt:
        """Wait until a log may be asked for.

        Args:
            node: Where it is.
            again: True if it was asked for before.
            hurry: True once there is nothing to wait for: the API server alone knows the answer.
        """
        while not hurry():
            outage = self._outages.get(_EVERYWHERE) or self._outages.get(node)
            if outage is not None:
                again = True
                left = outage.next_at - self._now()
                if outage.probing or left > 0:
                    changed = outage.changed
                    await tasks.wait(changed, 3600.0 if outage.probing else left)
                    continue
                outage.probing = True
                return Attempt(self, node, outage)
            if not again:
                break
            await asyncio.sleep(self._slot())
            # Meanwhile the node may have stopped answering those before this one.
            if not (_EVERYWHERE in self._outages or node in self._outages):
                break
        return Attempt(self, node, None)

    def stir(self) -> None:
        """Let all that wait check whether they have to hurry."""
        for outage in self._outages.values():
            outage.tell()

    def spread(self, seconds: float) -> float:
        """About so many seconds, so that what failed together does not come back together."""
        return seconds * (0.75 + self._spread() / 2)

    def begin(self, scope: str, error: KubeError) -> None:
        """Something does not answer, or still doesn't."""
        outage = self._outages.setdefault(scope, _Outage(str(error)))
        now = self._now()
        if outage.next_at > now and not outage.probing:
            return  # one of those that were under way when it began
        most = _PROBE_MOST_S if scope else _PROBE_MOST_API_S
        delay = min(_PROBE_FIRST_S * 2 ** min(outage.failures, 20), most)
        outage.failures += 1
        outage.words = str(error)
        outage.next_at = now + max(self.spread(delay), error.retry_after or 0.0)
        outage.probing = False
        if outage.failures == 1 or now - outage.logged_at >= _REPEAT_S:
            outage.logged_at = now
            place = f"of node {scope} " if scope else ""
            log.warning("the logs %scan't be read, trying again: %s", place, error)
        outage.tell()

    def end(self, node: str) -> None:
        """A log of the node could be read."""
        for scope in (_EVERYWHERE, node):
            outage = self._outages.pop(scope, None)
            if outage is not None:
                place = f"of node {scope} " if scope else ""
                log.info("the logs %scan be read again", place)
                outage.tell()

    def trouble(self, node: str) -> str | None:
        """Why no log of a node can be read; None if some can."""
        outage = self._outages.get(_EVERYWHERE) or self._outages.get(node)
        return outage.words if outage is not None else None

    def _slot(self) -> float:
        now = self._now()
        self._free = max(self._free, now - self._burst * self._gap) + self._gap
        return max(0.0, self._free - now)


def scope_of(error: KubeError, node: str) -> str | None:
    """What an error concerns: a node, all (the empty text), or one log only (None)."""
    if error.reason == "Unreachable":
        return _EVERYWHERE
    if error.status in {401, 403, 429, 502, 503, 504}:
        return node if _KUBELET_SAID in error.message else _EVERYWHERE
    if isinstance(error, UnavailableError) and _NODE.search(error.message):
        return node
    return None
