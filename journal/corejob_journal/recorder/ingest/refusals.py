"""Decide when a log counts as lost, since the kubelet keeps refusing it. No I/O."""

from typing import Final

from corejob_journal.recorder.ingest.reading import LogGoneError
from corejob_kube.errors import InvalidError, NotFoundError

_LEAST: Final = 8
_LEAST_S: Final = 60.0
"""Seconds for which a log must have been refused.

A kubelet that has just started knows no pods (404), and while the container runtime is restarted it
has no log of any container.
"""
_NO_FILE: Final = "no such file or directory"
"""Error text for the log file of a container that never started or was cleaned up."""


def is_refusal(error: Exception) -> bool:
    """True if an error says that there is no such log, which may be wrong for a while."""
    refused = isinstance(error, InvalidError | NotFoundError | LogGoneError)
    return refused or _NO_FILE in str(error)


class Refusals:
    """The refusals of one log, in a row."""

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0

    def add(self, now: float) -> bool:
        """Count a refusal at monotonic time `now`. Return True if the log counts as lost."""
        if not self._count:
            self._since = now
        self._count += 1
        return self._count >= _LEAST and now - self._since >= _LEAST_S

    def reset(self) -> None:
        """Note that the log was read."""
        self._count = 0
