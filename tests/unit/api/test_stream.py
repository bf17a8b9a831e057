"""A stream's keep-alive comments, whatever its client does."""

import asyncio

from tests.support.loops import run

from corejob_api.metrics import ApiMetrics
from corejob_api.streams.frames import KEEP_ALIVE
from corejob_api.streams.stream import Stream, Streams

KEEP_ALIVE_S = 0.02


class Given(Stream):
    """Sends the items of a queue."""

    def __init__(self) -> None:
        super().__init__("a test", Streams(ApiMetrics(), KEEP_ALIVE_S), self._connected)
        self.given: asyncio.Queue[bytes] = asyncio.Queue()

    async def _connected(self) -> None:
        await asyncio.Event().wait()

    async def _make(self) -> None:
        while True:
            await self._put([await self.given.get()])


def test_one_that_waits_for_its_client_says_nothing_more() -> None:
    async def check() -> None:
        stream = Given()
        stream.given.put_nowait(b"first")
        assert await anext(stream) == b"first"
        stream.given.put_nowait(b"second")
        # Several keep-alive intervals; no comment may be added while the client does not read.
        await asyncio.sleep(KEEP_ALIVE_S * 5)
        stream.given.put_nowait(b"third")
        found = [await anext(stream) for _ in range(3)]
        await stream.close()
        assert found == [b"second", b"third", KEEP_ALIVE]

    run(check())


def test_one_that_has_ended_says_nothing_more() -> None:
    async def check() -> None:
        stream = Given()
        stream.given.put_nowait(b"first")
        assert await anext(stream) == b"first"
        stream.end()
        await asyncio.sleep(KEEP_ALIVE_S * 5)
        assert [chunk async for chunk in stream] == []
        await stream.close()

    run(check())
