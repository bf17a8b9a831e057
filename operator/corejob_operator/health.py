"""Liveness and readiness of the operator."""

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from corejob_operator.process import Operator

_SILENT_RESYNCS: Final = 5
"""After this many resyncs without an answer, the process counts as cut off from the API server."""


class OperatorHealth:
    """The operator's `corejob_process.health.Health`.

    Args:
        operator: The operator.
        resync_interval: Seconds between two resyncs.
        monotonic: Returns the time, as `time.monotonic`.
    """

    def __init__(
        self,
        operator: Operator,
        resync_interval: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operator = operator
        self._most_silence = resync_interval * _SILENT_RESYNCS
        self._time = monotonic

    def liveness_problem(self) -> str | None:
        """Return why to restart the process, or None: a task has ended, or a watch is stale."""
        ended = self._operator.supervision.problem()
        if ended is not None:
            return ended
        stale = self._operator.resync.stale
        if stale:
            return f"stale watches: {', '.join(sorted(stale))}"
        if self._time() - self._operator.last_contact > self._most_silence:
            return "no answer from Kubernetes for long"
        return None

    async def readiness_problem(self, _without: str = "", /) -> str | None:
        """Return why the operator is not ready, or None: a task ended, or the first list is due."""
        ended = self._operator.supervision.problem()
        if ended is not None:
            return ended
        return None if self._operator.ready else "waiting for Kubernetes"

    def registry(self) -> CollectorRegistry:
        """Return the registry of the operator's metrics."""
        return self._operator.metrics.registry
