"""Requests of the client's programs to a driver.

A program is a generator: it yields an effect, and gets the effect's result or error back. Programs
do no I/O, so that the client for threads and the one for asyncio share all of them. The drivers
perform the effects (`sync.py`, `asynchronous.py`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from core4.client.errors import Core4Error
from core4.client.requests import Request, Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and read the whole response, within `seconds`. Result: a `Response`."""

    request: Request
    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request. Result: a `Response` whose body is still to be read if its status is 200.

    A stream that was open is closed first.
    """

    request: Request
    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read what comes next of the open stream, within `seconds`. Result: bytes, none at its end."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand an item to the caller, who iterates over the program."""

    item: Any


Effect = Send | Open | Read | Sleep | Emit
Program = Generator[Effect, Any, T]
"""A program with a result of type T. It may raise a `Core4Error`, and gets those of its effects."""


class Run(Generic[T]):
    """The run of a program, from effect to effect.

    Attributes:
        effect: What the driver has to do next; None after the program's end.
    """

    _NOTHING: Final[Any] = None

    def __init__(self, program: Program[T]) -> None:
        self._program = program
        self.effect: Effect | None = None
        self.result: T = self._NOTHING
        self.go_on(None)

    def go_on(self, value: Any) -> None:
        """Give the program the result of its effect.

        Raises:
            Core4Error: The program failed.
        """
        try:
            self.effect = self._program.send(value)
        except StopIteration as end:
            self._end(end)

    def fail(self, error: Core4Error) -> None:
        """Give the program the error of its effect.

        Raises:
            Core4Error: The program failed.
        """
        try:
            self.effect = self._program.throw(error)
        except StopIteration as end:
            self._end(end)

    def _end(self, end: StopIteration) -> None:
        self.effect, self.result = None, end.value


def send(request: Request, seconds: float) -> Program[Response]:
    """Return the response to a request."""
    response: Response = yield Send(request, seconds)
    return response


def open_stream(request: Request, seconds: float) -> Program[Response]:
    """Return the head of the response to a request."""
    response: Response = yield Open(request, seconds)
    return response


def read(seconds: float) -> Program[bytes]:
    """Return what comes next of the open stream."""
    chunk: bytes = yield Read(seconds)
    return chunk


def sleep(seconds: float) -> Program[None]:
    """Wait."""
    yield Sleep(seconds)
