"""Many clients of one event stream, in one process, which note when which line has come."""

import asyncio
import re
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

_AT_ONCE: Final = 100
_DEADLINE_S: Final = 120.0
_LONGEST: Final = 4096
_LINE: Final = re.compile(rb'"message": ?"(\d+) x')


class Crowd:
    """All of them.

    Attributes:
        found: when a line was there, of each client, by its number.
        open: how many have got something.
    """

    def __init__(self) -> None:
        self.found: defaultdict[int, list[float]] = defaultdict(list)
        self.open = 0
        self._transports: list[asyncio.BaseTransport] = []

    async def join(self, url: str, count: int, headers: Sequence[str] = ()) -> None:
        """Let so many more follow, a few at a time."""
        loop, where = asyncio.get_running_loop(), urlsplit(url)
        port = where.port or 80
        head = [f"GET {where.path}?{where.query} HTTP/1.1", f"Host: {where.netloc}", *headers]
        request = ("\r\n".join(head) + "\r\n\r\n").encode()
        address = socket.gethostbyname(where.hostname or "")
        aim = self.open + count
        while self.open < aim:
            some = [
                loop.create_connection(lambda: _Client(self, request), address, port)
                for _ in range(min(_AT_ONCE, aim - self.open))
            ]
            self._transports += [made for made, _ in await asyncio.gather(*some)]
            await self._until(len(self._transports))

    async def hear(self, lines: int) -> dict[int, list[float]]:
        """Wait until all have got so many more lines; when, by the lines' numbers."""
        self.found.clear()
        async with asyncio.timeout(_DEADLINE_S):
            while not self.found:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(0.02)
            # The first may have come to a part of them before this began.
            first = min(self.found) + 1
            wanted = range(first, first + lines)
            while any(len(self.found[number]) < self.open for number in wanted):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return {number: list(self.found[number]) for number in wanted}

    async def leave(self) -> None:
        """Hang up."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        await self._until(0)

    async def _until(self, count: int) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            while self.open != count:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(0.02)


class _Client(asyncio.Protocol):
    """Looks for the newest line in what comes, and throws the rest away."""

    def __init__(self, crowd: Crowd, request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._held = b""
        self._open = False
        self._last: int | None = None

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self._open:
            self._open = True
            self._crowd.open += 1
        text = self._held + data
        numbers = [int(found) for found in _LINE.findall(text)]
        # A line may be cut anywhere; one that was seen is not counted twice.
        self._held = text[-_LONGEST:]
        for number in numbers:
            if self._last is None or number > self._last:
                self._last = number
                self._crowd.found[number].append(now)

    def connection_lost(self, _error: Exception | None) -> None:
        self._crowd.open -= self._open
        self._open = False
