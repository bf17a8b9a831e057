"""Write the protocol's lines: atomic, valid, and numbered without gaps.

Any thread may write. A forked child can't know the next number, so it sends its lines to the parent
(see `relay`), which numbers them.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import re
import select
import stat
import termios
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from core4.runner.interrupt import Interrupt
    from core4.runner.relay import Relay

MAX_LINE = 1_048_576
CONTINUED = " [continued]"
# Room for `{"core4": 1, "n": <20 digits>, "type": "progress", "time": <20 digits>, ` and more.
HEAD_ROOM = 160
_LOOK_SECONDS = 0.001
_SECOND_PIPE_SECONDS = 0.05

_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=repr).encode


def encode(fields: dict[str, Any]) -> bytes:
    r"""Return the fields as a JSON object in UTF-8.

    A lone surrogate has no UTF-8 form and is replaced by the six characters of its escape
    (`\udc80`).
    """
    text = _encode(fields)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # In JSON a surrogate is always inside a string, so escape the backslash as well.
        return _SURROGATE.sub(lambda m: f"\\\\u{ord(m[0]):04x}", text).encode()


def split(text: str, budget: int) -> list[str]:
    """Cut a text into pieces whose JSON has at most `budget` bytes; mark all except the last."""
    text = _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)
    pieces = []
    budget -= len(CONTINUED)
    position = 0
    while position < len(text):
        take = min(budget, len(text) - position)
        while (size := len(encode({"": text[position : position + take]}))) > budget:
            take = max(1, min(take - 1, take * budget // size))
        pieces.append(text[position : position + take])
        position += take
    return [piece + CONTINUED for piece in pieces[:-1]] + (pieces[-1:] or [""])


class Wire:
    """The protocol's output: one file descriptor, one lock, one counter."""

    def __init__(self, fd: int, interrupt: Interrupt) -> None:
        self._fd = fd
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._n = 0
        self._closed = False
        self._relay: Relay | None = None

    @property
    def last_number(self) -> int:
        """The number of the last line, which may have failed to be written; 0 before the first."""
        return self._n

    def send(self, kind: str, fields: dict[str, Any], *, last: bool = False) -> None:
        """Write one event; events after the last one are dropped."""
        self.write(kind, [encode(fields)], at=time.time(), last=last)

    def send_texts(
        self,
        kind: str,
        key: str,
        texts: Iterable[str],
        fields: dict[str, Any],
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Write events of one type that differ in a text; cut texts that make a line too long.

        Args:
            kind: Type of the events.
            key: Name of the field with the text.
            texts: One text for each event.
            fields: Fields of all lines.
            extra: Fields of the last line of each text only.
        """
        at = time.time()
        bodies = []
        for text in texts:
            body = encode({**fields, key: text, **(extra or {})})
            if len(body) <= MAX_LINE - HEAD_ROOM:
                bodies.append(body)
                continue
            overhead = len(encode({**fields, key: "", **(extra or {})}))
            pieces = split(text, MAX_LINE - HEAD_ROOM - overhead)
            bodies += [encode({**fields, key: piece}) for piece in pieces[:-1]]
            bodies.append(encode({**fields, key: pieces[-1], **(extra or {})}))
        self.write(kind, bodies, at=at)

    def write(self, kind: str, bodies: list[bytes], *, at: float, last: bool = False) -> None:
        """Number encoded events and write them at once.

        Args:
            kind: Type of the events.
            bodies: The encoded fields of each event.
            at: Time in seconds since the epoch.
            last: True to drop all later events.
        """
        # An interrupt must not leave half a line behind, so it is deferred until the lock is free.
        with self._interrupt.held(), self._lock:
            if self._relay is not None:
                for body in bodies:
                    self._relay.send(kind, at, body)
                return
            if self._closed:
                return
            self._closed = last
            lines = []
            for body in bodies:
                self._n += 1
                head = f'{{"core4": 1, "n": {self._n}, "type": "{kind}", "time": {at:.6f}'
                rest = b"}\n" if body == b"{}" else b", " + body[1:] + b"\n"
                lines.append(head.encode() + rest)
            if not write_all(self._fd, b"".join(lines)):
                # The reader is gone. The job goes on; termination message and exit code still
                # report its outcome.
                self._closed = True

    def drain(self, seconds: float) -> None:
        """Give the container runtime time to read all written data, at most `seconds` and a little.

        It may drop what it has not read when the container ends: containerd before 1.6.22 and 1.7.3
        closes the second of the two pipes that a line goes through (its pull request 8643). Only
        the first one is visible here, so wait a little longer than until that one is empty.
        """
        deadline = time.monotonic() + seconds
        if not is_pipe(self._fd):
            return
        while unread(self._fd) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        time.sleep(_SECOND_PIPE_SECONDS)

    def become_child(self, relay: Relay) -> None:
        """Send all events to the parent from now on; called in a forked child."""
        # Replace the lock, which another thread of the parent may have held at the fork.
        self._lock = threading.Lock()
        self._relay = relay


def is_pipe(fd: int) -> bool:
    """True if an open descriptor is a pipe."""
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def unread(fd: int) -> int:
    """Return the number of unread bytes in a pipe; 0 if the descriptor is not a pipe."""
    count = array.array("i", [0])
    if is_pipe(fd):
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def write_all(fd: int, data: bytes) -> bool:
    """Write all bytes, waiting for a slow reader. Return False if the descriptor fails."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except OSError:
            return False
    return True
