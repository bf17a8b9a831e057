"""Whether the recorder lives and works."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from corejob_journal.recorder.supervisor import Supervisor
from corejob_kube.informer import DEAF_S, silence
from corejob_kube.supervision import Supervision

_PING_S: Final = 3.0


class RecorderHealth:
    """The recorder's `corejob_kube.health.Health`. The supervisor is None until it has a store."""

    def __init__(
        self, supervision: Supervision, supervisor: Callable[[], Supervisor | None]
    ) -> None:
        self._supervision = supervision
        self._supervisor = supervisor
        self._began = time.monotonic()

    def deadly(self) -> str | None:
        """What only a restart mends: a task has ended, or a watch hears nothing for long."""
        ended = self._supervision.trouble()
        if ended is not None:
            return ended
        supervisor = self._supervisor()
        if supervisor is None:
            return None
        silent = silence((supervisor.jobs, supervisor.pods), since=self._began)
        return "a watch is silent" if silent > DEAF_S else None

    async def trouble(self, _without: str = "", /) -> str | None:
        """It needs the store, and all that is to be recorded."""
        ended = self._supervision.trouble()
        if ended is not None:
            return ended
        supervisor = self._supervisor()
        if supervisor is None:
            return "waiting for the store"
        if not (supervisor.jobs.is_synced and supervisor.pods.is_synced):
            return "waiting for Kubernetes"
        return supervisor.commits.trouble or await _store_trouble(supervisor)

    def registry(self) -> CollectorRegistry:
        """The recorder's metrics: none yet before there is something to count."""
        supervisor = self._supervisor()
        return supervisor.metrics.registry if supervisor is not None else CollectorRegistry()


async def _store_trouble(supervisor: Supervisor) -> str | None:
    """What ails the store; a recorder that has nothing to write would not notice by itself."""
    try:
        async with asyncio.timeout(_PING_S):
            await supervisor.commits.ping()
    except TimeoutError:
        return supervisor.commits.trouble or "the store does not answer"
    return None
