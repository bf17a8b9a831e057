"""Take what the connections to one log bring: notice left-out files, store, wait for the store."""

import logging
import time
from typing import Final

from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.followed_pod import FollowedPod
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.log_appender import LogAppender
from corejob_journal.recorder.ingest.log_ingest import ROTATED, ROTATED_UNREAD, LogIngest
from corejob_journal.recorder.ingest.log_status import LogStatusReporter
from corejob_journal.recorder.ingest.retries import Retries
from corejob_journal.recorder.ingest.rotation import NodeClock, Rotation
from corejob_journal.store.records import NewRecord
from corejob_kube.errors import KubeError

log = logging.getLogger(__name__)

_WARNING: Final = 30
_LOOK_S: Final = 1.0
"""Seconds between checks for log rotation while a follower waits for the store."""
_GATHER_S: Final = 0.02
"""Seconds for which lines gather unread, at most: a transaction and its pause take less."""


class LogIntake:
    """Takes the lines of one log, in their order.

    Args:
        pod: The pod.
        ingest: The lines of the log.
        sequence: Takes the lines into `ingest`.
        appender: Stores them.
        reporter: Reports the progress that they contain.
        retries: The common rate limit.

    Attributes:
        clock: The clock of the pod's node.
    """

    def __init__(
        self,
        pod: FollowedPod,
        ingest: LogIngest,
        sequence: LineSequence,
        appender: LogAppender,
        reporter: LogStatusReporter,
        retries: Retries,
    ) -> None:
        self._pod = pod
        self._ingest = ingest
        self._sequence = sequence
        self._appender = appender
        self._reporter = reporter
        self._retries = retries
        self.clock = NodeClock()
        self._rotation = Rotation(time.time(), self.clock)

    @property
    def is_numbered(self) -> bool:
        """True if the lines have numbers, which show what is missing."""
        return self._pod.newest.core4 or self._ingest.numbered

    @property
    def is_sure(self) -> bool:
        """True if at most one unknown file can have begun."""
        return self._rotation.sure(time.time())

    def begin(self, *, whole: bool) -> None:
        """Prepare a new connection.

        Args:
            whole: True if the previous connection has read a file to its end, and the container has
                written nothing since. If this connection reads another file, it directly follows.
        """
        now = time.time()
        self._rotation = self._rotation.again(now) if whole else Rotation(now, self.clock)
        self._ingest.resume(whole=whole)

    async def take(self, lines: list[LogLine]) -> None:
        """Take lines and store them; wait for the store if that is too much."""
        if self._rotation.arrived(lines, time.time()):
            await self._look()
        if (missed := self._rotation.missed(lines)) is not None:
            await self._sequence.take(lines[:missed])
            self._ingest.lose_tail("Rotated", ROTATED_UNREAD)
            lines = lines[missed:]
        await self._sequence.take(lines)
        await self.store(look=True)

    async def store(self, *, look: bool) -> None:
        """Submit what was taken; wait for the store if that is too much.

        Args:
            look: True to check for log rotation during the wait.
        """
        self._pass_on()
        self._appender.send()
        if self._appender.is_busy:
            # Lines that arrive now have to wait anyway, and cost less if they are read together.
            await self._appender.wait(_GATHER_S)
        look = look and not self.is_numbered
        while self._appender.is_full:
            await self._appender.wait(_LOOK_S)
            if look and self._appender.is_busy and self._rotation.due(time.time()):
                # While the store is away, all full logs look, so they share the rate of retries.
                await self._appender.wait(self._retries.slot())
                await self._look()
            self._appender.send()

    async def end(self, tail: list[LogLine]) -> None:
        """Handle the end of the log, after the text `tail` without a line end."""
        if tail:
            await self.take(tail)
        if self._ingest.place_lost and not self._ingest.done:
            self._ingest.lose_tail("Rotated", ROTATED)
        else:
            self.name_missing_end()

    def name_missing_end(self) -> None:
        """Name the missing lines if the last file was not read, or the last number did not come."""
        pod, ingest = self._pod.newest, self._ingest
        message = pod.child.termination_message
        last = protocol.last_number(message) if self.is_numbered else None
        if self._rotation.open_end:
            ingest.lose_tail("Rotated", ROTATED_UNREAD)
        elif last is None or ingest.done:
            return
        elif pod.restarts:
            # The last number that came may be one of the container's earlier run.
            ingest.lose_tail("Truncated", f"the container reported {last} lines")
        else:
            ingest.end_at(last)

    async def _look(self) -> None:
        """Check the first entry of the log's newest file, unless numbers show what is missing."""
        if not self.is_numbered:
            now = time.time()
            try:
                first = await self._sequence.first_entry()
            except KubeError as error:
                log.debug("no look at the log of %s: %s", self._pod.newest.child.name, error)
                self._rotation.failed(now)
            else:
                self._rotation.looked(first, self._ingest.position.stamp, now)

    def _pass_on(self) -> None:
        """Pass the latest progress on to the CoreJob's status."""
        contents = self._ingest.contents
        progress, contents.progress = contents.progress, None
        if progress is None:
            return
        try:
            self._reporter.progress(progress)
        except Exception:
            # The follower would read the same line again, and fail again, for ever.
            log.exception("the progress of %s can't be reported", self._pod.newest.child.corejob)
            text = f"a progress can't be reported: {progress.value} {progress.message or ''}"
            contents.add(NewRecord(None, progress.time, _WARNING, text.rstrip()))
