"""Capture what the job prints: descriptors 1 and 2 become pipes that a thread reads.

Prints and the output of C libraries and subprocesses all become `output` lines. The same thread
reads the relay of forked children.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time

from core4.runner.relay import Relay
from core4.runner.wire import CONTINUED, MAX_LINE, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

# A line of this size without an end (a progress bar made of \r) is passed on in pieces.
MAX_PENDING = MAX_LINE - 1_024
CHUNK = 65_536
DRAIN_SECONDS = 5.0
LOST = "the job's output could not be read to its end: the last printed lines may be missing"


class Capture:
    """The captured descriptors and the thread that reads them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._relay = Relay()
        self._streams: dict[int, _Stream] = {}
        self._passed_on = 0
        self._is_passing_on = False
        self._stop_reader, self._stop_writer = os.pipe()
        for fd, name in ((1, "stdout"), (2, "stderr")):
            reader, writer = os.pipe()
            os.dup2(writer, fd)
            os.close(writer)
            self._streams[reader] = _Stream(name, wire)
        # Create new objects, since the old ones cache properties of the old descriptors, such as
        # seekability.
        sys.stdout = sys.__stdout__ = _open_text(1)  # type: ignore[assignment,misc]
        sys.stderr = sys.__stderr__ = _open_text(2)  # type: ignore[assignment,misc]
        self._thread = threading.Thread(target=self._read, name="core4-capture", daemon=True)
        self._thread.start()
        os.register_at_fork(after_in_child=lambda: wire.become_child(self._relay))

    def close(self) -> None:
        """Pass on everything that was written so far, and stop reading.

        A thread that no longer reads, since the job has replaced a descriptor that is not its own,
        is given up with a message in the log.
        """
        flush()
        os.write(self._stop_writer, b".")
        while self._thread.is_alive():
            before = self._passed_on
            self._thread.join(DRAIN_SECONDS)
            # On a busy node, or with a slow reader of the log, a backlog takes its time. Lines that
            # are being written are waited for anyway: the trial's last lines come after them.
            if not self._is_passing_on and self._passed_on == before and self._thread.is_alive():
                self._wire.send_texts("log", "message", [LOST], {"level": "WARNING"})
                return

    def _read(self) -> None:
        poll = select.poll()
        fds = [*self._streams, self._relay.reader]
        for fd in (*fds, self._stop_reader):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            for fd in ready:
                if fd != self._stop_reader and not self._pass_on(fd):
                    poll.unregister(fd)
            if self._stop_reader in ready:
                break
        # A process that the job left behind may keep the pipe open, so that there is no end of
        # file. Read only what is in the pipe now.
        deadline = time.monotonic() + DRAIN_SECONDS / 2
        for fd in fds:
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while self._pass_on(fd) and time.monotonic() < deadline:
                    pass
        for stream in self._streams.values():
            stream.end()

    def _pass_on(self, fd: int) -> bool:
        """Read once from a pipe and pass the data on. Return False at its end."""
        data = os.read(fd, CHUNK)
        self._is_passing_on = True
        if fd == self._relay.reader:
            self._relay.feed(data, self._wire)
        else:
            self._streams[fd].feed(data)
        self._passed_on += 1
        self._is_passing_on = False
        return bool(data)


class _Stream:
    """Splits the data of one pipe into lines."""

    def __init__(self, name: str, wire: Wire) -> None:
        self._fields = {"stream": name}
        self._wire = wire
        self._pending = b""

    def feed(self, data: bytes) -> None:
        if b"\n" not in data and len(self._pending) + len(data) < MAX_PENDING:
            self._pending += data
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        while len(self._pending) > MAX_PENDING:
            cut = _character_start(self._pending, MAX_PENDING)
            lines.append(self._pending[:cut] + CONTINUED.encode())
            self._pending = self._pending[cut:]
        self._send(lines)

    def end(self) -> None:
        if self._pending:
            self._send([self._pending])
            self._pending = b""

    def _send(self, lines: list[bytes]) -> None:
        texts = [line.decode("utf-8", "backslashreplace") for line in lines]
        self._wire.send_texts("output", "text", texts, self._fields)


def _open_text(fd: int) -> TextIO:
    """Return a text stream that flushes each line and accepts lone surrogates."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _character_start(data: bytes, position: int) -> int:
    """Return the start of the UTF-8 character at a position, so that a cut does not split it."""
    cut = position
    # A character has at most three continuation bytes, which begin with the bits 10.
    while cut > position - 3 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def flush() -> None:
    """Flush the buffers of Python's and C's streams into the pipes."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]
    # Flush C's buffers only if C code may have written to them: the import takes milliseconds.
    if "ctypes" in sys.modules or any(_is_foreign(module) for module in [*sys.modules.values()]):
        with contextlib.suppress(Exception):
            import ctypes  # noqa: PLC0415 - only when needed

            ctypes.CDLL(None).fflush(None)


def _is_foreign(module: object) -> bool:
    """True if a module is compiled code from outside the standard library."""
    path = getattr(module, "__file__", None) or ""
    return path.endswith(".so") and "lib-dynload" not in path
