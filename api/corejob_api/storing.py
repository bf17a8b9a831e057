"""Whether what a new job writes can be stored: the store has to answer, and a recorder to write.

The API only reads the store, and a full or locked one can be read. So the recorders tell by their
Leases that they can't write. One whose Lease is not renewed says nothing: it is being restarted, or
cut off, and what jobs write meanwhile waits on the nodes.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from corejob.names import ANNOTATION_TROUBLE
from corejob_api.errors import unavailable
from corejob_journal.store import Store, StoreError
from corejob_kube import leases
from corejob_kube.cache import Body, ObjectCache

_RETRY_S: Final = 5


class Storing:
    """The store and its recorders, as one API sees them.

    Args:
        store: The store.
        members: The recorders' Leases.
        clock: Seconds, of this process only.
    """

    def __init__(
        self, store: Store, members: ObjectCache, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._leases = members
        self._clock = clock
        self._renewed: dict[str, float] = {}
        members.listen(self._changed)

    async def check(self) -> None:
        """Return if a job may be made.

        Raises:
            StoreUnavailable: The store is away.
            ApiError: 503, it can't be written to.
        """
        await self._store.ping()
        trouble = self._trouble_of_recorders()
        if trouble is not None:
            text = f"no job is taken while its log could not be stored: {trouble}"
            raise unavailable(text, _RETRY_S)

    async def trouble(self) -> str | None:
        """What ails the store; None if nothing does."""
        try:
            await self._store.ping()
        except StoreError as error:
            return str(error)
        return self._trouble_of_recorders()

    def _trouble_of_recorders(self) -> str | None:
        """What keeps all recorders that live from writing: one that can takes the job's log."""
        told = [_told(lease) for lease in self._leases if self._is_renewed(lease)]
        return told[0] if all(told) and told else None

    def _changed(self, name: str, _old: Body | None, new: Body | None) -> None:
        if new is None:
            self._renewed.pop(name, None)
        else:
            self._renewed[name] = self._clock()

    def _is_renewed(self, lease: Mapping[str, Any]) -> bool:
        since = self._clock() - self._renewed[lease["metadata"]["name"]]
        return since <= leases.duration(lease)


def _told(lease: Mapping[str, Any]) -> str | None:
    annotations = lease["metadata"].get("annotations") or {}
    words: str | None = annotations.get(ANNOTATION_TROUBLE)
    return words
