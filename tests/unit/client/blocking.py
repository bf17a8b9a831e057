"""The client for asyncio, called as the one for threads, so that both run the same scenarios."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

from core4.client.asynchronous import AsyncClient, AsyncJob, AsyncPages

_WRAPPED = (AsyncClient, AsyncJob, AsyncPages)


class Blocking:
    """Calls the methods of an object in an event loop, and waits for their results."""

    def __init__(self, wrapped: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._result(value(*args, **kwargs))

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(aiter(self._wrapped))

    def _result(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            value = self._loop.run_until_complete(value)
        if inspect.isasyncgen(value):
            return self._iterate(value)
        return Blocking(value, self._loop) if isinstance(value, _WRAPPED) else value

    def _iterate(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self._loop.run_until_complete(anext(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._loop.run_until_complete(items.aclose())
