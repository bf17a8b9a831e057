"""Liveness and readiness of the API, for the cluster's probes, not for clients."""

import time
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from corejob_api.commands.store_health import StoreHealth
from corejob_api.metrics import ApiMetrics
from corejob_api.queue.index import Queue
from corejob_kube.informer import STALE_WATCH_S, Informer, silence
from corejob_process.supervision import Supervision

_RECENT_S: Final = 120.0
_STORE: Final = "store"


class ApiHealth:
    """The API's `corejob_process.health.Health`."""

    def __init__(
        self,
        supervision: Supervision,
        informers: Sequence[Informer],
        store_health: StoreHealth,
        queue: Queue,
        metrics: ApiMetrics,
    ) -> None:
        self._supervision = supervision
        self._informers = informers
        self._store_health = store_health
        self._queue = queue
        self._metrics = metrics
        self._began = time.monotonic()

    def liveness_problem(self) -> str | None:
        """Return the reason to restart the process: a task ended, or a watch is silent; or None."""
        silent = "a watch is silent" if self._silence() > STALE_WATCH_S else None
        return self._supervision.problem() or silent

    async def readiness_problem(self, without: str = "", /) -> str | None:
        """Return why requests can't be answered now; None: they can.

        Args:
            without: `store` skips the check of the store, which all pods share: while the store is
                unavailable no other pod can help, and a 503 says more than a refused connection.
        """
        problem = self._supervision.problem() or self._kubernetes_problem()
        if problem is None and without != _STORE:
            problem = await self._store_health.problem()
        return problem

    def registry(self) -> CollectorRegistry:
        """Update the queue's gauge and return the API's metrics."""
        self._metrics.queued.set(len(self._queue))
        return self._metrics.registry

    def _silence(self) -> float:
        return silence(self._informers, since=self._began)

    def _kubernetes_problem(self) -> str | None:
        if not all(informer.is_synced for informer in self._informers):
            return "waiting for Kubernetes"
        if self._silence() > _RECENT_S:
            return "Kubernetes does not answer"
        return None
