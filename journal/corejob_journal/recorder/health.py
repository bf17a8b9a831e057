"""Liveness and readiness of the recorder."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from corejob_journal.recorder.supervisor import Supervisor
from corejob_kube.informer import STALE_WATCH_S, silence
from corejob_process.supervision import Supervision

_PING_S: Final = 3.0


class RecorderHealth:
    """The recorder's `corejob_process.health.Health`.

    The supervisor is None until the store answers.
    """

    def __init__(
        self, supervision: Supervision, supervisor: Callable[[], Supervisor | None]
    ) -> None:
        self._supervision = supervision
        self._supervisor = supervisor
        self._began = time.monotonic()

    def liveness_problem(self) -> str | None:
        """Reason to restart the process (a task ended, or a watch is silent for long), or None."""
        ended = self._supervision.problem()
        if ended is not None:
            return ended
        supervisor = self._supervisor()
        if supervisor is None:
            return None
        silent = silence((supervisor.jobs, supervisor.pods), since=self._began)
        return "a watch is silent" if silent > STALE_WATCH_S else None

    async def readiness_problem(self, _without: str = "", /) -> str | None:
        """Reason why the recorder is not ready, or None: it needs the store and synced caches."""
        ended = self._supervision.problem()
        if ended is not None:
            return ended
        supervisor = self._supervisor()
        if supervisor is None:
            return "waiting for the store"
        if not (supervisor.jobs.is_synced and supervisor.pods.is_synced):
            return "waiting for Kubernetes"
        return supervisor.commits.problem or await _store_problem(supervisor)

    def registry(self) -> CollectorRegistry:
        """Return the recorder's metrics; an empty registry until the store answers."""
        supervisor = self._supervisor()
        return supervisor.metrics.registry if supervisor is not None else CollectorRegistry()


async def _store_problem(supervisor: Supervisor) -> str | None:
    """Return the store's problem, or None, by a probe: an idle recorder would not notice it."""
    try:
        async with asyncio.timeout(_PING_S):
            await supervisor.commits.ping()
    except TimeoutError:
        return supervisor.commits.problem or "the store does not answer"
    return None
