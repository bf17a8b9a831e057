"""The log of a container's previous run: the kubelet may restart a container within its pod."""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from corejob_journal.recorder.ingest.followed_pod import FollowedPod
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.recorder.ingest.reading import LogGoneError, LogReader
from corejob_journal.recorder.ingest.refusals import Refusals, is_refusal
from corejob_journal.store.records import NewGap
from corejob_kube.errors import InvalidError, KubeError, NotFoundError, UnavailableError

log = logging.getLogger(__name__)


class EarlierRunError(UnavailableError):
    """The log of the previous run can't be read at the moment."""


class EarlierRun:
    """Takes what is missing of the runs before the present one.

    The logs of all runs are one sequence, so repetitions are recognised as within one log.

    Args:
        pod: The pod.
        ingest: The lines of the log.
        sequence: Takes the lines.
    """

    def __init__(self, pod: FollowedPod, ingest: LogIngest, sequence: LineSequence) -> None:
        self._pod = pod
        self._ingest = ingest
        self._sequence = sequence
        self._refusals = Refusals()
        # True if the container runtime has answered since it was without the previous run's log.
        self._runtime_works = False
        self._older_named = False
        # The number of restarts at which the previous run's log was named as lost.
        self._lost_at = 0

    @property
    def is_unread(self) -> bool:
        """True if lines of an earlier run may be missing, and were not named as lost."""
        # While the present run can't be read either, the position stays before it.
        return self._pod.newest.restarts != self._lost_at and self._is_before_the_run(1)

    def leave(self) -> None:
        """Begin the present run, unless the position is in it already."""
        if self._is_before_the_run(0):
            self._ingest.contents.new_run()

    def _is_before_the_run(self, margin: int) -> bool:
        pod = self._pod.newest
        began = pod.child.started_at
        if not pod.restarts or began is None:
            return False
        # The kubelet reports the start of a run with a precision of a second.
        return self._ingest.position.stamp < (began.timestamp() + margin) * 1e9

    def name_older(self) -> None:
        """Name the runs before the previous one if nothing was read: the kubelet has no earlier."""
        restarts = self._pod.newest.restarts
        if restarts > 1 and not self._ingest.position.stamp and not self._older_named:
            self._older_named = True
            runs = f"{restarts - 1} runs" if restarts > 2 else "run"
            text = f"the log of the first {runs} of the container is gone: it was restarted"
            self._ingest.lose(NewGap(None, None, text, "Restarted"))

    async def take(
        self,
        reader: LogReader,
        since: int | None,
        *,
        opened: Callable[[], None],
        store: Callable[[], Awaitable[None]],
    ) -> None:
        """Take the new lines of the previous run, or name them if they are lost.

        Args:
            reader: Reads the log.
            since: Second since the epoch to begin at; None reads from the start.
            opened: Called when the response has begun.
            store: Stores what was taken.

        Raises:
            KubeError: The log can't be read at the moment.
            UnclearError: Only a connection from the log's start is unambiguous.
        """
        ingest, restarts = self._ingest, self._pod.newest.restarts
        lines = reader.read(
            since=since, follow=False, surely=ingest.surely, opened=opened, previous=True
        )
        try:
            async with aclosing(lines) as chunks:
                async for some in chunks:
                    await self._sequence.take(some)
                    await store()
        except (KubeError, LogGoneError) as error:
            if not await self._is_lost(error, reader):
                raise EarlierRunError(500, "Kubelet", str(error)) from error
            ingest.lose_tail("Restarted", f"the container was restarted, and {error}")
            self._lost_at = restarts
        else:
            await self._sequence.take(reader.splitter.rest())
        self._refusals.reset()
        self._runtime_works = False

    async def _is_lost(self, error: KubeError | LogGoneError, reader: LogReader) -> bool:
        """True if the previous run's log can't be read any more.

        Raises:
            KubeError: It is another error, or the pod is gone.
        """
        if isinstance(error, InvalidError):
            return True  # the kubelet knows of no previous run
        gone = isinstance(error, NotFoundError) and await self._pod.is_gone(error)
        if isinstance(error, KubeError) and (gone or not is_refusal(error)):
            raise error
        if isinstance(error, LogGoneError):
            # The kubelet answers so while the container runtime is away, too. It removes the older
            # of two ended containers, so with a runtime that works this is the ordinary cause.
            if self._runtime_works:
                return True
            self._runtime_works = await self._is_readable(reader)
        return self._refusals.add(time.monotonic())

    async def _is_readable(self, reader: LogReader) -> bool:
        try:
            return await reader.is_readable()
        except KubeError as error:
            log.debug("no look at the log of %s: %s", self._pod.newest.child.name, error)
            return False
