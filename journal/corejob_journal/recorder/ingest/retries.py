"""Coordinate the retries of all followers of a recorder for logs that could not be read.

A kubelet that does not answer fails the logs of all pods of its node; an API server that does not
answer fails all logs. Then one follower probes for all of them, and the others wait for its result.
Retries are limited to a rate, however many logs there are.
"""

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from corejob_kube.errors import KubeError, UnavailableError
from corejob_process import tasks
from corejob_process.backoff import Draw, pause

log = logging.getLogger(__name__)

RATE: Final = 20.0
"""Retries per second; the first request for a log does not count."""
BURST: Final = 20
"""Number of retries at once after a pause."""
_PROBE_FIRST_S: Final = 0.2
_PROBE_MOST_S: Final = 15.0
_PROBE_MOST_API_S: Final = 3.0
REPEAT_S: Final = 60.0
"""Seconds between log messages about an outage that lasts."""
_EVERYWHERE: Final = ""
"""The scope of an outage of the API server itself."""
_NODE: Final = re.compile(
    r"dial tcp|connection re(?:fused|set)|no route to host|unreachable|i/o timeout"
    r"|deadline exceeded|tls: |TLS handshake|x509|\bEOF\b|no such host|No agent available"
)
"""Texts of the API server's 500 when it can't reach a kubelet."""
_KUBELET_SAID: Final = "( pods/log "
"""Part of the message of an error that the API server passes on from a kubelet."""


@dataclass(slots=True)
class _Outage:
    """An outage of a kubelet or of the API server."""

    message: str
    failures: int = 0
    next_at: float = 0.0
    probing: bool = False
    logged_at: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        """Let all waiting followers check again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Attempt:
    """One request for a log: the follower reports its result, and closes it in any case."""

    def __init__(self, retries: "Retries", node: str, probe: _Outage | None) -> None:
        self._retries = retries
        self._node = node
        self._probe = probe

    def opened(self) -> None:
        """Report that the log could be opened."""
        self._probe = None
        self._retries.end(self._node)

    def failed(self, error: KubeError) -> bool:
        """Report an error. Return True if it is an outage, for whose end `turn` waits."""
        if error.status == 400:
            self.opened()  # a kubelet that refuses a request is reachable
            return False
        scope = scope_of(error, self._node)
        if scope is None:
            return False
        self._probe = None
        self._retries.begin(scope, error)
        return True

    def close(self) -> None:
        """End the attempt. If it has no result, as after a cancellation, another one may probe."""
        if self._probe is not None:
            self._probe.probing = False
            self._probe.notify()


class Retries:
    """The outages, and the common rate limit of retries."""

    def __init__(
        self,
        *,
        rate: float = RATE,
        burst: int = BURST,
        now: Callable[[], float] = time.monotonic,
        draw: Draw = random.random,
    ) -> None:
        self._gap = 1.0 / rate
        self._burst = burst
        self._now = now
        self._draw = draw
        self._free = now() - burst * self._gap
        self._outages: dict[str, _Outage] = {}

    async def turn(self, node: str, *, again: bool, hurry: Callable[[], bool]) -> Attempt:
        """Wait until a log may be requested.

        Args:
            node: The node of the log's pod.
            again: True if the log was requested before.
            hurry: Returns True once no wait is needed, since the API server answers without the
                node.
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
            await asyncio.sleep(self.slot())
            # Meanwhile an earlier request may have found that the node does not answer.
            if not (_EVERYWHERE in self._outages or node in self._outages):
                break
        return Attempt(self, node, None)

    def stir(self) -> None:
        """Let all waiting followers check their `hurry` again."""
        for outage in self._outages.values():
            outage.notify()

    def begin(self, scope: str, error: KubeError) -> None:
        """Begin or prolong an outage: set the time of the next probe, with back-off."""
        outage = self._outages.setdefault(scope, _Outage(str(error)))
        now = self._now()
        if outage.next_at > now and not outage.probing:
            return  # a request that was in flight when the outage began
        most = _PROBE_MOST_S if scope else _PROBE_MOST_API_S
        outage.failures += 1
        delay = pause(outage.failures, _PROBE_FIRST_S, most, self._draw)
        outage.message = str(error)
        outage.next_at = now + max(delay, error.retry_after or 0.0)
        outage.probing = False
        if outage.failures == 1 or now - outage.logged_at >= REPEAT_S:
            outage.logged_at = now
            place = f"of node {scope} " if scope else ""
            log.warning("the logs %scan't be read, trying again: %s", place, error)
        outage.notify()

    def end(self, node: str) -> None:
        """End the outages of the node and of the API server, since a log of the node was read."""
        for scope in (_EVERYWHERE, node):
            outage = self._outages.pop(scope, None)
            if outage is not None:
                place = f"of node {scope} " if scope else ""
                log.info("the logs %scan be read again", place)
                outage.notify()

    def problem(self, node: str) -> str | None:
        """Return why no log of a node can be read; None without an outage."""
        outage = self._outages.get(_EVERYWHERE) or self._outages.get(node)
        return outage.message if outage is not None else None

    def slot(self) -> float:
        """Take the next place within the common rate. Return the seconds until then."""
        now = self._now()
        self._free = max(self._free, now - self._burst * self._gap) + self._gap
        return max(0.0, self._free - now)


def scope_of(error: KubeError, node: str) -> str | None:
    """Return the scope of an error: a node, the empty text for all logs, or None for one log."""
    if error.reason == "Unreachable":
        return _EVERYWHERE
    if error.status in {401, 403, 429, 502, 503, 504}:
        return node if _KUBELET_SAID in error.message else _EVERYWHERE
    if isinstance(error, UnavailableError) and _NODE.search(error.message):
        return node
    return None
