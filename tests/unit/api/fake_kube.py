"""The API server that the API talks to: its requests can be counted, held up and refused."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from tests.support.kubeapi import DEADLINE, NAMESPACE, KubeApi, refuse

__all__ = ["NAMESPACE", "FakeKube"]

Hook = Callable[[str, str, str], int | web.Response | None]
"""Called with method, plural and name before a request is done; what it returns refuses it."""


class FakeKube(KubeApi):
    """CoreJobs, templates and Leases."""

    def __init__(self) -> None:
        super().__init__(role="api")
        self.requests: list[tuple[str, str, str]] = []
        self.hook: Hook | None = None
        self.gates: dict[tuple[str, str], asyncio.Event] = {}
        self.waiting = asyncio.Condition()
        self.held = 0

    async def answer(
        self, request: web.Request, plural: str, name: str, sub: str
    ) -> web.StreamResponse:
        method = request.method
        self.requests.append((method, plural, name))
        await self._pass_gate(method, plural)
        refused = self.hook(method, plural, name) if self.hook else None
        if isinstance(refused, int):
            return refuse(refused, f"hook says {refused}")
        if refused is not None:
            return refused
        return await super().answer(request, plural, name, sub)

    async def _pass_gate(self, method: str, plural: str) -> None:
        gate = self.gates.get((method, plural))
        if gate is None:
            return
        self.held += 1
        async with self.waiting:
            self.waiting.notify_all()
        await gate.wait()
        self.held -= 1

    def hold(self, method: str, plural: str) -> asyncio.Event:
        """Let such requests wait until the event is set."""
        gate = self.gates[method, plural] = asyncio.Event()
        return gate

    async def until_held(self, count: int = 1) -> None:
        """Wait until so many requests wait."""
        async with asyncio.timeout(DEADLINE), self.waiting:
            await self.waiting.wait_for(lambda: self.held >= count)
