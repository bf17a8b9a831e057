"""Resync: lists all objects at an interval, and updates the caches with what the watches missed.

A stale watch looks like a quiet cluster. This module tells the two apart: a watch is stale if it
has not delivered a change that the resync before this one covered already.
"""

import logging

from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.resources import Resource
from corejob_operator.caches import CHILD_KINDS, CHILD_SELECTOR, WATCHED, Caches
from corejob_operator.metrics import OperatorMetrics

log = logging.getLogger(__name__)


class Resync:
    """The resync of a namespace.

    Attributes:
        stale: Plurals of the kinds whose watch is stale.
    """

    def __init__(
        self, kube: Kube, caches: Caches, namespace: str, metrics: OperatorMetrics
    ) -> None:
        self._kube = kube
        self._caches = caches
        self._namespace = namespace
        self._metrics = metrics
        self._listed: dict[str, int] = {}
        self.stale: frozenset[str] = frozenset()

    async def run(self) -> None:
        """List all kinds once, and update the caches and `stale`.

        Raises:
            KubeError: The API server did not answer.
        """
        stale = set()
        for resource in WATCHED:
            if await self._resync_kind(resource):
                stale.add(resource.plural)
        self.stale = frozenset(stale)

    async def refresh(self) -> None:
        """List all kinds once, and update the caches. Nothing follows from it about the watches.

        Raises:
            KubeError: The API server did not answer.
        """
        for resource in WATCHED:
            items, version = await self._list(resource)
            self._caches.cache(resource).replace(items, version)

    async def _list(self, resource: Resource) -> tuple[list[Body], str]:
        selector = CHILD_SELECTOR if resource in CHILD_KINDS else ""
        return await self._kube.list(resource, self._namespace, selector=selector)

    async def _resync_kind(self, resource: Resource) -> bool:
        """Update the cache of one kind from a list; return True if the kind's watch is stale."""
        items, version = await self._list(resource)
        before = self._listed.get(resource.plural)
        self._listed[resource.plural] = int(version)
        cache = self._caches.cache(resource)
        missed = 0
        overdue = False
        for item in items:
            meta = item["metadata"]
            cached = cache.get(meta["name"])
            listed = int(meta["resourceVersion"])
            if cached is None or int(cached["metadata"]["resourceVersion"]) < listed:
                missed += 1
            if before is not None and cache.watched_version < listed <= before:
                overdue = True
        if before is not None and missed:
            self._metrics.repairs.inc(missed)
        if overdue:
            log.error("the watch of %s is stale", resource.plural)
        cache.replace(items, version)
        return overdue
