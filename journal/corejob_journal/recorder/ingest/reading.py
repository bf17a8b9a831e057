"""One connection to a pod's log."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from corejob_journal.recorder.ingest.lines import LineSplitter, LogLine, first_entry
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_kube.client import Kube
from corejob_kube.errors import UnavailableError
from corejob_kube.resources import PODS

_BUFFER: Final = 2**18
"""Read-ahead of one connection, in bytes; bounds the memory of 200 while the store is away."""
_IDLE_S: Final = 120.0
"""Seconds of silence after which a connection is reopened, since it may be dead.

A log may be silent for hours; reopening repeats the lines of one second at most.
"""
_LINGER_S: Final = 2.0
"""Seconds that a connection may take to end after the runtime's `done` line.

The kubelet ends a followed log within a second of the container's end.
"""
_LOOK_S: Final = 5.0
_ENTRY_BYTES: Final = "128"
"""`limitBytes` for the first entry: room for any timestamp and some text, which both count."""
_FRONT_BYTES: Final = 64
"""Number of bytes that distinguish a timestamp from text that looks like one."""
_GONE: Final = "unable to retrieve container logs"
_NO_FILE: Final = re.compile("failed to (?:try resolving symlinks in path|open log file) ")
"""Errors of a kubelet that finds no newest file, as for a moment at each rotation."""
_NOT_FOLLOWED: Final = re.compile(
    "failed to create fsnotify watcher|failed to watch directory|too many open files"
    "|no space left on device"
)
"""Errors of a kubelet that can't follow a log: a node has few inotify instances and watches."""


class LogGoneError(Exception):
    """The kubelet has no log of the container: for good, or while its runtime is restarted."""


class CantFollowError(UnavailableError):
    """The kubelet has sent the log to its present end, but has no inotify to follow it."""


class UnclearError(Exception):
    """The connection's text is ambiguous; only a connection from the log's start is not."""


class LogReader:
    """Reads one pod's log.

    Attributes:
        opened: True if the last connection was opened successfully.
        splitter: The splitter of the last connection, with the text after its last line end.
    """

    def __init__(self, kube: Kube, namespace: str, pod: JobPod) -> None:
        self._kube = kube
        self._path = PODS.path(namespace, pod.child.name, "log")
        self._container = pod.container
        self.opened = False
        self.splitter = LineSplitter()

    async def read(
        self,
        *,
        since: int | None,
        follow: bool,
        surely: Callable[[LogLine], bool],
        opened: Callable[[], None] = lambda: None,
        previous: bool = False,
    ) -> AsyncGenerator[list[LogLine], None]:
        """Yield lines as they arrive, until the log or the connection ends cleanly.

        Args:
            since: Second since the epoch to begin at; None reads from the start.
            follow: True to wait for more lines as long as the container runs.
            surely: Returns True if a first line surely has a timestamp (`LogIngest.surely`).
            opened: Called when the response has begun.
            previous: True to read the log of the container's previous run.

        Raises:
            LogGoneError: The kubelet has no log of the container.
            UnclearError: Only a connection from the log's start is unambiguous.
            KubeError: The connection broke, or the server refused it.
        """
        self.opened = False
        params = {"container": self._container, "timestamps": "true", **_since(since)}
        params |= {name: "true" for name, on in (("follow", follow), ("previous", previous)) if on}
        splitter = self.splitter = LineSplitter(since=since is not None, follow=follow)
        front, doubtful, dropping = b"", since is not None, False
        async with self._kube.stream(
            self._path, params=params, idle=_IDLE_S, buffer=_BUFFER, linger=_LINGER_S
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
                if splitter.error_text is not None:
                    break
        splitter.close()
        if splitter.error_text is not None:
            raise _error(splitter.error_text, follow=follow)
        if splitter.unclear is not None:
            raise UnclearError(splitter.unclear)

    async def _begins_with(self, front: bytes, params: Mapping[str, str]) -> bool:
        """True if the first text of a connection only looks as if it had a timestamp.

        It is then the rest of a long line that contains a time, and a request without timestamps
        begins with the same text.
        """
        params = {
            key: value for key, value in params.items() if key not in {"timestamps", "follow"}
        }
        params["limitBytes"] = str(_FRONT_BYTES)
        plain = await self._start(params, _FRONT_BYTES)
        return front[:_FRONT_BYTES].split(b"\n")[0] == plain.split(b"\n")[0]

    async def first_entry(self) -> tuple[int, bytes] | None:
        """Return the time of the newest file's first entry, in nanoseconds, and its text's start.

        The entry is a line or a part of one. Return None if the file has no entry yet.

        Raises:
            KubeError: The connection broke, or the server or the kubelet refused it.
        """
        params = {"container": self._container, "timestamps": "true"}
        raw = await self._start({**params, "limitBytes": _ENTRY_BYTES}, 2**16)
        entry = first_entry(raw)
        text = raw.decode("utf-8", "backslashreplace")
        if entry is None and text and not _NO_FILE.match(text):
            raise UnavailableError(503, "Kubelet", text)
        return entry

    async def is_readable(self) -> bool:
        """True if the kubelet can read the log of the present run now.

        Raises:
            KubeError: The connection broke, or the server refused it.
        """
        params = {"container": self._container, "timestamps": "true", "limitBytes": _ENTRY_BYTES}
        return not (await self._start(params, len(_GONE))).startswith(_GONE.encode())

    async def has_line_at(self, stamp: int) -> bool:
        """True if the newest file has a line of that time, or a later one.

        Raises:
            KubeError: The connection broke, or the server refused it.
        """
        params = {"container": self._container, "timestamps": "true", **_since(stamp // 10**9)}
        return bool(await self._start({**params, "limitBytes": _ENTRY_BYTES}, 1))

    async def _start(self, params: Mapping[str, str], most: int) -> bytes:
        """Return the first bytes of the log, at most `most`."""
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


def _error(error_text: str, *, follow: bool) -> Exception:
    if _GONE in error_text:
        return LogGoneError(error_text)
    if follow and _NOT_FOLLOWED.match(error_text):
        return CantFollowError(503, "Kubelet", error_text)
    return UnavailableError(503, "Kubelet", error_text)
