"""Writes the protocol's lines: whole, valid, numbered without gaps.

Any thread may write. A forked child can't know the next number, so there the lines go to the
parent (see `relay`), which numbers them.
"""

from __future__ import annotations

import array
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
# `{"core4": 1, "n": <20 digits>, "type": "progress", "time": <20 digits>, ` and then some.
HEAD_ROOM = 160
_LOOK_SECONDS = 0.001

_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=repr).encode


def encode(fields: dict[str, Any]) -> bytes:
    r"""Return the fields as a JSON object in UTF-8.

    A lone surrogate has no UTF-8 form; it becomes the six characters of its escape (`\udc80`).
    """
    text = _encode(fields)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # In JSON text a surrogate can only be inside a string: escape the backslash as well.
        return _SURROGATE.sub(lambda m: f"\\\\u{ord(m[0]):04x}", text).encode()


def split(text: str, budget: int) -> list[str]:
    """Cut a text into pieces whose JSON form is at most so many bytes; all but the last marked."""
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

    def send(self, kind: str, fields: dict[str, Any], *, last: bool = False) -> None:
        """Write one event; after the last one every other is dropped."""
        self.write(kind, [encode(fields)], at=time.time(), last=last)

    def send_texts(
        self,
        kind: str,
        key: str,
        texts: Iterable[str],
        fields: dict[str, Any],
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Write events of one type that differ in a text, cut where a line would be too long.

        Args:
            kind: The events' type.
            key: Name of the field that holds the text.
            texts: One for each event.
            fields: The fields that all lines have.
            extra: Fields that only the last line of each text has.
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
        """Number encoded events and write them in one go."""
        # An interrupt must not leave half a line behind: it waits until the lock is free again.
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
                # Nobody reads any more. The job goes on: its outcome has another way out.
                self._closed = True

    def drain(self, seconds: float) -> None:
        """Wait until all that was written is read, but no longer than so many seconds.

        What is still in the pipe when its container ends a container runtime may drop: containerd
        1.6 does so now and then on a busy node.
        """
        deadline = time.monotonic() + seconds
        while unread(self._fd) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def become_child(self, relay: Relay) -> None:
        """Send everything to the parent from now on; called in a forked child."""
        # Another thread of the parent may have held the lock at the fork.
        self._lock = threading.Lock()
        self._relay = relay


def unread(fd: int) -> int:
    """Return how many bytes of a pipe nobody has read yet; 0 for what is no pipe."""
    count = array.array("i", [0])
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]


def write_all(fd: int, data: bytes) -> bool:
    """Write all the bytes, however slowly they are taken; False if they can't be."""
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
