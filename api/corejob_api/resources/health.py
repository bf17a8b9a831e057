"""/healthz, /readyz and /metrics: for the cluster, not for clients."""

import time
from collections.abc import Sequence
from typing import Final

from falcon.asgi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from corejob_api.metrics import Metrics
from corejob_api.queue import Queue
from corejob_api.storing import Storing
from corejob_kube.informer import DEAF_S, Informer, silence
from corejob_kube.supervision import Supervision

_RECENT_S: Final = 120.0


class Health:
    """Whether the process lives, and whether it can serve."""

    def __init__(
        self,
        supervision: Supervision,
        informers: Sequence[Informer],
        storing: Storing,
        queue: Queue,
        metrics: Metrics,
    ) -> None:
        self._supervision = supervision
        self._informers = informers
        self._storing = storing
        self._queue = queue
        self._metrics = metrics
        self._began = time.monotonic()

    async def alive(self, _req: Request, resp: Response) -> None:
        """What only a restart mends: a task has ended, or a watch hears nothing for long."""
        silent = "a watch is silent" if self._silence() > DEAF_S else None
        _say(resp, self._supervision.trouble() or silent)

    async def ready(self, req: Request, resp: Response) -> None:
        """Whether requests can be answered.

        `?without=store` leaves out the store that all pods share: when it is away, there is no
        other pod to turn to, and a 503 from this one says more than a refused connection.
        """
        trouble = self._supervision.trouble() or self._trouble_of_kubernetes()
        if trouble is None and req.get_param("without") != "store":
            trouble = await self._storing.trouble()
        _say(resp, trouble)

    async def metrics(self, _req: Request, resp: Response) -> None:
        """For Prometheus."""
        self._metrics.queued.set(len(self._queue))
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(self._metrics.registry)

    def _silence(self) -> float:
        return silence(self._informers, since=self._began)

    def _trouble_of_kubernetes(self) -> str | None:
        if not all(informer.is_synced for informer in self._informers):
            return "waiting for Kubernetes"
        if self._silence() > _RECENT_S:
            return "Kubernetes does not answer"
        return None


def _say(resp: Response, trouble: str | None) -> None:
    resp.status = 200 if trouble is None else 503
    resp.content_type = "text/plain; charset=utf-8"
    resp.data = f"{trouble or 'ok'}\n".encode()
