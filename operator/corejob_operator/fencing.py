"""A client that writes only while its process holds the operator's Lease."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from corejob_kube.client import JSON, Kube


class Fenced(Kube):
    """A client on another client's connections that checks each write right before it is sent.

    Args:
        kube: The client that sends the requests.
        check: Called before each write; raises if this process may not write now.
    """

    def __init__(self, kube: Kube, check: Callable[[], None]) -> None:
        # All attributes of the client, since the inherited methods read them.
        vars(self).update(vars(kube))
        self._kube = kube
        self._check = check

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        levels: int = 0,
    ) -> Any:
        """As `Kube.request`; before a write, call `check`, whose exception prevents the request."""
        if method != "GET":
            self._check()
        return await self._kube.request(
            method, path, params=params, body=body, content_type=content_type, levels=levels
        )

    @asynccontextmanager
    async def stream(self, *args: Any, **options: Any) -> AsyncIterator[aiohttp.StreamReader]:
        """As `Kube.stream`."""
        async with self._kube.stream(*args, **options) as content:
            yield content
