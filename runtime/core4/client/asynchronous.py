"""The client for asyncio, over aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

from core4.client import operations, requests
from core4.client.aio_transport import AioPerformer, AioTransport
from core4.client.base import BaseClient, BaseJob, Options
from core4.client.effects import Effect, Emit, Program, Run
from core4.client.errors import Core4Error
from core4.client.operations import LogFilters, Make, Query
from core4.client.paging import PER_PAGE
from core4.client.results import CatalogueEntry, Event, JobDocument, Log, Meta, Page, Profile

T = TypeVar("T")


class AsyncClient(BaseClient):
    """A client of one core4 server, for one event loop. See `BaseClient` for its arguments."""

    def __init__(self, url: str | None = None, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._transport = AioTransport(self._server, self._session.timeouts, self._proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def jobs(
        self,
        search: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  # its name in REST
        per_page: int = PER_PAGE,
    ) -> AsyncPages[CatalogueEntry]:
        """See `Client.jobs`."""
        return AsyncPages(self, operations.jobs(self._session, search, filter, per_page))

    def queue(self, **query: Unpack[Query]) -> AsyncPages[JobDocument]:
        """See `Client.queue`."""
        return AsyncPages(self, operations.queue(self._session, query))

    def journal(self, **query: Unpack[Query]) -> AsyncPages[JobDocument]:
        """See `Client.journal`."""
        return AsyncPages(self, operations.journal(self._session, query))

    def job(self, job_id: str) -> AsyncJob:
        """See `Client.job`."""
        return AsyncJob(self, requests.job_id(job_id))

    async def enqueue(
        self,
        qual_name: str,
        args: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> AsyncJob:
        """See `Client.enqueue`."""
        program = operations.enqueue(self._session, qual_name, args, more, idempotency_key)
        return AsyncJob(self, await self._run(program))

    async def profile(self) -> Profile:
        """See `Client.profile`."""
        return await self._run(operations.profile(self._session))

    async def meta(self) -> Meta:
        """See `Client.meta`."""
        return await self._run(operations.meta(self._session))

    async def login(self, user: str, password: str) -> str:
        """See `Client.login`."""
        return await self._run(operations.login(self._session, user, password))

    async def call(self, method: str, path: str, **arguments: Any) -> Mapping[str, Any]:
        """See `Client.call`."""
        return await self._run(operations.raw(self._session, method, path, arguments))

    async def _run(self, program: Program[T]) -> T:
        run = Run(program)
        async with AioPerformer(self._transport) as performer:
            while run.effect is not None:
                await _step(run, run.effect, performer)
        return run.result

    async def _items(self, program: Program[None]) -> AsyncIterator[Any]:
        run = Run(program)
        async with AioPerformer(self._transport) as performer:
            while run.effect is not None:
                if isinstance(run.effect, Emit):
                    yield run.effect.item
                    run.go_on(None)
                else:
                    await _step(run, run.effect, performer)


class AsyncJob(BaseJob):
    """A job of the server.

    Attributes:
        id: Its id.
    """

    def __init__(self, client: AsyncClient, job_id: str) -> None:
        super().__init__(job_id)
        self._client = client
        self._session = client._session

    async def document(self) -> JobDocument:
        """See `Job.document`."""
        return await self._client._run(operations.document(self._session, self.id))

    def follow(
        self,
        *,
        states: bool = True,
        after: str | int | None = None,
        timeout: float | None = None,
        **filters: Unpack[LogFilters],
    ) -> AsyncIterator[Event]:
        """See `Job.follow`."""
        return self._client._items(
            operations.events(
                self._session, self.id, filters, states=states, after=after, timeout=timeout
            )
        )

    def log(self, *, per_page: int = PER_PAGE, **filters: Unpack[LogFilters]) -> AsyncPages[Log]:
        """See `Job.log`."""
        return AsyncPages(self._client, operations.log(self._session, self.id, filters, per_page))

    async def wait(self, timeout: float | None = None) -> JobDocument:
        """See `Job.wait`."""
        return await self._client._run(operations.wait(self._session, self.id, timeout))

    async def result(self, timeout: float | None = None) -> JobDocument:
        """See `Job.result`."""
        return await self._client._run(operations.result(self._session, self.id, timeout))

    async def kill(self) -> None:
        """See `Job.kill`."""
        await self._client._run(operations.kill(self._session, self.id))

    async def restart(self) -> AsyncJob:
        """See `Job.restart`."""
        return AsyncJob(
            self._client, await self._client._run(operations.restart(self._session, self.id))
        )

    async def remove(self) -> None:
        """See `Job.remove`."""
        await self._client._run(operations.remove(self._session, self.id))


class AsyncPages(Generic[T]):
    """A listing, read page by page while it is iterated. Each iteration begins anew."""

    def __init__(self, client: AsyncClient, make: Make) -> None:
        self._client = client
        self._make = make

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item

    def pages(self) -> AsyncIterator[Page[T]]:
        """Yield whole pages."""
        return self._client._items(self._make())


async def _step(run: Run[Any], effect: Effect, performer: AioPerformer) -> None:
    try:
        value = await performer.perform(effect)
    except Core4Error as error:
        run.fail(error)
    else:
        run.go_on(value)
