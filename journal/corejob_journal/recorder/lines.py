"""Splitting a followed log into lines, each with the timestamp that the kubelet puts before it."""

import re
from datetime import datetime
from typing import Final, NamedTuple

MAX_LINE: Final = 1_048_576
"""Bytes of a line that stay together; a longer one comes in pieces (docs/job-protocol.md)."""
_STAMP_ROOM: Final = 64
_LONGEST: Final = MAX_LINE + _STAMP_ROOM
_STAMP: Final = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ", re.ASCII
)


class Line(NamedTuple):
    """A line of the log, or a piece of one that is too long.

    Attributes:
        stamp: The kubelet's time of the line, in nanoseconds.
        part: Number of the piece, from 0.
        last: Whether it is the line's last piece.
    """

    stamp: int
    body: bytes
    part: int = 0
    last: bool = True


class Splitter:
    """Makes lines of the chunks of one connection.

    Attributes:
        words: What the kubelet said in place of a line, if it did. Each line of a log has a
            timestamp; a text without one is the kubelet's own ("unable to retrieve container
            logs …"), and the last that comes.
    """

    def __init__(self) -> None:
        self.words: str | None = None
        self._held = b""
        self._long: tuple[int, int] | None = None
        self._second = b""
        self._base = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that end in this chunk, and pieces of one that is too long to wait for."""
        *whole, rest = chunk.split(b"\n")
        lines: list[Line] = []
        if whole:
            whole[0] = self._held + whole[0]
            self._held = rest
            for raw in whole:
                self._end(raw, lines)
        else:
            self._held += rest
        if len(self._held) > _LONGEST:
            self._cut(lines)
        return lines

    def close(self) -> None:
        """The connection ended: a rest that is no line of the log is the kubelet's own words."""
        if self._held and self._long is None and self.words is None and not _stamp(self._held):
            self._say(self._held)

    def rest(self) -> list[Line]:
        """What came after the last line end: the last line, if this is the end of the log."""
        lines: list[Line] = []
        if self._held and self.words is None:
            self._end(self._held, lines)
        self._held = b""
        return lines

    def _end(self, raw: bytes, lines: list[Line]) -> None:
        """A line ends."""
        if self.words is not None:
            return
        line = self._usual(raw) if self._long is None else None
        if line is not None:
            lines.append(line)
            return
        self._held, held = raw, self._held
        self._cut(lines)
        if self._long is not None:
            stamp, part = self._long
            lines.append(Line(stamp, self._held, part))
        self._long = None
        self._held = held

    def _cut(self, lines: list[Line]) -> None:
        """Take whole pieces off the front of what is held."""
        if self._long is None:
            found = _stamp(self._held)
            if found is None:
                self._say(self._held)
                self._held = b""
                return
            self._long = found[0], 0
            self._held = self._held[found[1] :]
        stamp, part = self._long
        while len(self._held) > MAX_LINE:
            end = _character_start(self._held, MAX_LINE)
            lines.append(Line(stamp, self._held[:end], part, last=False))
            self._held = self._held[end:]
            part += 1
        self._long = stamp, part

    def _usual(self, raw: bytes) -> Line | None:
        """`2026-11-24T03:00:00.123456789Z text`, quickly; None for all that looks different."""
        if raw[19:20] != b"." or raw[29:31] != b"Z " or len(raw) > MAX_LINE + 31:
            return None
        fraction, second = raw[20:29], raw[:19]
        if not fraction.isdigit():
            return None
        if second != self._second:
            found = _stamp(raw)
            if found is None:
                return None
            self._second, self._base = second, found[0] - int(fraction)
        return Line(self._base + int(fraction), raw[31:])

    def _say(self, raw: bytes) -> None:
        self.words = raw[:1000].decode("utf-8", "backslashreplace")


def stamp_of(raw: bytes) -> int | None:
    """The time at the front of a line of the log, in nanoseconds; None if there is none."""
    found = _stamp(raw)
    return found[0] if found is not None else None


def _stamp(raw: bytes) -> tuple[int, int] | None:
    """Any RFC 3339 time at the front, in nanoseconds, and where the text begins."""
    match = _STAMP.match(raw)
    if match is None:
        return None
    second, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat((second + zone).decode())
    except ValueError:
        return None
    return int(moment.timestamp()) * 10**9 + int((fraction or b"").ljust(9, b"0")), match.end()


def _character_start(data: bytes, position: int) -> int:
    """Where the UTF-8 character at `position` begins: a cut there leaves both sides readable."""
    cut = position
    while cut > position - 3 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
