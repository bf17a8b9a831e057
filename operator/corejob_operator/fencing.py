"""A client that writes only while its process holds the operator's Lease."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from corejob_kube.client import JSON, Kube
from corejob_process import tasks

_ANSWER_WITHIN_S: Final = 2.0


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
        request = functools.partial(
            self._kube.request,
            method,
            path,
            params=params,
            body=body,
            content_type=content_type,
            levels=levels,
        )
        return await (request() if method == "GET" else _answered(self._checked(request)))

    async def _checked(self, request: Callable[[], Awaitable[Any]]) -> Any:
        self._check()
        return await request()

    @asynccontextmanager
    async def stream(self, *args: Any, **options: Any) -> AsyncIterator[aiohttp.StreamReader]:
        """As `Kube.stream`."""
        async with self._kube.stream(*args, **options) as content:
            yield content


async def _answered(write: Coroutine[Any, Any, Any]) -> Any:
    """Return the answer to a write; if cancelled, wait for the answer first, but not for long.

    The API server may carry out a write though nobody waits for its answer. Later than the release
    of the Lease, it would overwrite what the next operator has written.
    """
    task = asyncio.create_task(write, name="write")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await tasks.finish(task, within=_ANSWER_WITHIN_S)
        raise
