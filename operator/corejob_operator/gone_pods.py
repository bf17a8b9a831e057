"""The last state of pods that are gone: the last pod that started, of each CoreJob.

Events come together: a container may start, end and lose its pod between two reconciles. The last
event of a pod has its final state (core/v1 WatchEvent `DELETED`), which alone tells then that the
trial ran, and how it ended.
"""

from typing import Final

from corejob.children import PodChild
from corejob.state import FINAL
from corejob_kube.cache import Body

_FINAL: Final = {str(state) for state in FINAL}


class GonePods:
    """The pods that are gone, but matter to the present trial of a CoreJob."""

    def __init__(self) -> None:
        self._pods: dict[str, PodChild] = {}

    def of(self, corejob: str) -> PodChild | None:
        """Return the last pod of a CoreJob that had started and is gone; None without one."""
        return self._pods.get(corejob)

    def note(self, corejob: str, body: Body | None, pod: PodChild) -> None:
        """Note a deleted pod.

        Args:
            corejob: Name of the pod's CoreJob.
            body: That CoreJob; None if it is gone too.
            pod: The pod's last state.
        """
        if pod.started_at is not None and _matters(pod, body):
            self._pods[corejob] = pod

    def tidy(self, corejob: str, body: Body | None) -> None:
        """Drop the pod of a CoreJob once its outcome is written, or the CoreJob is gone."""
        pod = self._pods.get(corejob)
        if pod is not None and not _matters(pod, body):
            del self._pods[corejob]


def _matters(pod: PodChild, body: Body | None) -> bool:
    status = (body or {}).get("status") or {}
    return (
        body is not None
        and status.get("state") not in _FINAL
        and pod.trial >= int(status.get("trial") or 0)
    )
