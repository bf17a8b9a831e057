"""A model of the kubelet's response to a log request: `ReadLogs` of k8s.io/cri-client 0.37.

The container runtime's file has an entry with its own time for each part of a line. `PodLog` of
the fake API server has whole lines and needs HTTP; this model lets property tests read thousands
of logs without it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.support.fake_apiserver.logs import stamp_text

from corejob_kube.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of a line (`P`), or the last part (`F`)."""

    stamp: int
    text: bytes
    full: bool = True


def served(entries: Sequence[Entry], params: Mapping[str, str]) -> bytes:
    """Return the body of the response to a request with these parameters."""
    since = params.get("sinceTime")
    least = int(datetime.fromisoformat(since).timestamp()) * 10**9 if since else 0
    body, at_line_start = b"", True
    for entry in entries:
        text = entry.text + (b"\n" if entry.full else b"")
        if entry.stamp >= least:
            if at_line_start and "timestamps" in params:
                body += stamp_text(entry.stamp).encode() + b" "
            body += text
        # Even of an entry that is skipped: therefore the rest of its line has no timestamp.
        at_line_start = not text or text.endswith(b"\n")
    limit = params.get("limitBytes")
    return body[: int(limit)] if limit else body


class _Content:
    def __init__(self, body: bytes, *, chunk: int, breaks: bool) -> None:
        self._body = body
        self._chunk = chunk
        self._breaks = breaks

    async def iter_any(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), self._chunk):
            yield self._body[start : start + self._chunk]
        if self._breaks:
            raise UnavailableError(503, "Unreachable", "the connection broke")


class Kubelet:
    """Answers as `corejob_kube.client.Kube` does, from `entries`.

    Attributes:
        cut: Number of bytes after which the next log connection breaks; None: never.
        words: Text that the kubelet adds at the end of the next log connection.
        chunk: Number of bytes in each read.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = list(entries)
        self.cut: int | None = None
        self.words = b""
        self.chunk = 2**16
        self.requests: list[dict[str, str]] = []

    def body(self, params: Mapping[str, str]) -> bytes:
        """Return the body of the response to a request with these parameters."""
        return served(self.entries, params)

    @asynccontextmanager
    async def stream(
        self, _path: str, *, params: Mapping[str, str], **_more: Any
    ) -> AsyncIterator[_Content]:
        """Yield the response to a log request."""
        self.requests.append(dict(params))
        body = self.body(params)
        if "limitBytes" in params:
            yield _Content(body, chunk=7, breaks=False)
            return
        body += self.words
        cut, self.cut, self.words = self.cut, None, b""
        breaks = cut is not None and cut < len(body)
        yield _Content(body[:cut] if breaks else body, chunk=self.chunk, breaks=breaks)
