"""Try again with pods whose log can't be followed: at a bounded rate, reported as unreadable."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.retries import Retries
from corejob_journal.recorder.ingest.unreadable import Unreadable
from corejob_process.backoff import Backoff

_FIRST_S: Final = 1.0
_MOST_S: Final = 60.0
_LASTS_S: Final = 60.0
"""Seconds for which a follower must run until the failure before it counts as over.

A follower whose log is silent stores nothing that would prove it earlier.
"""


@dataclass(slots=True)
class _Failing:
    pod: JobPod
    unreadable: Unreadable
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_S, _MOST_S))
    timer: asyncio.TimerHandle | None = None


class FailingPods:
    """The pods whose owner could not be found, or whose follower has failed.

    Args:
        retries: The common rate limit.
        again: Tries again with a pod.
        unreadable: Returns what reports that the log of a pod can't be read.
        lasts: Called with the uid of a pod whose follower has run for a while.
    """

    def __init__(
        self,
        retries: Retries,
        *,
        again: Callable[[JobPod], None],
        unreadable: Callable[[JobPod], Unreadable],
        lasts: Callable[[str], None],
    ) -> None:
        self._retries = retries
        self._again = again
        self._unreadable = unreadable
        self._lasts = lasts
        self._failing: dict[str, _Failing] = {}

    @property
    def pods(self) -> list[JobPod]:
        """The pods that have failed, as they were then."""
        return [entry.pod for entry in self._failing.values()]

    def holds(self, uid: str) -> bool:
        """True if a pod has failed, and nothing was stored of its log since."""
        return uid in self._failing

    def failed(self, pod: JobPod, problem: str) -> None:
        """Handle a failure: report it if it lasts, and try again after a pause."""
        entry = self._failing.get(pod.uid)
        if entry is None:
            entry = self._failing[pod.uid] = _Failing(pod, self._unreadable(pod))
        entry.unreadable.failed(problem)
        self._set_timer(entry, entry.backoff.next(), self._due, pod)

    def started(self, uid: str) -> None:
        """Note that a follower was started again."""
        entry = self._failing.get(uid)
        if entry is not None:
            self._set_timer(entry, _LASTS_S, self._lasts, uid)

    def close(self) -> None:
        """Try nothing again."""
        for uid in list(self._failing):
            self.forget(uid)

    def _due(self, pod: JobPod) -> None:
        self._set_timer(self._failing[pod.uid], self._retries.slot(), self._again, pod)

    def _set_timer(
        self, entry: _Failing, seconds: float, call: Callable[..., None], *arguments: object
    ) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer = asyncio.get_running_loop().call_later(seconds, call, *arguments)

    def is_reported(self, uid: str) -> bool:
        """True if a pod's log is reported as unreadable."""
        entry = self._failing.get(uid)
        return entry is not None and entry.unreadable.reported

    def forget(self, uid: str) -> bool:
        """Forget a pod, whose follower reports from now on. Return True if it had failed."""
        entry = self._failing.pop(uid, None)
        if entry is None:
            return False
        entry.unreadable.close()
        if entry.timer is not None:
            entry.timer.cancel()
        return True
