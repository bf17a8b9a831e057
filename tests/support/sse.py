"""Reading an event stream (contract section 3) off a `requests` response.

It is read by the caller's own thread: what comes meanwhile waits in the connection. The server's
keep-alive comments end each wait for data, so deadlines are kept without a thread.
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
# Four times the interval of the keep-alive comments: a busy machine may swallow some.
READ_SECONDS = 60.0
TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)
# For what a pod has to start for.
WAIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event.

    Attributes:
        event: its type.
        data: its data, decoded.
        id: what `Last-Event-ID` takes; None if it has none.
        at: when it was read, as an epoch.
        raw: the lines as they came.
    """

    event: str
    data: Any
    id: str | None
    at: float
    raw: str


class StreamError(AssertionError):
    """The stream did not bring what was waited for; the message shows what it brought last."""


class Stream:
    """An event stream, and all that it has brought so far."""

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
        """The frames that come from now on, to the end of the response."""
        while (frame := self._next(None)) is not None:
            yield frame

    def hang_up(self) -> None:
        """Close the connection, whether the server is done or not."""
        self.response.close()

    def wait(
        self, accept: Callable[[Frame], bool], *, what: str, seconds: float = WAIT_SECONDS
    ) -> Frame:
        """The first frame that is accepted, among those that came already and those to come."""
        for frame in self.frames:
            if accept(frame):
                return frame
        deadline = time.monotonic() + seconds
        while (frame_or_end := self._next(deadline)) is not None:
            if accept(frame_or_end):
                return frame_or_end
        raise StreamError(f"{what}: the stream ended without it; {self.seen()}")

    def state(self, *states: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """The document of the first `state` frame with one of these states."""
        found = self.wait(
            lambda frame: frame.event == "state" and frame.data["state"] in states,
            what=f"a frame with state {' or '.join(states)}",
            seconds=seconds,
        )
        document: dict[str, Any] = found.data
        return document

    def line(self, message: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """The first log record whose message begins so."""
        found = self.wait(
            lambda frame: frame.event == "log" and frame.data["message"].startswith(message),
            what=f"a log record {message!r}",
            seconds=seconds,
        )
        record: dict[str, Any] = found.data
        return record

    def to_close(self, seconds: float = WAIT_SECONDS) -> Self:
        """Read to the end: the last frame has to be `close`, and the server has to hang up."""
        deadline = time.monotonic() + seconds
        while self._next(deadline) is not None:
            pass
        if not self.frames or self.frames[-1].event != "close":
            raise StreamError(f"the stream ended without a close frame; {self.seen()}")
        return self

    def of(self, event: str) -> list[Any]:
        """The data of all frames of a type."""
        return [frame.data for frame in self.frames if frame.event == event]

    @property
    def states(self) -> list[str]:
        """The states in their order, each change once."""
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
        """What came, for a message."""
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
        """Frames; None when nothing is at hand, so that the caller can look at its deadline."""
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
