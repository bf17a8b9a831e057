"""A stream: what one client is sent, from the first frame to the last.

It is what Falcon iterates over as a response's body. A task of its own makes the frames, so that
whatever that waits for, the client is told that the server lives, and is let go of when it is gone.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from corejob_api.metrics import Metrics
from corejob_api.streams import frames
from corejob_api.streams.frames import Event
from corejob_kube import tasks
from corejob_kube.tasks import log_failure

Receive = Callable[[], Awaitable[Any]]
"""The next event of the client's connection (ASGI)."""

_CHUNK: Final = 2**16
_AHEAD: Final = 2
"""Chunks made ahead of the client."""


class Streams:
    """All that are open, so that they can be ended at once.

    Args:
        metrics: Told how many there are.
        keep_alive: Seconds after which a silent one says that it lives.
    """

    def __init__(self, metrics: Metrics, keep_alive: float) -> None:
        self.keep_alive = keep_alive
        self._metrics = metrics
        # Looking up a labelled counter takes longer than counting.
        self._frames = {event: metrics.frames.labels(str(event)) for event in Event}
        self._open: set[Stream] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, stream: "Stream") -> bool:
        """Let a stream begin; whether it may."""
        if self._ended:
            return False
        self._open.add(stream)
        self._metrics.streams.set(len(self._open))
        return True

    def release(self, stream: "Stream") -> None:
        """Let a stream go."""
        self._open.discard(stream)
        self._metrics.streams.set(len(self._open))

    def count(self, event: Event, number: int) -> None:
        """Note that so many frames of a type are sent."""
        self._frames[event].inc(number)

    def end(self) -> None:
        """End all, and let none begin any more."""
        self._ended = True
        for stream in list(self._open):
            stream.end()


class Stream(ABC):
    """An asynchronous iterator of bytes. It takes nothing before its first item is asked for.

    Args:
        name: What it is of, for the names of its tasks.
        streams: Those that it is one of.
        receive: The client's connection, read to its end.
    """

    def __init__(self, name: str, streams: Streams, receive: Receive) -> None:
        self._name = name
        self._streams = streams
        self._receive = receive
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._spoke = 0.0
        self._over = False

    @abstractmethod
    async def _make(self) -> None:
        """Make all frames, and hand them over by `_put`; the stream ends with it."""

    def _passed(self) -> int | None:
        """Number of the record that it has come to, if its client can't know that from frames."""
        return None

    # --- what Falcon does -------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._tasks and not self._over:
            self._start()
        if self._over and self._chunks.empty():
            raise StopAsyncIteration
        chunk = await self._chunks.get()
        if chunk is None:
            self._over = True
            raise StopAsyncIteration
        self._spoke = asyncio.get_running_loop().time()
        return chunk

    async def close(self) -> None:
        """Let go of everything."""
        self._stop()
        await tasks.cancel(*self._tasks)

    # --- from its first frame to its last ---------------------------------------------------------

    def end(self) -> None:
        """End it here and now, whatever is still to come: a client may begin anew."""
        self._stop()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(None)

    def _stop(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _start(self) -> None:
        self._spoke = asyncio.get_running_loop().time()
        self._say_alive()
        made = asyncio.create_task(self._run(), name=f"stream of {self._name}")
        made.add_done_callback(self._made)
        watch = asyncio.create_task(self._watch_client(), name=f"client of {self._name}")
        self._tasks = [made, watch]

    def _say_alive(self) -> None:
        """Say so, if it has been silent for long; look again when it may have been.

        A timer for each interval: one for each chunk would cost thousands of streams more than what
        they send.
        """
        if self._over:
            return
        loop = asyncio.get_running_loop()
        wait = self._spoke + self._streams.keep_alive - loop.time()
        if wait <= 0:
            # What waits here has not been taken yet: it is the client that is slow.
            if self._chunks.empty():
                self._chunks.put_nowait(frames.alive(self._passed()))
            wait = self._streams.keep_alive
        self._timer = loop.call_later(wait, self._say_alive)

    def _made(self, task: "asyncio.Task[None]") -> None:
        if log_failure(task):
            self.end()

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.end()

    async def _run(self) -> None:
        if not self._streams.admit(self):
            self.end()
            return
        try:
            await self._make()
            await self._chunks.put(None)
        finally:
            self._streams.release(self)

    async def _put(self, found: list[bytes]) -> None:
        """Hand frames over, in chunks of a sensible size."""
        chunk: list[bytes] = []
        size = 0
        for one in found:
            chunk.append(one)
            size += len(one)
            if size >= _CHUNK:
                await self._chunks.put(b"".join(chunk))
                chunk, size = [], 0
        if chunk:
            await self._chunks.put(b"".join(chunk))
