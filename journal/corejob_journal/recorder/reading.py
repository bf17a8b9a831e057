"""One connection to a pod's log."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Final

from corejob_journal.recorder.lines import Line, Splitter, stamp_of
from corejob_journal.recorder.pods import JobPod
from corejob_kube.client import Kube
from corejob_kube.errors import UnavailableError
from corejob_kube.resources import PODS

_BUFFER: Final = 2**18
"""Read ahead a connection: what 200 of them may hold while the store is away has a limit."""
_IDLE_S: Final = 120.0
"""A log may be silent for hours, and a dead connection is silent too: after this time it is opened
anew, which costs a repetition of a second's lines at most."""
_LOOK_S: Final = 5.0
_STAMP_BYTES: Final = "40"
"""Enough for any time; the kubelet's limit counts it as well."""
_GONE: Final = "unable to retrieve container logs"


class LogGoneError(Exception):
    """The kubelet has the container's log no more."""


class LogReader:
    """Reads one pod's log.

    Attributes:
        splitter: Of the last connection; it holds the text after the last line end.
    """

    def __init__(self, kube: Kube, namespace: str, pod: JobPod) -> None:
        self._kube = kube
        self._path = PODS.path(namespace, pod.child.name, "log")
        self._container = pod.container
        self.splitter = Splitter()

    async def read(self, *, since: int | None, follow: bool) -> AsyncGenerator[list[Line], None]:
        """Lines, as they come; ends where the log, or the connection, ends in good order.

        Args:
            since: From which second on; None: all that there is.
            follow: Whether to wait for more as long as the container runs.

        Raises:
            LogGoneError: There is no log any more.
            KubeError: The connection broke, or the server refused it.
        """
        params = {"container": self._container, "timestamps": "true"}
        if follow:
            params["follow"] = "true"
        if since is not None:
            params["sinceTime"] = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        splitter = self.splitter = Splitter()
        async with self._kube.stream(
            self._path, params=params, idle=_IDLE_S, buffer=_BUFFER
        ) as content:
            async for chunk in content.iter_any():
                lines = splitter.feed(chunk)
                if lines:
                    yield lines
                if splitter.words is not None:
                    break
        splitter.close()
        if splitter.words is not None:
            raise _trouble(splitter.words)

    async def first_stamp(self) -> int | None:
        """Time of the newest file's first line, in nanoseconds; None: it has none yet.

        Raises:
            KubeError: The connection broke, or the server refused it.
        """
        params = {"container": self._container, "timestamps": "true", "limitBytes": _STAMP_BYTES}
        async with self._kube.stream(self._path, params=params, idle=_LOOK_S) as content:
            return stamp_of(await content.read(int(_STAMP_BYTES)))


def _trouble(words: str) -> Exception:
    if _GONE in words:
        return LogGoneError(words)
    # "failed to create fsnotify watcher: too many open files" and the like: it may pass.
    return UnavailableError(503, "Kubelet", words)
