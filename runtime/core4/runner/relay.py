"""Carries the reports of forked children to the process that numbers them.

A pipe keeps writes of at most PIPE_BUF bytes whole, so a message travels in frames of that size
which carry the sender's process id; the parent puts them together again.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from core4.runner.wire import Wire

# 512 is the least that POSIX promises; Linux has 4,096.
FRAME_BYTES = 4_096
HEADER_BYTES = 7
FIRST, LAST = 1, 2


class Relay:
    """The pipe from forked children to their parent."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self._buffer = bytearray()
        self._open: dict[int, bytearray] = {}

    def send(self, kind: str, at: float, body: bytes) -> None:
        """Send an event from a child; one that outlives its parent has nobody to tell."""
        message = f"{kind} {at:.6f} ".encode() + body
        size = FRAME_BYTES - HEADER_BYTES
        pid = os.getpid().to_bytes(4, "big")
        for start in range(0, len(message), size):
            part = message[start : start + size]
            flags = (FIRST if start == 0 else 0) | (LAST if start + size >= len(message) else 0)
            frame = pid + bytes((flags,)) + len(part).to_bytes(2, "big") + part
            try:
                os.write(self._writer, frame)
            except OSError:
                return

    def feed(self, data: bytes, wire: Wire) -> None:
        """Take bytes that came through the pipe and write the events that they complete."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(buffer[5:7], "big")
            if len(buffer) < end:
                break
            pid, flags = int.from_bytes(buffer[:4], "big"), buffer[4]
            part = bytes(buffer[HEADER_BYTES:end])
            del buffer[:end]
            # A child that died half-way left an unfinished message under a pid now in new use.
            if flags & FIRST:
                self._open[pid] = bytearray()
            message = self._open.setdefault(pid, bytearray())
            message += part
            if flags & LAST:
                kind, at, body = bytes(self._open.pop(pid)).split(b" ", 2)
                wire.write(kind.decode(), [body], at=float(at))
