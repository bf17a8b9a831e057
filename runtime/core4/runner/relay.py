"""Carry the reports of forked children to the parent, which numbers them.

Writes of at most PIPE_BUF bytes to a pipe are atomic, so messages are sent in frames of that size
with the sender's process id, and the parent reassembles them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from core4.runner.wire import Wire

# PIPE_BUF of Linux; POSIX guarantees only 512.
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
        """Send an event from a child; it is dropped if the parent has ended.

        Args:
            kind: Type of the event.
            at: Time in seconds since the epoch.
            body: The encoded fields.
        """
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
        """Accept bytes read from the pipe, and write the events that they complete."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(buffer[5:7], "big")
            if len(buffer) < end:
                break
            pid, flags = int.from_bytes(buffer[:4], "big"), buffer[4]
            part = bytes(buffer[HEADER_BYTES:end])
            del buffer[:end]
            # A child that died within a message left a partial one; its pid may be reused now.
            if flags & FIRST:
                self._open[pid] = bytearray()
            message = self._open.setdefault(pid, bytearray())
            message += part
            if flags & LAST:
                kind, at, body = bytes(self._open.pop(pid)).split(b" ", 2)
                wire.write(kind.decode(), [body], at=float(at))
