"""Split a followed log into lines, each with the timestamp that the kubelet puts before it."""

import re
from datetime import datetime
from typing import Final, NamedTuple

MAX_LINE: Final = 1_048_576
"""Maximum size of a line, in bytes; a longer one is cut into pieces (docs/job-protocol.md)."""
_STAMP_ROOM: Final = 64
_LONGEST: Final = MAX_LINE + _STAMP_ROOM
_STAMP: Final = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ", re.ASCII
)
# Error texts that the kubelet writes into a response it has begun (`GetContainerLogs`, `ReadLogs`
# and `waitLogs` of Kubernetes 1.20 to 1.37).
_KUBELETS: Final = re.compile(
    rb"unable to retrieve container logs for "
    rb"|failed to (?:try resolving symlinks in path|open log file|tail [0-9]+ lines of log file"
    rb"|seek [0-9-]+ in log file|read log file|reset seek in log file|watch directory) \""
    rb"|failed to (?:create fsnotify watcher|get parse function): "
    rb"|context cancell?ed|rpc error: code = "
)
_KUBELETS_AT_THE_END: Final = re.compile(rb"(?:" + _KUBELETS.pattern + rb")[^\n]{0,1000}\Z")


class LogLine(NamedTuple):
    """A line of the log, or a piece of a line that is too long.

    Attributes:
        stamp: The kubelet's timestamp of the line, in nanoseconds since the epoch.
        body: The text without the timestamp and the newline.
        part: Number of the piece, from 0.
        last: True if it is the line's last piece.
    """

    stamp: int
    body: bytes
    part: int = 0
    last: bool = True


class LineSplitter:
    """Splits the chunks of one connection into lines.

    The container runtime stores a long line in parts, each with a time of its own, and the kubelet
    sends the time of a line's first part before the line. If a request has a start time, the
    kubelet leaves out earlier parts and sends the rest of such a line without any time.

    Args:
        since: True if the request has a start time: text before the first timestamp is then the
            rest of a line that began earlier, and is dropped.
        follow: True if the request follows the log: the kubelet may then append an error text.

    Attributes:
        error_text: The kubelet's error text, or None. Each line of a log has a timestamp; a text
            without one is the kubelet's ("unable to retrieve container logs …"), and the last of
            the stream.
        unclear: A text that ends the connection and is either the kubelet's error or the rest of a
            line; None if there is none. Only a connection from the log's start is unambiguous.
        dropped: True if the rest of a line was dropped.
    """

    def __init__(self, *, since: bool = False, follow: bool = False) -> None:
        self.error_text: str | None = None
        self.unclear: str | None = None
        self.dropped = False
        self._follow = follow
        self._buffer = b""
        self._long: tuple[int, int] | None = None
        self._second = b""
        self._base = 0
        # True until the first line has ended, which may be the rest of a line.
        self._may_be_rest = since
        self._dropping = False

    def feed(self, chunk: bytes) -> list[LogLine]:
        """Return the lines that end in this chunk, and the pieces so far of an over-long line."""
        *whole, rest = chunk.split(b"\n")
        lines: list[LogLine] = []
        if whole:
            whole[0] = self._buffer + whole[0]
            self._buffer = rest
            for raw in whole:
                self._end(raw, lines)
                self._may_be_rest = self._dropping = False
        else:
            self._buffer += rest
        if len(self._buffer) > _LONGEST:
            self._cut(lines)
        return lines

    def close(self) -> None:
        """Handle the connection's end: rest without a timestamp may be the kubelet's error text."""
        if not self._buffer or self.error_text is not None:
            return
        match = _KUBELETS_AT_THE_END.search(self._buffer) if self._follow else None
        if match is not None:
            self._set_error_text(match[0])
            # The kubelet's text directly follows the container's last output, even within a line.
            self._buffer = self._buffer[: match.start()]
        elif self._long is None and _stamp(self._buffer) is None:
            if not self._may_be_rest or _KUBELETS.match(self._buffer):
                self._set_error_text(self._buffer)
            else:
                self.unclear = _readable(self._buffer)
            self._buffer = b""

    def rest(self) -> list[LogLine]:
        """Return the text after the last line end: the last line, if this is the log's end."""
        lines: list[LogLine] = []
        if self._buffer and self.error_text is None:
            self._end(self._buffer, lines)
        self._buffer = b""
        return lines

    def _end(self, raw: bytes, lines: list[LogLine]) -> None:
        """Append the line that ends with `raw`, unless it is dropped or an error text."""
        if self.error_text is not None or self._dropping:
            return
        line = self._usual(raw) if self._long is None else None
        if line is not None:
            lines.append(line)
            return
        self._buffer, following = raw, self._buffer
        self._cut(lines)
        if self._long is not None:
            stamp, part = self._long
            lines.append(LogLine(stamp, self._buffer, part))
        self._long = None
        self._buffer = following

    def _cut(self, lines: list[LogLine]) -> None:
        """Cut whole pieces off the front of the held text."""
        if self._long is None:
            stamped = _stamp(self._buffer)
            if stamped is None:
                self._without_stamp()
                return
            self._long = stamped[0], 0
            self._buffer = self._buffer[stamped[1] :]
        stamp, part = self._long
        while len(self._buffer) > MAX_LINE:
            end = _character_start(self._buffer, MAX_LINE)
            lines.append(LogLine(stamp, self._buffer[:end], part, last=False))
            self._buffer = self._buffer[end:]
            part += 1
        self._long = stamp, part

    def _without_stamp(self) -> None:
        """Handle held text without a timestamp: the rest of a line, or the kubelet's error."""
        if self._may_be_rest and not _KUBELETS.match(self._buffer):
            self.dropped = self._dropping = True
        else:
            self._set_error_text(self._buffer)
        self._buffer = b""

    def _usual(self, raw: bytes) -> LogLine | None:
        """Parse `2026-11-24T03:00:00.123456789Z text` fast; None for any other form."""
        if raw[19:20] != b"." or raw[29:31] != b"Z " or len(raw) > MAX_LINE + 31:
            return None
        fraction, second = raw[20:29], raw[:19]
        if not fraction.isdigit():
            return None
        if second != self._second:
            stamped = _stamp(raw)
            if stamped is None:
                return None
            self._second, self._base = second, stamped[0] - int(fraction)
        return LogLine(self._base + int(fraction), raw[31:])

    def _set_error_text(self, raw: bytes) -> None:
        self.error_text = _readable(raw)


def last_line(before: list[LogLine], now: list[LogLine]) -> list[LogLine]:
    """Return the text without a line end at a log's end, which two connections have read.

    If the log was rotated in the middle of that line, the later one has read its rest only.
    """
    whole = before and (not now or before[-1].body.endswith(now[-1].body))
    return before if whole else now


def first_entry(raw: bytes) -> tuple[int, bytes] | None:
    """Return a line's timestamp, in nanoseconds, and its text; None without a timestamp."""
    stamped = _stamp(raw)
    return (stamped[0], raw[stamped[1] :].split(b"\n")[0]) if stamped is not None else None


def _readable(raw: bytes) -> str:
    return raw[:1000].decode("utf-8", "backslashreplace")


def _stamp(raw: bytes) -> tuple[int, int] | None:
    """Return an RFC 3339 time at the front, in nanoseconds, and the index of the text; or None."""
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
    """Return the start of the UTF-8 character at `position`, so that a cut does not split it."""
    cut = position
    while cut > position - 3 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
