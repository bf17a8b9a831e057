"""Many clients of one event stream, in one process, which note the arrival of each line."""

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
    """All the clients.

    Attributes:
        found: Arrival times of a line at the clients, by the line's number.
        open: Number of clients that have received something.
    """

    def __init__(self) -> None:
        self.found: defaultdict[int, list[float]] = defaultdict(list)
        self.open = 0
        self._transports: list[asyncio.BaseTransport] = []

    async def join(self, url: str, count: int, headers: Sequence[str] = ()) -> None:
        """Add `count` followers, a few at a time."""
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
        """Wait for `lines` more lines at all clients; return arrival times by their numbers."""
        self.found.clear()
        async with asyncio.timeout(_DEADLINE_S):
            while not self.found:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(0.02)
            # Some clients may have received the first of these before this call.
            first = min(self.found) + 1
            wanted = range(first, first + lines)
            while any(len(self.found[number]) < self.open for number in wanted):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return {number: list(self.found[number]) for number in wanted}

    async def leave(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        await self._until(0)

    async def _until(self, count: int) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            while self.open != count:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(0.02)


class _Client(asyncio.Protocol):
    """Finds the newest line in the data received, and drops the rest."""

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
        # A line may be split anywhere; a line that was found is not counted twice.
        self._held = text[-_LONGEST:]
        for number in numbers:
            if self._last is None or number > self._last:
                self._last = number
                self._crowd.found[number].append(now)

    def connection_lost(self, _error: Exception | None) -> None:
        self._crowd.open -= self._open
        self._open = False
