"""The newest state of a pod whose log is followed: has its container ended, is the log gone?"""

import asyncio
import contextlib
import math
import time
from typing import Final

from corejob_journal.recorder.ingest import pods
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError, NotFoundError
from corejob_kube.resources import PODS

_FLUSH_S: Final = 1.0
"""Seconds from the known end of the container until its log is complete.

The container runtime may write a container's last lines after it has reported its end. A log that
does not end with the runtime's `done` line is read once more after this time.
"""
_FLUSH_HALF_S: Final = 5.0
"""The same for a log that ends in the middle of a line."""
_RESTART_S: Final = 1.0
"""Seconds that the kubelet takes to report that a container has ended and restarts."""


class FollowedPod:
    """A pod whose log is followed, as the watch or a request has reported it last.

    Attributes:
        newest: The newest state.
    """

    def __init__(self, kube: Kube, namespace: str, pod: JobPod) -> None:
        self._kube = kube
        self._namespace = namespace
        self.newest = pod
        self._over_at: float | None = None

    def flushed_at(self, *, half_line: bool) -> float:
        """Return the monotonic time when the log is complete; infinity while the container runs.

        Args:
            half_line: True if the log ends in the middle of a line.
        """
        if not self.newest.over:
            return math.inf
        if self._over_at is None:
            self._over_at = time.monotonic()
        return self._over_at + (_FLUSH_HALF_S if half_line else _FLUSH_S)

    async def is_over_or_restarts(self) -> bool:
        """True if the container has ended for good; wait for the next run of one that restarts."""
        if self.newest.child.restarts and not self.newest.over:
            # The pod's status reports first the end, and then the next run.
            await asyncio.sleep(_RESTART_S)
        return await self.is_over()

    async def is_over(self) -> bool:
        """True if the container has ended; ask the API server, since the watch may lag."""
        if not self.newest.over:
            with contextlib.suppress(KubeError):
                await self._refresh()
        return self.newest.over

    async def is_gone(self, error: Exception) -> bool:
        """True if the log no longer exists.

        A 404 alone is no proof, since a kubelet that has just started knows no pods yet. Nor is a
        log that the kubelet can't retrieve: so are all while the container runtime is restarted.
        """
        if not isinstance(error, NotFoundError):
            return False
        try:
            return not await self._refresh()
        except NotFoundError:
            return True
        except KubeError:
            return False

    async def _refresh(self) -> bool:
        """Re-read the pod from the API server. Return False if another pod has its name.

        Raises:
            KubeError: The pod does not exist, or the API server did not answer.
        """
        body = await self._kube.get(PODS, self._namespace, self.newest.child.name)
        pod = pods.parse(body)
        if pod is None or pod.uid != self.newest.uid:
            return False
        self.newest = pod
        return True
