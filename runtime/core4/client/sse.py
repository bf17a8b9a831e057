"""Parse server-sent events (HTML standard, 9.2.6), whatever the chunks in which they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
MOST: Final = 64 * 2**20
"""Bytes of one message. The service sends records of a few MiB at most."""


class SseError(Exception):
    """The bytes are not events: no UTF-8, or a message without an end."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event: its type, its data, and the id that was the last one when it was complete."""

    event: str
    data: str
    id: str | None


@dataclass(frozen=True, slots=True)
class Comment:
    """A block without data, such as a keep-alive; `id` as for a message."""

    id: str | None


class SseParser:
    """Turns bytes into messages. Lines end in CR, LF or CRLF, also across two chunks."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._started = False
        self._after_cr = False
        self._open: list[bytes] = []
        self._size = 0
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._lines = 0

    def feed(self, chunk: bytes) -> list[Message | Comment]:
        """Return the messages that these bytes complete.

        Raises:
            SseError: The bytes are not events.
        """
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._size += len(chunk)
        if self._size > self._most:
            raise SseError(f"a message has more than {self._most} bytes")
        # A long line may come in many chunks: joining them at each would take quadratic time.
        self._open.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _split(b"".join(self._open))
        self._open = [rest] if rest else []
        found = [item for line in lines if (item := self._line(line)) is not None]
        self._size = len(rest) + sum(map(len, self._data))
        return found

    def _line(self, raw: bytes) -> Message | Comment | None:
        if not self._started:
            self._started, raw = True, raw.removeprefix(_BOM)
        if not raw:
            return self._end()
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise SseError(f"a line is not UTF-8: {error}") from None
        self._lines += 1
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _end(self) -> Message | Comment | None:
        event, data, lines = self._event, self._data, self._lines
        self._event, self._data, self._lines = "", [], 0
        if data:
            return Message(event or "message", "\n".join(data), self._id)
        return Comment(self._id) if lines else None


def _split(data: bytes) -> list[bytes]:
    """Return the lines of the data; the last item has no line end yet, and may be empty."""
    lines = data.splitlines(keepends=True)
    rest = b"" if not lines or lines[-1].endswith((b"\n", b"\r")) else lines.pop()
    return [*(line.rstrip(b"\r\n") for line in lines), rest]
