"""The client for threads, over the standard library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

from core4.client import operations, requests
from core4.client.base import BaseClient, BaseJob, Options
from core4.client.effects import Effect, Emit, Program, Run
from core4.client.errors import Core4Error
from core4.client.operations import LogFilters, Make, Query
from core4.client.paging import PER_PAGE
from core4.client.results import CatalogueEntry, Event, JobDocument, Log, Meta, Page, Profile
from core4.client.transport import Performer, Transport

T = TypeVar("T")


class Client(BaseClient):
    """A client of one core4 server, which threads may share. See `BaseClient` for its arguments."""

    def __init__(self, url: str | None = None, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._transport = Transport(self._server, self._session.timeouts, self._proxy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def jobs(
        self,
        search: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  # its name in REST
        per_page: int = PER_PAGE,
    ) -> Pages[CatalogueEntry]:
        """Return the catalogue: the jobs that the user may execute.

        Args:
            search: A part of the qual_name; `?` is one character, `*` any number of them.
            filter: A MongoDB-style filter over the rows.
            per_page: Rows of a page.
        """
        return Pages(self, operations.jobs(self._session, search, filter, per_page))

    def queue(self, **query: Unpack[Query]) -> Pages[JobDocument]:
        """Return the jobs in the queue that a query selects (see `Query`).

        With `sort`, a job that leaves the queue meanwhile may hide another one in a long listing.
        """
        return Pages(self, operations.queue(self._session, query))

    def journal(self, **query: Unpack[Query]) -> Pages[JobDocument]:
        """Return the past jobs that a query selects (see `Query`)."""
        return Pages(self, operations.journal(self._session, query))

    def job(self, job_id: str) -> Job:
        """Return a job by its id, without asking the server.

        Raises:
            ValueError: It is not an id.
        """
        return Job(self, requests.job_id(job_id))

    def enqueue(
        self,
        qual_name: str,
        args: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Job:
        """Enqueue a job.

        The request is repeated if its answer is lost, and still enqueues one job only: it has an
        `Idempotency-Key` of its own.

        Args:
            qual_name: The job's name in the catalogue.
            args: The job's arguments, and its properties such as `attempts`, by their names.
            idempotency_key: A key of yours, 1 to 255 printable ASCII characters. For a day, the
                same key answers with the same job.
            more: More of `args`.

        Raises:
            DuplicateError: A job of the same name and args is in the queue.
            BadRequestError: An argument is bad.
            NotFoundError: There is no such job in the catalogue.
            ForbiddenError: The user may not execute it.
            TooManyError: The queue is full.
        """
        program = operations.enqueue(self._session, qual_name, args, more, idempotency_key)
        return Job(self, self._run(program))

    def profile(self) -> Profile:
        """Return the signed-in user."""
        return self._run(operations.profile(self._session))

    def meta(self) -> Meta:
        """Return what the service says of itself, without a sign-in."""
        return self._run(operations.meta(self._session))

    def login(self, user: str, password: str) -> str:
        """Return a new token for a user and a password. The client itself goes on as before."""
        return self._run(operations.login(self._session, user, password))

    def call(self, method: str, path: str, **arguments: Any) -> Mapping[str, Any]:
        """Send any request that is answered by JSON, and return the whole answer.

        Args:
            method: HTTP method. Only a GET is repeated.
            path: Path after the base path, such as `/jobs/history`.
            arguments: The arguments.
        """
        return self._run(operations.raw(self._session, method, path, arguments))

    def _run(self, program: Program[T]) -> T:
        run = Run(program)
        with Performer(self._transport) as performer:
            while run.effect is not None:
                _step(run, run.effect, performer)
        return run.result

    def _items(self, program: Program[None]) -> Iterator[Any]:
        run = Run(program)
        with Performer(self._transport) as performer:
            while run.effect is not None:
                if isinstance(run.effect, Emit):
                    yield run.effect.item
                    run.go_on(None)
                else:
                    _step(run, run.effect, performer)


class Job(BaseJob):
    """A job of the server.

    Attributes:
        id: Its id.
    """

    def __init__(self, client: Client, job_id: str) -> None:
        super().__init__(job_id)
        self._client = client
        self._session = client._session

    def document(self) -> JobDocument:
        """Return the job's document."""
        return self._client._run(operations.document(self._session, self.id))

    def follow(
        self,
        *,
        states: bool = True,
        after: str | int | None = None,
        timeout: float | None = None,
        **filters: Unpack[LogFilters],
    ) -> Iterator[Event]:
        """Yield the job's states and its log, from the beginning, live, until it has ended.

        The stream resumes by itself. Its last event is `Close`; without it an error is raised.

        Args:
            states: False for the log only.
            after: The id of a record after which to begin.
            timeout: Seconds after which to give up.
            filters: Filters of the log (see `LogFilters`).

        Raises:
            NotFoundError: There is no such job.
            StreamLostError: The stream was cut off and can't be resumed.
            DeadlineError: The timeout has passed. The job goes on.
        """
        return self._client._items(
            operations.events(
                self._session, self.id, filters, states=states, after=after, timeout=timeout
            )
        )

    def log(self, *, per_page: int = PER_PAGE, **filters: Unpack[LogFilters]) -> Pages[Log]:
        """Return the records that the log has now (see `LogFilters`)."""
        return Pages(self._client, operations.log(self._session, self.id, filters, per_page))

    def wait(self, timeout: float | None = None) -> JobDocument:
        """Wait until the job has ended and its log is complete; return its last document.

        Raises:
            DeadlineError: The timeout, in seconds, has passed. The job goes on.
            StreamLostError: The server is away for too long.
        """
        return self._client._run(operations.wait(self._session, self.id, timeout))

    def result(self, timeout: float | None = None) -> JobDocument:
        """Wait as `wait` does; return the document of a complete job.

        Raises:
            JobFailedError: The job has ended otherwise.
            DeadlineError: The timeout, in seconds, has passed. The job goes on.
        """
        return self._client._run(operations.result(self._session, self.id, timeout))

    def kill(self) -> None:
        """Kill the job.

        Raises:
            NotFoundError: It is not in the queue any more.
        """
        self._client._run(operations.kill(self._session, self.id))

    def restart(self) -> Job:
        """Restart the job; return the one that runs from now on, which may have a new id.

        Raises:
            ConflictError: It is pending or running.
            NotFoundError: It is not in the queue any more.
            UnreachableError: The connection was lost. If the error's `sent` is true, look into the
                document's `enqueued.child_id` for the new job before you try again.
        """
        return Job(self._client, self._client._run(operations.restart(self._session, self.id)))

    def remove(self) -> None:
        """Remove the job from the queue; one that runs leaves it when its trial ends.

        Raises:
            NotFoundError: It is not in the queue any more.
        """
        self._client._run(operations.remove(self._session, self.id))


class Pages(Generic[T]):
    """A listing, read page by page while it is iterated. Each iteration begins anew."""

    def __init__(self, client: Client, make: Make) -> None:
        self._client = client
        self._make = make

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[Page[T]]:
        """Yield whole pages."""
        return self._client._items(self._make())


def _step(run: Run[Any], effect: Effect, performer: Performer) -> None:
    try:
        value = performer.perform(effect)
    except Core4Error as error:
        run.fail(error)
    else:
        run.go_on(value)
