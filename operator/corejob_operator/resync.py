"""Resync: lists all objects at an interval, and updates the caches with what the watches missed.

A stale watch looks like a quiet cluster. This module tells the two apart: a watch is stale if it
has not delivered a change that the resync before this one covered already.
"""

import logging
from typing import Final

from corejob_kube.client import Kube
from corejob_kube.resources import JOBS, PODS, Resource
from corejob_operator.caches import CHILD_SELECTOR, WATCHED, World
from corejob_operator.metrics import Metrics

log = logging.getLogger(__name__)

_CHILDREN: Final = frozenset({JOBS, PODS})


class Sweep:
    """The resync of a namespace.

    Attributes:
        deaf: Plurals of the kinds whose watch is stale.
    """

    def __init__(self, kube: Kube, world: World, namespace: str, metrics: Metrics) -> None:
        self._kube = kube
        self._world = world
        self._namespace = namespace
        self._metrics = metrics
        self._listed: dict[str, int] = {}
        self.deaf: frozenset[str] = frozenset()

    async def run(self) -> None:
        """List all kinds once, and update the caches and `deaf`.

        Raises:
            KubeError: The API server did not answer.
        """
        deaf = set()
        for resource in WATCHED:
            if await self._one(resource):
                deaf.add(resource.plural)
        self.deaf = frozenset(deaf)

    async def _one(self, resource: Resource) -> bool:
        """Update the cache of one kind from a list; return True if the kind's watch is stale."""
        selector = CHILD_SELECTOR if resource in _CHILDREN else ""
        items, version = await self._kube.list(resource, self._namespace, selector=selector)
        before = self._listed.get(resource.plural)
        self._listed[resource.plural] = int(version)
        cache = self._world.cache(resource)
        missed = 0
        overdue = False
        heard = self._world.heard_of(resource)
        for item in items:
            meta = item["metadata"]
            known = cache.get(meta["name"])
            own = int(meta["resourceVersion"])
            if known is None or int(known["metadata"]["resourceVersion"]) < own:
                missed += 1
            if before is not None and heard < own <= before:
                overdue = True
        if before is not None and missed:
            self._metrics.repairs.inc(missed)
        if overdue:
            log.error("the watch of %s is deaf", resource.plural)
        cache.replace(items, version)
        return overdue
