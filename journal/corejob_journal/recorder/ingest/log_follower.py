"""Follow one pod's log to its end, across broken connections.

`line_sequence` takes the lines in, `log_appender` stores them, and `followed_pod` tells if the
container has ended.
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
from corejob_journal.recorder.ingest.followed_pod import FollowedPod
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.log_appender import LogAppender
from corejob_journal.recorder.ingest.log_ingest import ROTATED, ROTATED_UNREAD, LogIngest
from corejob_journal.recorder.ingest.log_status import LogStatusReporter
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.reading import (
    CantFollowError,
    LogGoneError,
    LogReader,
    UnclearError,
)
from corejob_journal.recorder.ingest.retries import Attempt
from corejob_journal.recorder.ingest.rotation import Rotation
from corejob_journal.recorder.ingest.services import FollowerServices
from corejob_journal.store import ForeignJobError
from corejob_journal.store.records import (
    LogPosition,
    NewGap,
    NewRecord,
    StreamState,
    foreign,
)
from corejob_kube.errors import InvalidError, KubeError, NotFoundError, UnavailableError
from corejob_process import tasks

log = logging.getLogger(__name__)

_REFUSALS: Final = 8
"""Number of times that the log of an ended container may be refused before it counts as lost."""
_STILL_FRESH_S: Final = 5.0
"""Seconds within which a log that is gone after a clean end of its stream counts as complete."""
_END_WAIT_S: Final = 15.0
"""Seconds from the container's end until an open stream is cancelled.

The kubelet ends a followed log within a second of the container's end; a dead connection never
ends.
"""
_NO_FILE: Final = "no such file or directory"
"""Error text for the log file of a container that never started or was cleaned up."""
_INFO: Final = 20
_LOOK_S: Final = 1.0
"""Seconds between checks for log rotation while a follower waits for the store."""
_GATHER_S: Final = 0.02
"""Seconds for which lines gather unread, at most: a transaction and its pause take less."""


class LogFollower:
    """Follows one pod's log from the store's position to its end, and settles it."""

    def __init__(self, services: FollowerServices, pod: JobPod, owner: str) -> None:
        self._pod = FollowedPod(services.kube, services.namespace, pod)
        self._owner = owner
        self._services = services
        self._reader = LogReader(services.kube, services.namespace, pod)
        self._reading: asyncio.Task[None] | None = None
        self._ingest: LogIngest
        self._appender: LogAppender
        self._sequence: LineSequence
        self._rotation = Rotation(time.time())
        self._refusals = 0
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
        if not was_over and pod.over and self._reading is not None:
            # After the runtime's `done` line there is no need to wait for the end of the stream.
            delay = 0.0 if self._ingest.done else _END_WAIT_S
            asyncio.get_running_loop().call_later(delay, self._reading.cancel)

    def vanished(self) -> None:
        """Handle the pod's deletion: don't wait, since the API server answers without the node."""
        self._attempts.vanished()

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
        self._ingest = LogIngest(state)
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
        if not sources.names:
            # Earlier versions wrote sources into the status without storing them.
            self._ingest.name_sources(self._reporter.status_field("sources") or ())
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
        self._ingest.add(NewRecord(None, at, _INFO, text))

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
        self._begin(whole=self.pod.over and _is_fresh(self._ended_well))
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
        return None

    async def _gives_up(self, error: Exception) -> bool:
        """True if the log can't be read any more; then name the missing lines."""
        if isinstance(error, UnclearError | CantFollowError):
            return False
        if await self._pod.is_gone(error):
            self._gone(error, whole=_is_fresh(self._ended_well))
            return True
        refused = isinstance(error, InvalidError | NotFoundError) or _NO_FILE in str(error)
        self._refusals += refused and self.pod.over
        if self._refusals >= _REFUSALS:
            self._ingest.lose_tail("LogRefused", str(error))
            return True
        return False

    async def _was_the_end(self, began: float, place: LogPosition) -> bool:
        """True if the connection that ended cleanly proves that no more lines can come.

        A stream may end cleanly but too early, even in the middle of a line, so the end is certain
        only if one more reading brings nothing new.
        """
        self._tail = self._reader.splitter.rest()
        if self._ingest.done or (
            self._ingest.position == place
            and began >= self._pod.flushed_at(half_line=bool(self._tail))
        ):
            await self._at_end()
            return True
        # Either the container or only the connection has ended. If it was the container, one more
        # reading proves that no lines came after.
        self._ended_well = time.monotonic() if self._rotation.sure(time.time()) else 0.0
        if self._attempts.polls and not self.pod.over:
            self._attempts.polled(idle=self._ingest.position == place)
        elif await self._pod.is_over_or_restarts():
            await asyncio.sleep(
                max(0.0, self._pod.flushed_at(half_line=bool(self._tail)) - time.monotonic())
            )
            # An ended container writes nothing during this wait.
            self._ended_well = self._ended_well and time.monotonic()
        else:
            self._services.metrics.reconnects.inc()
        return False

    def _begin(self, *, whole: bool) -> None:
        """Prepare a new connection.

        Args:
            whole: True if the previous connection has read a file to its end, and the container has
                written nothing since. If this connection reads another file, it directly follows.
        """
        now = time.time()
        self._rotation = self._rotation.again(now) if whole else Rotation(now)
        self._ingest.resume(whole=whole)

    async def _read_once(self, turn: Attempt) -> None:
        """Read one connection, in a task of its own so that other tasks can cancel it.

        Raises:
            KubeError: The connection broke, or the server refused it.
            LogGoneError: The log no longer exists.
            UnclearError: Only a connection from the log's start is unambiguous.
            StaleError: Another process stores this stream's lines too.
        """
        self._reading = asyncio.create_task(self._pump(turn), name=f"log {self.pod.child.name}")
        try:
            await asyncio.wait({self._reading})
        finally:
            await tasks.cancel(self._reading)
        self._appender.check()
        if self._reading.cancelled():
            if self._ingest.done:
                return
            raise UnavailableError(503, "Silent", "the stream did not end with its container")
        await self._reading

    async def _pump(self, turn: Attempt) -> None:
        ingest = self._ingest
        since = None if self._attempts.from_start else ingest.since
        self._attempts.from_start = False
        if self._is_behind_a_restart():
            await self._take_previous(since)
        # Following takes one of the node's few inotify instances, so don't follow an ended one.
        lines = self._reader.read(
            since=since,
            follow=not (self.pod.over or self._attempts.polls),
            surely=ingest.surely,
            opened=partial(self._attempts.opened, turn),
        )
        async with aclosing(lines) as chunks:
            async for some in chunks:
                await self._take(some)
                if ingest.done and self.pod.over:
                    return

    def _is_behind_a_restart(self) -> bool:
        """True if lines of an earlier run of the container may be missing."""
        began = self.pod.child.started_at
        if not self.pod.restarts or began is None:
            return False
        # The kubelet reports the start of a run with a precision of a second.
        return self._ingest.position.stamp < (began.timestamp() + 1) * 1e9

    async def _take_previous(self, since: int | None) -> None:
        """Take the new lines of the container's previous run; the kubelet has no earlier ones.

        The logs of both runs are one sequence, so repetitions are recognised as within one log.
        """
        ingest = self._ingest
        if self.pod.restarts > 1 and not ingest.position.stamp:
            runs = f"{self.pod.restarts - 1} runs" if self.pod.restarts > 2 else "run"
            text = f"the log of the first {runs} of the container is gone: it was restarted"
            ingest.lose(NewGap(None, None, text, "Restarted"))
        reader = LogReader(self._services.kube, self._services.namespace, self.pod)
        lines = reader.read(since=since, follow=False, surely=ingest.surely, previous=True)
        try:
            async with aclosing(lines) as chunks:
                async for some in chunks:
                    await self._sequence.take(some)
                    await self._store(look=False)
        except (InvalidError, NotFoundError, LogGoneError) as error:
            ingest.lose_tail("Restarted", f"the container was restarted, and {error}")
            return
        await self._sequence.take(reader.splitter.rest())

    async def _take(self, lines: list[LogLine]) -> None:
        self._attempts.fine()
        if self._rotation.arrived(lines, time.time()):
            await self._look()
        if (missed := self._rotation.missed(lines)) is not None:
            await self._sequence.take(lines[:missed])
            self._ingest.lose_tail("Rotated", ROTATED_UNREAD)
            lines = lines[missed:]
        await self._sequence.take(lines)
        await self._store(look=True)

    async def _store(self, *, look: bool) -> None:
        """Submit what was taken; wait for the store if that is too much.

        Args:
            look: True to check for log rotation during the wait.
        """
        self._pass_on()
        self._appender.send()
        if self._appender.is_busy:
            # Lines that arrive now have to wait anyway, and cost less if they are read together.
            await self._appender.wait(_GATHER_S)
        while self._appender.is_full:
            await self._appender.wait(_LOOK_S)
            if look and self._rotation.due(time.time()):
                await self._look()
            self._appender.send()

    async def _look(self) -> None:
        """Check the first entry of the log's newest file, unless numbers show what is missing."""
        if not self._numbered:
            now = time.time()
            self._rotation.looked(
                await self._sequence.first_entry(), self._ingest.position.stamp, now
            )

    @property
    def _numbered(self) -> bool:
        return self.pod.core4 or self._ingest.numbered

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
            self._name_open_end()
        elif ingest.position.stamp:
            ingest.lose_tail("PodGone", str(error))
        else:
            text = f"the pod was gone before its log could be read ({error})"
            ingest.lose(NewGap(None, None, text, "PodGone"))

    async def _at_end(self) -> None:
        """Handle the end of the log."""
        if self._tail:
            await self._take(self._tail)
        if self._ingest.place_lost and not self._ingest.done:
            self._ingest.lose_tail("Rotated", ROTATED)
        else:
            self._name_open_end()

    def _name_open_end(self) -> None:
        if self._rotation.open_end:
            self._ingest.lose_tail("Rotated", ROTATED_UNREAD)

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
        if self._numbered and self.pod.started and not (ingest.ended or ingest.done):
            job = self._job()
            now = datetime.now(UTC)
            ingest.add(closing_record(self.pod, job, now=now, epoch=ingest.epoch))
            ingest.ended = True
        state = await self._appender.finalise()
        has_lines = self.pod.started and ingest.position.stamp > 0
        await self._reporter.finalised(state, has_lines=has_lines)

    def _job(self) -> model.CoreJob | None:
        body = self._services.jobs.get(self.pod.child.corejob)
        return self._services.parse(body) if body is not None else None

    def _pass_on(self) -> None:
        """Pass the latest progress on to the CoreJob's status."""
        progress, self._ingest.progress = self._ingest.progress, None
        if progress is not None:
            self._reporter.progress(progress)


def _is_fresh(ended: float) -> bool:
    return ended > 0.0 and time.monotonic() - ended < _STILL_FRESH_S
