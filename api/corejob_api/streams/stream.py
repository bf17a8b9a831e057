"""Base of the SSE streams: the body of one streaming response, and the set of open ones.

Falcon iterates over a stream as a response's body. A separate task makes the frames, so that
keep-alive frames are sent and a disconnect is noticed while that task waits for something.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from corejob_api.metrics import ApiMetrics
from corejob_api.streams import frames
from corejob_api.streams.frames import Event
from corejob_process import tasks
from corejob_process.tasks import log_failure

Receive = Callable[[], Awaitable[Any]]
"""The next event of the client's connection (ASGI)."""

_CHUNK: Final = 2**16
_AHEAD: Final = 2
"""Number of chunks buffered for the client."""


class Streams:
    """The open streams, which can be ended all at once.

    Args:
        metrics: Receives the number of open streams and of frames.
        keep_alive: Seconds without a frame after which a stream sends a keep-alive frame.
    """

    def __init__(self, metrics: ApiMetrics, keep_alive: float) -> None:
        self.keep_alive = keep_alive
        self._metrics = metrics
        # Cached, since looking up a labelled counter takes longer than incrementing it.
        self._frames = {event: metrics.frames.labels(str(event)) for event in Event}
        self._open: set[Stream] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, stream: "Stream") -> bool:
        """Register a stream. Return False if the server ends its streams."""
        if self._ended:
            return False
        self._open.add(stream)
        self._metrics.streams.set(len(self._open))
        return True

    def release(self, stream: "Stream") -> None:
        """Unregister a stream."""
        self._open.discard(stream)
        self._metrics.streams.set(len(self._open))

    def count(self, event: Event, number: int) -> None:
        """Add a number of sent frames of a type to the metrics."""
        self._frames[event].inc(number)

    def end(self) -> None:
        """End all streams and admit no new ones."""
        self._ended = True
        for stream in list(self._open):
            stream.end()


class Stream(ABC):
    """An asynchronous iterator of bytes; it starts its tasks when its first item is requested.

    Args:
        name: Subject of the stream, for the names of its tasks.
        streams: The open streams, where it registers itself.
        receive: ASGI receive of the client's connection, read until the disconnect.
    """

    def __init__(self, name: str, streams: Streams, receive: Receive) -> None:
        self._name = name
        self._streams = streams
        self._receive = receive
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._last_sent = 0.0
        self._over = False

    @abstractmethod
    async def _make(self) -> None:
        """Make all frames and pass them to `_put`. The stream ends when it returns."""

    def _position(self) -> int | None:
        """Return the number of the last record examined, if the frames don't show it; else None."""
        return None

    # --- iteration by Falcon ----------------------------------------------------------------------

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
        self._last_sent = asyncio.get_running_loop().time()
        return chunk

    async def close(self) -> None:
        """Cancel the tasks and wait for their end."""
        self._stop()
        await tasks.cancel(*self._tasks)

    # --- from its first frame to its last ---------------------------------------------------------

    def end(self) -> None:
        """End the stream at once and drop what is buffered; the client may reconnect."""
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
        self._last_sent = asyncio.get_running_loop().time()
        self._keep_alive()
        made = asyncio.create_task(self._run(), name=f"stream of {self._name}")
        made.add_done_callback(self._made)
        watch = asyncio.create_task(self._watch_client(), name=f"client of {self._name}")
        self._tasks = [made, watch]

    def _keep_alive(self) -> None:
        """Send a keep-alive frame if the interval has passed without a chunk; set the next timer.

        One timer per interval: with thousands of streams, one per chunk would cost more than
        sending the chunks.
        """
        if self._over:
            return
        loop = asyncio.get_running_loop()
        wait = self._last_sent + self._streams.keep_alive - loop.time()
        if wait <= 0:
            # A buffered chunk means that the client is slow: it needs no keep-alive frame.
            if self._chunks.empty():
                self._chunks.put_nowait(frames.keep_alive(self._position()))
            wait = self._streams.keep_alive
        self._timer = loop.call_later(wait, self._keep_alive)

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

    @property
    def is_drained(self) -> bool:
        """True if the client's connection has taken all that was made so far."""
        return self._chunks.empty()

    def _put_at_once(self, chunk: bytes) -> None:
        """Queue a chunk for a client that is not slow: `is_drained` is True."""
        self._chunks.put_nowait(chunk)

    async def _put(self, encoded: list[bytes]) -> None:
        """Queue frames in chunks of about `_CHUNK` bytes; wait while the buffer is full."""
        chunk: list[bytes] = []
        size = 0
        for frame in encoded:
            chunk.append(frame)
            size += len(frame)
            if size >= _CHUNK:
                await self._chunks.put(b"".join(chunk))
                chunk, size = [], 0
        if chunk:
            await self._chunks.put(b"".join(chunk))
