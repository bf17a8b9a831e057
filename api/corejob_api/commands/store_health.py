"""Health of the store: new jobs are accepted only if the logs of jobs can be stored.

The store must answer, and a recorder must be able to write. The API only reads the store, and a
full or locked store can still be read, so the recorders report in their Leases that they can't
write. A Lease that is not renewed is ignored: its recorder is restarting or cut off, and the logs
of jobs stay on the nodes meanwhile.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from corejob.names import ANNOTATION_STORE_PROBLEM
from corejob_api.http.errors import unavailable
from corejob_journal.store import Store, StoreError
from corejob_kube import leases
from corejob_kube.cache import Body, ObjectCache

_RETRY_S: Final = 5
_SHARED_S: Final = 0.1
"""Seconds for which an answer of the store holds for further requests."""


class StoreHealth:
    """Health of the store and its recorders, as seen by one API process.

    Args:
        store: The store.
        members: Cache of the recorders' Leases.
        clock: Monotonic clock of this process, in seconds.
    """

    def __init__(
        self, store: Store, members: ObjectCache, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._leases = members
        self._clock = clock
        self._renewed: dict[str, float] = {}
        self._checked_until = -math.inf
        self._pinging: asyncio.Future[None] | None = None
        members.listen(self._changed)

    async def check(self) -> None:
        """Raise if no job may be created now.

        Raises:
            StoreUnavailable: The store does not answer.
            ApiError: 503, no recorder can write to the store.
        """
        await self._ping()
        problem = self._recorders_problem()
        if problem is not None:
            text = f"jobs can't be accepted: their logs could not be stored: {problem}"
            raise unavailable(text, _RETRY_S)

    async def _ping(self) -> None:
        """Check that the store answers; requests that come together share one check."""
        if self._clock() < self._checked_until:
            return
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.ensure_future(self._store.ping())
            # Retrieved here too, since all who await it may have disconnected.
            self._pinging.add_done_callback(lambda ping: ping.cancelled() or ping.exception())
        # Shielded: a client that disconnects must not cancel the check of the others.
        await asyncio.shield(self._pinging)
        self._checked_until = self._clock() + _SHARED_S

    async def problem(self) -> str | None:
        """Return the problem of the store or its recorders, or None."""
        try:
            await self._store.ping()
        except StoreError as error:
            return str(error)
        return self._recorders_problem()

    def _recorders_problem(self) -> str | None:
        """Return a problem if all live recorders have one; a single healthy recorder suffices."""
        problems = [_reported(lease) for lease in self._leases if self._is_renewed(lease)]
        return problems[0] if all(problems) and problems else None

    def _changed(self, name: str, _old: Body | None, new: Body | None) -> None:
        if new is None:
            self._renewed.pop(name, None)
        else:
            self._renewed[name] = self._clock()

    def _is_renewed(self, lease: Mapping[str, Any]) -> bool:
        since = self._clock() - self._renewed[lease["metadata"]["name"]]
        return since <= leases.duration(lease)


def _reported(lease: Mapping[str, Any]) -> str | None:
    """Return the problem that a recorder reports in its Lease, or None."""
    annotations = lease["metadata"].get("annotations") or {}
    problem: str | None = annotations.get(ANNOTATION_STORE_PROBLEM)
    return problem
