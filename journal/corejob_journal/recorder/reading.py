"""One connection to a pod's log."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from corejob_journal.recorder.lines import Line, Splitter, first_entry
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
_ENTRY_BYTES: Final = "128"
"""Enough for any time and some text; the kubelet's limit counts both."""
_FRONT_BYTES: Final = 64
"""Enough to tell a timestamp from a text that looks like one."""
_GONE: Final = "unable to retrieve container logs"
_NOT_FOLLOWED: Final = re.compile(
    "failed to create fsnotify watcher|failed to watch directory|too many open files"
    "|no space left on device"
)
"""A node has few inotify instances and watches."""


class LogGoneError(Exception):
    """The kubelet has the container's log no more."""


class CantFollowError(UnavailableError):
    """The kubelet has read the log to its present end, but has nothing to follow it with."""


class UnclearError(Exception):
    """The connection brought a text that only one from the log's start can tell the meaning of."""


class LogReader:
    """Reads one pod's log.

    Attributes:
        opened: True if the last connection came about.
        splitter: Of the last connection; it holds the text after the last line end.
    """

    def __init__(self, kube: Kube, namespace: str, pod: JobPod) -> None:
        self._kube = kube
        self._path = PODS.path(namespace, pod.child.name, "log")
        self._container = pod.container
        self.opened = False
        self.splitter = Splitter()

    async def read(
        self,
        *,
        since: int | None,
        follow: bool,
        surely: Callable[[Line], bool],
        opened: Callable[[], None] = lambda: None,
        previous: bool = False,
    ) -> AsyncGenerator[list[Line], None]:
        """Lines, as they come; ends where the log, or the connection, ends in good order.

        Args:
            since: From which second on; None: all that there is.
            follow: Whether to wait for more as long as the container runs.
            surely: True for a line that may be taken at its word: it was taken before.
            opened: Called when the log is there.
            previous: Whether to read the log of the container's run before the present one.

        Raises:
            LogGoneError: There is no log any more.
            UnclearError: Only a connection from the start can tell.
            KubeError: The connection broke, or the server refused it.
        """
        self.opened = False
        params = {"container": self._container, "timestamps": "true", **_since(since)}
        params |= {name: "true" for name, on in (("follow", follow), ("previous", previous)) if on}
        splitter = self.splitter = Splitter(since=since is not None, follow=follow)
        front, doubtful, dropping = b"", since is not None, False
        async with self._kube.stream(
            self._path, params=params, idle=_IDLE_S, buffer=_BUFFER
        ) as content:
            self.opened = True
            opened()
            async for chunk in content.iter_any():
                if doubtful:
                    front += chunk[:_FRONT_BYTES]
                lines = splitter.feed(chunk)
                if lines and doubtful:
                    doubtful = False
                    dropping = not (
                        splitter.dropped or surely(lines[0])
                    ) and await self._begins_with(front, params)
                while lines and dropping:
                    dropping = not lines.pop(0).last
                if lines:
                    yield lines
                if splitter.words is not None:
                    break
        splitter.close()
        if splitter.words is not None:
            raise _trouble(splitter.words, follow=follow)
        if splitter.unclear is not None:
            raise UnclearError(splitter.unclear)

    async def _begins_with(self, front: bytes, asked: Mapping[str, str]) -> bool:
        """True if the text that a connection began with has no timestamp, though it looks like it.

        It is the rest of a long line then, in which a time is written. A connection without
        timestamps begins with the same text, if it is one.
        """
        params = {key: asked[key] for key in asked if key not in {"timestamps", "follow"}}
        params["limitBytes"] = str(_FRONT_BYTES)
        plain = await self._start(params, _FRONT_BYTES)
        return front[:_FRONT_BYTES].split(b"\n")[0] == plain.split(b"\n")[0]

    async def first_entry(self) -> tuple[int, bytes] | None:
        """Time of the newest file's first entry, in nanoseconds, and how its text begins.

        That is a line, or a part of one. None: the file has none yet.

        Raises:
            KubeError: The connection broke, or the server refused it.
        """
        params = {"container": self._container, "timestamps": "true"}
        return first_entry(await self._start({**params, "limitBytes": _ENTRY_BYTES}, 2**16))

    async def _start(self, params: Mapping[str, str], most: int) -> bytes:
        """The first bytes of the log, as many as the limit in `params` lets through."""
        start = b""
        async with self._kube.stream(self._path, params=params, idle=_LOOK_S) as content:
            async for chunk in content.iter_any():
                start += chunk
                if len(start) >= most:
                    break
        return start[:most]


def _since(second: int | None) -> dict[str, str]:
    if second is None:
        return {}
    return {"sinceTime": datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _trouble(words: str, *, follow: bool) -> Exception:
    if _GONE in words:
        return LogGoneError(words)
    if follow and _NOT_FOLLOWED.match(words):
        return CantFollowError(503, "Kubelet", words)
    return UnavailableError(503, "Kubelet", words)
