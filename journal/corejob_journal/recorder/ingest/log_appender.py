"""Store the lines of one log, one submission at a time."""

import asyncio
from collections.abc import Callable
from functools import partial

from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.recorder.ingest.log_status import LogStatusReporter
from corejob_journal.store.records import Append, Finalise, LogState, Operation, OperationResult


class StaleError(Exception):
    """Another process stores this stream's lines too: restart from the store's position."""


class LogAppender:
    """Submits what a `LogIngest` has taken; lines gather there while a submission is in flight.

    Args:
        ingest: The lines of the log.
        commits: The queue of the writer.
        reporter: Reports stored cookies and sources.
        pod_name: Name of the log's pod.
        failed: Called when a submission has failed.
    """

    def __init__(
        self,
        ingest: LogIngest,
        commits: GroupCommit,
        reporter: LogStatusReporter,
        *,
        pod_name: str,
        failed: Callable[[], None],
    ) -> None:
        self._ingest = ingest
        self._commits = commits
        self._reporter = reporter
        self._pod_name = pod_name
        self._failed = failed
        self._inflight: asyncio.Future[list[OperationResult]] | None = None
        self._failure: BaseException | None = None

    @property
    def is_full(self) -> bool:
        """True if the follower should wait for the store before it reads on."""
        return self._ingest.full and self._inflight is not None

    @property
    def is_busy(self) -> bool:
        """True while a submission is in flight."""
        return self._inflight is not None and not self._inflight.done()

    async def wait(self, seconds: float) -> None:
        """Wait for the submission in flight, at most `seconds` seconds."""
        if self._inflight is not None:
            await asyncio.wait({self._inflight}, timeout=seconds)

    def check(self) -> None:
        """Raise the error of a submission that has failed.

        Raises:
            StaleError: Another process stores this stream's lines too.
        """
        if self._failure is not None:
            raise self._failure

    def send(self) -> None:
        """Submit what was taken, unless a submission is in flight; lines gather meanwhile."""
        if self._inflight is not None:
            if not self._inflight.done():
                return
            self._inflight = None
        appends = self._ingest.flush()
        if appends:
            self._inflight = self._commits.submit(appends)
            self._inflight.add_done_callback(partial(self._sent, appends))

    def _sent(self, appends: list[Append], future: "asyncio.Future[list[OperationResult]]") -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None and any(stored.stale for stored in future.result()):
            error = StaleError(self._pod_name)
        if error is None:
            self._reporter.stored(future.result())
            self.send()
            return
        self._failure = error
        self._failed()

    async def finish(self) -> None:
        """Wait until all that was sent is stored.

        Raises:
            StaleError: Another process stores this stream's lines too.
        """
        while self._inflight is not None and not self._inflight.done():
            await asyncio.wait({self._inflight})
            await asyncio.sleep(0)  # `_sent` may have submitted more
        self.check()

    async def finalise(self) -> LogState | None:
        """Store the rest and finalise the stream, in one transaction. Return the log's state.

        Raises:
            StaleError: Another process stores this stream's lines too.
        """
        ingest = self._ingest
        operations: list[Operation] = [*ingest.flush()]
        operations.append(Finalise(ingest.stream, ingest.token))
        results = await self._commits.submit(operations)
        if any(result.stale for result in results):
            raise StaleError(self._pod_name)
        self._reporter.stored(results)
        return results[-1].state
