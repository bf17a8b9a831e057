"""Follow one pod's log to its end, across broken connections.

`intake` takes the lines in, `log_appender` stores them, `followed_pod` tells if the container has
ended, and `attempts` when to connect again.
"""

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from corejob import model
from corejob_journal.recorder.ingest.attempts import Attempts
from corejob_journal.recorder.ingest.closing import closing_record
from corejob_journal.recorder.ingest.earlier_run import EarlierRun, EarlierRunError
from corejob_journal.recorder.ingest.followed_pod import FollowedPod
from corejob_journal.recorder.ingest.intake import LogIntake
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.lines import LogLine, last_line
from corejob_journal.recorder.ingest.log_appender import LogAppender
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.recorder.ingest.log_status import LogStatusReporter
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.reading import (
    CantFollowError,
    LogGoneError,
    LogReader,
    UnclearError,
)
from corejob_journal.recorder.ingest.refusals import Refusals, is_refusal
from corejob_journal.recorder.ingest.retries import Attempt
from corejob_journal.recorder.ingest.services import FollowerServices
from corejob_journal.recorder.ingest.stream_end import StreamEnd
from corejob_journal.store import ForeignJobError
from corejob_journal.store.records import (
    LogPosition,
    NewGap,
    NewRecord,
    StreamState,
    foreign,
)
from corejob_kube.errors import KubeError, UnavailableError
from corejob_process import tasks

log = logging.getLogger(__name__)

_STILL_FRESH_S: Final = 5.0
"""Seconds within which a log that is gone after a clean end of its stream counts as complete."""
_INFO: Final = 20


class LogFollower:
    """Follows one pod's log from the store's position to its end, and finalises it."""

    def __init__(self, services: FollowerServices, pod: JobPod, owner: str) -> None:
        self._pod = FollowedPod(services.kube, services.namespace, pod)
        self._owner = owner
        self._services = services
        self._reader = LogReader(services.kube, services.namespace, pod)
        self._reading: asyncio.Task[None] | None = None
        self._end: StreamEnd | None = None
        self._ingest: LogIngest
        self._appender: LogAppender
        self._sequence: LineSequence
        self._intake: LogIntake
        self._earlier: EarlierRun
        self._refusals = Refusals()
        self._ended_well = 0.0
        self._reporter = LogStatusReporter(services, pod)
        self._attempts = Attempts(services.retries, self._reporter.unreadable, self._reader)
        # Text after the last line end of a connection that ended cleanly.
        self._tail: list[LogLine] = []

    @property
    def pod(self) -> JobPod:
        """The newest state of the pod."""
        return self._pod.newest

    def update(self, pod: JobPod) -> None:
        """Handle a change or the deletion of the pod."""
        was_over = self.pod.over
        self._pod.newest = pod
        self._reporter.update(pod)
        self._attempts.news.set()
        if was_over or not pod.over:
            return
        self._attempts.ended()
        if self._reading is not None and self._end is not None:
            if self._ingest.done:
                # After the runtime's `done` line there is no need to wait for the stream's end.
                self._reading.cancel()
            else:
                self._end.container_ended()

    def vanished(self) -> None:
        """Handle the pod's deletion: don't wait, since the API server answers without the node."""
        self._attempts.vanished()

    def works(self) -> None:
        """Handle that this follower has run for a while, unlike one before it."""
        self._reporter.works()

    async def run(self) -> None:
        """Follow the log and finalise it."""
        commits, source = self._services.commits, replace(self.pod.source, owner=self._owner)
        # Report the log first: a kill waits until a recorder is reading.
        self._reporter.attached()
        try:
            state, sources = await commits.call(lambda writer: writer.open_log(source))
        except ForeignJobError as error:
            log.warning("pod %s: %s", self.pod.child.name, error)
            self._reporter.log(foreign(str(error)), complete=True)
            return
        self._reporter.sources(sources)
        self._reporter.unsure = state.finalised or state.position.stamp > 0
        if state.finalised:
            await self._reporter.cookie()
            has_lines = self.pod.started and state.position.stamp > 0
            self._reporter.log(None, complete=True, has_lines=has_lines)
            return
        self._ingest = LogIngest(state, restarts=self.pod.child.restarts)
        self._appender = LogAppender(
            self._ingest,
            commits,
            self._reporter,
            pod_name=self.pod.child.name,
            failed=self._stop_reading,
        )
        self._sequence = LineSequence(
            self._services.kube, self._services.namespace, self._pod, self._reader, self._ingest
        )
        self._intake = LogIntake(
            self._pod,
            self._ingest,
            self._sequence,
            self._appender,
            self._reporter,
            self._services.retries,
        )
        self._earlier = EarlierRun(self._pod, self._ingest, self._sequence)
        if not sources.names:
            # Earlier versions wrote sources into the status without storing them.
            self._ingest.contents.name_sources(self._reporter.status_field("sources") or ())
        try:
            if self.pod.has_log:
                self._name_init_container(state)
                await self._read_to_end()
            await self._finalise()
        except asyncio.CancelledError:
            self._appender.send()  # commit what was read before the process ends
            raise
        finally:
            self._attempts.close()
            self._reporter.close()

    def _name_init_container(self, state: StreamState) -> None:
        """Add a record that introduces the log of an init container, at its beginning."""
        init = self.pod.child.failed_init
        if not self.pod.failed_init or init is None or state.fencing_token:
            return
        text = f"init container [{init.name}] ended with exit code {init.exit_code}, its output:"
        at = (init.started_at or init.ended_at or datetime.now(UTC)).timestamp()
        self._ingest.contents.add(NewRecord(None, at, _INFO, text))

    # --- reading ----------------------------------------------------------------------------

    async def _read_to_end(self) -> None:
        """Read until no more lines can come, and name those that are missing."""
        while True:
            began, place = time.monotonic(), self._ingest.position
            error = await self._attempt()
            if error is None:
                if await self._was_the_end(began, place):
                    return
                if self.pod.over:
                    continue
            elif await self._gives_up(error):
                return
            elif self._ingest.position != place:
                self._ended_well = 0.0
            await self._attempts.wait(time.monotonic() - began)

    async def _attempt(self) -> Exception | None:
        """Wait for this log's turn and read one connection. Return its error, or None."""
        turn = await self._attempts.turn(self.pod.child.node or "")
        # Not before the turn, which may take as long as its node does not answer.
        self._intake.begin(whole=self.pod.over and _is_fresh(self._ended_well))
        try:
            await self._read_once(turn)
        except (KubeError, LogGoneError, UnclearError) as error:
            log.debug("the log of %s broke off: %s", self.pod.child.name, error)
            self._attempts.failed(error, turn)
            self._services.metrics.reconnects.inc()
            return error
        finally:
            turn.close()
        self._attempts.fine()
        self._refusals.reset()
        return None

    async def _gives_up(self, error: Exception) -> bool:
        """True if the log can't be read any more; then name the missing lines."""
        if isinstance(error, UnclearError | CantFollowError | EarlierRunError):
            return False
        whole = _is_fresh(self._ended_well)
        if await self._pod.is_gone(error):
            self._gone(error, whole=whole)
            return True
        if not (is_refusal(error) and self.pod.over):
            return False
        if whole:
            # The kubelet may remove an ended container long before its pod is gone.
            self._ended_well = time.monotonic()
        if not self._refusals.add(time.monotonic()):
            return False
        if whole:
            self._gone(error, whole=True)
        else:
            self._ingest.lose_tail("LogRefused", str(error))
        return True

    async def _was_the_end(self, began: float, place: LogPosition) -> bool:
        """True if the connection that ended cleanly proves that no more lines can come.

        A stream may end cleanly but too early, even in the middle of a line, so the end is certain
        only if one more reading brings nothing new.
        """
        tail, same = self._reader.splitter.rest(), self._ingest.position == place
        self._tail = last_line(self._tail, tail) if same else tail
        if self._ingest.done or (
            same and began >= self._pod.flushed_at(half_line=bool(self._tail))
        ):
            await self._intake.end(self._tail)
            return True
        # Either the container or only the connection has ended. If it was the container, one more
        # reading proves that no lines came after.
        well = self._intake.is_sure and not self._ingest.place_lost
        self._ended_well = time.monotonic() if well else 0.0
        if self._attempts.polls and not self.pod.over:
            self._attempts.polled(idle=same)
        elif await self._pod.is_over_or_restarts():
            await asyncio.sleep(
                max(0.0, self._pod.flushed_at(half_line=bool(self._tail)) - time.monotonic())
            )
            # An ended container writes nothing during this wait.
            self._ended_well = self._ended_well and time.monotonic()
        else:
            self._services.metrics.reconnects.inc()
        return False

    async def _read_once(self, turn: Attempt) -> None:
        """Read one connection, in a task of its own so that other tasks can cancel it.

        Raises:
            KubeError: The connection broke, or the server refused it.
            LogGoneError: The log no longer exists.
            UnclearError: Only a connection from the log's start is unambiguous.
            StaleError: Another process stores this stream's lines too.
        """
        end = self._end = StreamEnd(self._stop_reading)
        self._reading = asyncio.create_task(
            self._pump(turn, end), name=f"log {self.pod.child.name}"
        )
        try:
            await asyncio.wait({self._reading})
        finally:
            end.close()
            await tasks.cancel(self._reading)
        self._appender.check()
        if self._reading.cancelled():
            if self._ingest.done:
                return
            raise UnavailableError(503, "Silent", "the stream did not end with its container")
        await self._reading

    async def _pump(self, turn: Attempt, end: StreamEnd) -> None:
        ingest = self._ingest
        since = None if self._attempts.from_start else ingest.since
        self._attempts.from_start = False
        with end:
            await self._prepare(since, turn)
        place = ingest.position
        # Following takes one of the node's few inotify instances, so don't follow an ended one.
        lines = self._reader.read(
            since=since,
            follow=not (self.pod.over or self._attempts.polls),
            surely=ingest.surely,
            opened=partial(self._attempts.opened, turn),
        )
        async with aclosing(lines) as chunks:
            first = True  # this chunk is not awaited, but was written before
            async for some in chunks:
                if not first:
                    self._intake.clock.waited(some[0], end.quiet, time.time())
                first = False
                with end:
                    await self._intake.take(some)
                if ingest.position != place:
                    # Repetitions alone are no success: a log may break at the same place always.
                    self._attempts.fine()
                    self._refusals.reset()
                if ingest.done and self.pod.over:
                    return

    async def _prepare(self, since: int | None, turn: Attempt) -> None:
        """Take the rest of the container's earlier run, and find out where the present one is."""
        ingest = self._ingest
        if self._earlier.is_unread:
            self._earlier.name_older()
            reader = LogReader(self._services.kube, self._services.namespace, self.pod)
            await self._earlier.take(
                reader,
                since,
                opened=partial(self._attempts.opened, turn),
                store=partial(self._intake.store, look=False),
            )
            self._earlier.leave()
        if ingest.ahead and not await self._reader.has_line_at(ingest.ahead):
            ingest.set_back_rotated()

    def _gone(self, error: Exception, *, whole: bool) -> None:
        """Handle a log that no longer exists.

        Args:
            error: The error that says so.
            whole: True if the log was read to its end just before.
        """
        ingest = self._ingest
        if ingest.done:
            return
        if whole:
            ingest.take_rest(self._tail)
            self._intake.name_missing_end()
        elif ingest.position.stamp:
            ingest.lose_tail("PodGone", str(error))
        else:
            text = f"the pod was gone before its log could be read ({error})"
            ingest.lose(NewGap(None, None, text, "PodGone"))

    # --- storing ----------------------------------------------------------------------------

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _finalise(self) -> None:
        """Store the rest and the closing record, and finalise, in one transaction; then report it.

        Raises:
            StaleError: Another process stores this stream's lines too.
        """
        await self._appender.finish()
        ingest = self._ingest
        contents = ingest.contents
        if self._intake.is_numbered and self.pod.started and not contents.ended:
            job = self._job()
            now = datetime.now(UTC)
            contents.add(closing_record(self.pod, job, now=now, epoch=contents.epoch))
            contents.ended = True
        state = await self._appender.finalise()
        has_lines = self.pod.started and ingest.position.stamp > 0
        self._reporter.update(self.pod)  # a request may have told more than the watch so far
        await self._reporter.finalised(state, has_lines=has_lines)

    def _job(self) -> model.CoreJob | None:
        body = self._services.jobs.get(self.pod.child.corejob)
        return self._services.parse(body) if body is not None else None


def _is_fresh(ended: float) -> bool:
    return ended > 0.0 and time.monotonic() - ended < _STILL_FRESH_S
