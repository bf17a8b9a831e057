"""Requests that are refused, held or never answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.support.fake_apiserver.statuses import ApiError, failure
from tests.support.signals import Signal

ANY = "*"
ALWAYS = 10**9
Body = dict[str, Any]


@dataclass
class Request:
    """A request for objects of the namespace; `name` and `sub` are empty if it has none."""

    method: str
    plural: str
    name: str
    sub: str
    body: Any
    query: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Method and path, such as `PATCH corejobs/a/status`."""
        return " ".join([self.method, "/".join(filter(None, (self.plural, self.name, self.sub)))])


@dataclass
class _Fault:
    method: str
    plural: str
    times: int

    def hits(self, request: Request) -> bool:
        """True if the request meets this fault, which is then used up by one."""
        pattern = (self.method, self.plural)
        if not self.times or not _fits(pattern, request):
            return False
        self.times -= 1
        return True


@dataclass
class Refusal(_Fault):
    """A response instead of the request's own; with `after`, the request is carried out first."""

    response: Callable[[], web.Response]
    after: Callable[[], None] | None = None


class Faults:
    """The faults of one server, for requests by method and plural; `ANY` fits all.

    Attributes:
        intercept: called with each request before it is carried out; a response that it returns
            is sent instead.
    """

    def __init__(self) -> None:
        self.intercept: Callable[[Request], web.Response | None] | None = None
        self._refusals: list[Refusal] = []
        self._hangs: list[_Fault] = []
        self._gates: dict[tuple[str, str], asyncio.Event] = {}
        self._held = 0
        self._hanging = 0
        self._waiting = Signal()

    def refuse(
        self,
        method: str,
        plural: str,
        code: int,
        message: str = "no",
        *,
        reason: str = "Refused",
        times: int = 1,
        after: Callable[[], None] | None = None,
    ) -> None:
        """Refuse the next requests; with `after`, carry them out first and lose the response."""
        error = ApiError(code, message, reason)
        self._refusals.append(Refusal(method, plural, times, error.response, after))

    def refuse_with(
        self,
        method: str,
        plural: str,
        status: Body | Callable[[], web.Response],
        *,
        times: int = 1,
    ) -> None:
        """Refuse the next requests with a Status recorded from a real API server."""
        response = status if callable(status) else lambda: failure(status)
        self._refusals.append(Refusal(method, plural, times, response))

    def allow_all(self) -> None:
        """Refuse no more requests."""
        self._refusals.clear()
        self.intercept = None

    def hang(self, method: str, plural: str, *, times: int = ALWAYS) -> None:
        """Neither carry out nor answer the next requests, while the connections stay open."""
        self._hangs.append(_Fault(method, plural, times))

    async def until_hanging(self, count: int = 1) -> None:
        """Wait until `count` requests are left without an answer."""
        await self._waiting.wait_for(lambda: self._hanging >= count)

    def answer_all(self) -> None:
        """Leave no more requests without an answer."""
        self._hangs.clear()

    def hold(self, method: str, plural: str) -> asyncio.Event:
        """Let requests wait until the event is set."""
        gate = self._gates[method, plural] = asyncio.Event()
        return gate

    async def until_held(self, count: int = 1) -> None:
        """Wait until `count` requests are held."""
        await self._waiting.wait_for(lambda: self._held >= count)

    async def wait(self, request: Request) -> None:
        """Wait while the request is held, or without end if it hangs."""
        for pattern, gate in self._gates.items():
            if _fits(pattern, request) and not gate.is_set():
                self._held += 1
                self._waiting.notify()
                await gate.wait()
                self._held -= 1
        if any(fault.hits(request) for fault in self._hangs):
            self._hanging += 1
            self._waiting.notify()
            await asyncio.Event().wait()

    def refusal(self, request: Request) -> Refusal | None:
        """Return how the request is refused, or None."""
        return next((one for one in self._refusals if one.hits(request)), None)


def _fits(pattern: tuple[str, str], request: Request) -> bool:
    return all(
        wanted in {ANY, value}
        for wanted, value in zip(pattern, (request.method, request.plural), strict=True)
    )
