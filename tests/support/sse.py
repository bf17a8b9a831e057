"""Read an event stream (docs/rest.md) from a `requests` response.

The caller's thread reads it; data that arrives meanwhile waits in the connection. The server's
keep-alive comments end each wait for data, so that deadlines need no thread.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
import requests
from tests.support.waiting import short

CONNECT_SECONDS = 10.0
# Four times the interval of the keep-alive comments, which a busy machine may delay.
READ_SECONDS = 60.0
TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)
# For conditions that need the start of a pod, on a busy machine.
WAIT_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event.

    Attributes:
        event: the type.
        data: the decoded data.
        id: the id for `Last-Event-ID`, or None.
        at: time when it was read, in seconds since the epoch.
        raw: the lines as received.
    """

    event: str
    data: Any
    id: str | None
    at: float
    raw: str


class StreamError(AssertionError):
    """The expected frame did not arrive; the message shows the last frames."""


class Stream:
    """An event stream, with all frames read so far."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.frames: list[Frame] = []
        self.comments: list[str] = []
        self.ended = False
        self._reader = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hang_up()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames that arrive from now on, until the response ends."""
        while (frame := self._next(None)) is not None:
            yield frame

    def hang_up(self) -> None:
        """Close the connection, even if the server has not finished."""
        self.response.close()

    def wait(
        self, accept: Callable[[Frame], bool], *, what: str, seconds: float = WAIT_SECONDS
    ) -> Frame:
        """Return the first frame that is accepted, among those read before and those to come.

        Raises:
            StreamError: The frame did not arrive in time, or the stream ended without it.
        """
        for frame in self.frames:
            if accept(frame):
                return frame
        deadline = time.monotonic() + seconds
        while (frame_or_end := self._next(deadline)) is not None:
            if accept(frame_or_end):
                return frame_or_end
        raise StreamError(f"{what}: the stream ended without it; {self.seen()}")

    def state(self, *states: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return the document of the first `state` frame with one of these states."""
        found = self.wait(
            lambda frame: frame.event == "state" and frame.data["state"] in states,
            what=f"a frame with state {' or '.join(states)}",
            seconds=seconds,
        )
        document: dict[str, Any] = found.data
        return document

    def line(self, message: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return the first log record whose message begins with `message`."""
        found = self.wait(
            lambda frame: frame.event == "log" and frame.data["message"].startswith(message),
            what=f"a log record {message!r}",
            seconds=seconds,
        )
        record: dict[str, Any] = found.data
        return record

    def to_close(self, seconds: float = WAIT_SECONDS) -> Self:
        """Read to the end: the last frame must be `close`, and the server must end the response."""
        deadline = time.monotonic() + seconds
        while self._next(deadline) is not None:
            pass
        if not self.frames or self.frames[-1].event != "close":
            raise StreamError(f"the stream ended without a close frame; {self.seen()}")
        return self

    def of(self, event: str) -> list[Any]:
        """Return the data of all frames of a type."""
        return [frame.data for frame in self.frames if frame.event == event]

    @property
    def states(self) -> list[str]:
        """The states in order, without repetitions."""
        found: list[str] = []
        for document in self.of("state"):
            if not found or found[-1] != document["state"]:
                found.append(document["state"])
        return found

    @property
    def messages(self) -> list[str]:
        """The messages of the log records."""
        return [record["message"] for record in self.of("log")]

    def seen(self) -> str:
        """Return a summary of the frames read so far, for a message."""
        last = [f"{frame.event} {short(str(frame.data))}" for frame in self.frames[-5:]]
        return f"{len(self.frames)} frames came, the last: {last}"

    def _next(self, deadline: float | None) -> Frame | None:
        while True:
            try:
                frame = next(self._reader)
            except StopIteration:
                self.ended = True
                return None
            except requests.RequestException as error:
                raise StreamError(f"{error}; {self.seen()}") from error
            if frame is not None:
                self.frames.append(frame)
                return frame
            if deadline is not None and time.monotonic() > deadline:
                raise StreamError(f"it did not come in time; {self.seen()}")

    def _read(self) -> Iterator[Frame | None]:
        """Yield frames, and None after each chunk so that the caller can check its deadline."""
        buffer = b""
        for chunk in self.response.iter_content(chunk_size=None):
            at = time.time()
            buffer += chunk
            *blocks, buffer = buffer.split(b"\n\n")
            for block in blocks:
                frame = self._parse(block.decode(), at)
                if frame is not None:
                    yield frame
            yield None

    def _parse(self, raw: str, at: float) -> Frame | None:
        fields: dict[str, str] = {}
        for line in raw.split("\n"):
            name, _, value = line.partition(":")
            if not name:
                self.comments.append(value.strip())
            elif name in fields:
                raise StreamError(f"the field {name} is twice in the frame {raw!r}")
            else:
                fields[name] = value.removeprefix(" ")
        if not fields:
            return None
        data = msgspec.json.decode(fields["data"])
        return Frame(fields["event"], data, fields.get("id"), at, raw)
