"""Following one pod's log to its end, whatever breaks in between."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from corejob import clock, model
from corejob_journal.recorder import pods, protocol
from corejob_journal.recorder.attempts import Attempts
from corejob_journal.recorder.commits import Commits
from corejob_journal.recorder.cookies import CookieWriter
from corejob_journal.recorder.ending import closing_record
from corejob_journal.recorder.intake import ROTATED, ROTATED_UNREAD, Intake
from corejob_journal.recorder.lines import Line
from corejob_journal.recorder.metrics import Metrics
from corejob_journal.recorder.pods import JobPod
from corejob_journal.recorder.reading import (
    CantFollowError,
    LogGoneError,
    LogReader,
    UnclearError,
)
from corejob_journal.recorder.retries import Attempt, Retries
from corejob_journal.recorder.rotation import Rotation
from corejob_journal.recorder.status import StatusWriter
from corejob_journal.recorder.unreadable import REASON, Unreadable
from corejob_journal.store.bounds import Sources
from corejob_journal.store.records import (
    Append,
    LogState,
    NewGap,
    Operation,
    Position,
    Settle,
    Stored,
)
from corejob_kube import tasks
from corejob_kube.client import Kube
from corejob_kube.errors import InvalidError, KubeError, NotFoundError, UnavailableError
from corejob_kube.informer import Informer
from corejob_kube.resources import PODS

log = logging.getLogger(__name__)

_REFUSALS: Final = 8
"""So often the server may refuse the log of an ended container before it counts as lost."""
_STILL_FRESH_S: Final = 5.0
"""A log that ended in good order and is gone this soon after was read to its end."""
_END_WAIT_S: Final = 15.0
"""The kubelet ends a followed log within a second of the container's end; not so a dead
connection."""
_FLUSH_S: Final = 1.0
"""The container runtime may write a container's last lines after it has called it ended. A log that
is not known to be whole by itself is read once more, so long after we knew of the end."""
_FLUSH_HALF_S: Final = 5.0
"""The same, if what is there ends in the middle of a line."""
_VAIN_REREADS: Final = 3
_LOOK_S: Final = 1.0
"""While the store keeps a follower waiting it sees this often whether the log is rotated."""


class StaleError(Exception):
    """Somebody else stores this stream's lines as well: begin again from the store's position."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all followers share."""

    kube: Kube
    namespace: str
    jobs: Informer
    commits: Commits
    status: StatusWriter
    cookies: CookieWriter
    metrics: Metrics
    retries: Retries


class Follower:
    """One pod's log, from the store's position to the end, then settled."""

    def __init__(self, tools: Tools, pod: JobPod) -> None:
        self.pod = pod
        self._tools = tools
        self._name = pod.child.corejob
        self._trial = pod.child.trial
        self._reader = LogReader(tools.kube, tools.namespace, pod)
        self._reading: asyncio.Task[None] | None = None
        self._inflight: asyncio.Future[list[Stored]] | None = None
        self._failure: BaseException | None = None
        self._vain_rereads = 0
        self._resumed = False
        self._intake: Intake
        self._rotation = Rotation(time.time())
        self._refusals = 0
        self._sources = Sources()
        self._ended_well = 0.0
        self._telling: asyncio.Task[None] | None = None
        self._unreadable = Unreadable(self._tell_unreadable, told=self._was_unreadable())
        self._attempts = Attempts(tools.retries, self._unreadable, self._reader)
        # What came after the last line end of a connection that ended in good order.
        self._tail: list[Line] = []
        self._over_at: float | None = None

    def update(self, pod: JobPod) -> None:
        """The pod changed, or was seen for the last time."""
        was_over = self.pod.over
        self.pod = pod
        self._attempts.news.set()
        if not was_over and pod.over and self._reading is not None:
            # The runtime's last line is in: no need to wait for the kubelet to close the stream.
            delay = 0.0 if self._intake.done else _END_WAIT_S
            asyncio.get_running_loop().call_later(delay, self._reading.cancel)

    def vanished(self) -> None:
        """The pod is gone: the API server knows that without asking its node."""
        self._attempts.vanished()

    async def run(self) -> None:
        """Follow the log and settle it."""
        commits, source = self._tools.commits, self.pod.source
        # First of all: a kill waits for somebody to be reading.
        self._tell(None, complete=False)
        state = await commits.call(lambda writer: writer.open_stream(source))
        await self._tell_sources(state.job)
        if state.settled:
            await self._tell_whole_cookie()
            self._tell(None, complete=True, has_lines=state.position.stamp > 0)
            return
        self._resumed = state.position.stamp > 0
        self._intake = Intake(state)
        if not self._sources.names:
            # Those that a recorder of an earlier version told without storing them.
            self._intake.name_sources(self._told("sources") or ())
        try:
            if self.pod.started:
                await self._read_to_end()
            await self._settle()
        except asyncio.CancelledError:
            if self._inflight is None or self._inflight.done():
                self._send()  # what was read is committed before the process ends
            raise
        finally:
            self._attempts.close()
            if self._telling is not None:
                self._telling.cancel()
            self._tools.metrics.unreadable(self.pod.uid, unreadable=False)

    # --- reading ----------------------------------------------------------------------------

    async def _read_to_end(self) -> None:
        """Read until nothing more can come; what is missing then is named."""
        while True:
            began, place = time.monotonic(), self._intake.position
            self._begin(whole=self.pod.over and _is_fresh(self._ended_well))
            error = await self._attempt()
            if error is None:
                if await self._was_the_end(began, place):
                    return
                if self.pod.over:
                    continue
            elif await self._gives_up(error):
                return
            elif self._intake.position != place:
                self._ended_well = 0.0
            await self._attempts.wait(time.monotonic() - began)

    async def _attempt(self) -> Exception | None:
        """One connection, as soon as it is this log's turn; what went wrong."""
        turn = await self._attempts.turn(self.pod.child.node or "")
        try:
            await self._read_once(turn)
        except (KubeError, LogGoneError, UnclearError) as error:
            log.debug("the log of %s broke off: %s", self.pod.child.name, error)
            self._attempts.failed(error, turn)
            self._tools.metrics.reconnects.inc()
            return error
        finally:
            turn.close()
        self._attempts.fine()
        return None

    async def _gives_up(self, error: Exception) -> bool:
        """True if the log can't be read any more; what is missing then is named."""
        if isinstance(error, UnclearError | CantFollowError):
            return False
        if await self._is_gone(error):
            self._gone(error, whole=_is_fresh(self._ended_well))
            return True
        self._refusals += isinstance(error, InvalidError | NotFoundError) and self.pod.over
        if self._refusals >= _REFUSALS:
            self._intake.lose_tail("LogRefused", str(error))
            return True
        return False

    async def _was_the_end(self, began: float, place: Position) -> bool:
        """True if the connection that ended in good order has shown that nothing more can come.

        A stream may end in good order and yet too early, in the middle of a line even: it was the
        end if one more reading brings nothing new.
        """
        self._tail = self._reader.splitter.rest()
        if self._intake.done or (self._intake.position == place and began >= self._flushed_at()):
            await self._at_end()
            return True
        # The container has ended, or the connection did; if the former, one more reading shows
        # that nothing came after.
        self._ended_well = time.monotonic() if self._rotation.sure(time.time()) else 0.0
        if self._attempts.polls and not self.pod.over:
            self._attempts.polled(idle=self._intake.position == place)
        elif await self._is_over():
            await asyncio.sleep(max(0.0, self._flushed_at() - time.monotonic()))
            # Who has ended writes nothing meanwhile.
            self._ended_well = self._ended_well and time.monotonic()
        else:
            self._tools.metrics.reconnects.inc()
        return False

    def _begin(self, *, whole: bool) -> None:
        """Begin a connection.

        Args:
            whole: Whether the one before has read a file to its end, after which the container
                wrote nothing. If this connection reads another file, it follows that one.
        """
        now = time.time()
        self._rotation = self._rotation.again(now) if whole else Rotation(now)
        self._intake.resume(whole=whole)

    async def _read_once(self, turn: Attempt) -> None:
        """One connection, in a task of its own so that it can be ended from outside."""
        self._reading = asyncio.create_task(self._pump(turn), name=f"log {self.pod.child.name}")
        try:
            await asyncio.wait({self._reading})
        finally:
            await tasks.cancel(self._reading)
        if self._failure is not None:
            raise self._failure
        if self._reading.cancelled():
            if self._intake.done:
                return
            raise UnavailableError(503, "Silent", "the stream did not end with its container")
        await self._reading

    async def _pump(self, turn: Attempt) -> None:
        intake = self._intake
        since = None if self._attempts.from_start else intake.since
        self._attempts.from_start = False
        # To follow takes an inotify instance of the node, which has few; who has ended needs none.
        lines = self._reader.read(
            since=since,
            follow=not (self.pod.over or self._attempts.polls),
            surely=intake.surely,
            opened=partial(self._attempts.opened, turn),
        )
        async with aclosing(lines) as chunks:
            async for some in chunks:
                await self._take(some)
                if intake.done and self.pod.over:
                    return

    async def _take(self, lines: list[Line]) -> None:
        self._attempts.fine()
        if self._rotation.arrived(lines, time.time()):
            await self._look()
        if (missed := self._rotation.missed(lines)) is not None:
            await self._take_in(lines[:missed])
            self._intake.lose_tail("Rotated", ROTATED_UNREAD)
            lines = lines[missed:]
        await self._take_in(lines)
        self._pass_on()
        self._send()
        while self._intake.full and self._inflight is not None:
            await asyncio.wait({self._inflight}, timeout=_LOOK_S)
            if self._rotation.due(time.time()):
                await self._look()
            self._send()

    async def _take_in(self, lines: list[Line]) -> None:
        start = 0
        while (start := self._intake.take(lines, start)) < len(lines):
            await self._clear_up(lines[start])

    async def _clear_up(self, line: Line) -> None:
        """Find out why a line is not the one that had to come."""
        intake = self._intake
        if not intake.goes_back(line):
            await self._reread(line)
        elif await self._was_taken(line):
            intake.read_anew()
        else:
            intake.go_back()

    async def _was_taken(self, line: Line) -> bool:
        """Whether a line that goes back is a repetition, and not of a clock that was set back."""
        number = protocol.parse(line.body).n
        if number:
            return number <= self._intake.last_n
        first = await self._first_entry()
        # The kubelet begins the newest file anew; by now there may be one that is newer still.
        return first is not None and (
            first[0] == line.stamp or first[0] > self._intake.position.stamp
        )

    async def _look(self) -> None:
        """Look at the newest file of the log; numbered lines tell by themselves what is missing."""
        if not self._numbered:
            now = time.time()
            self._rotation.looked(await self._first_entry(), self._intake.position.stamp, now)

    @property
    def _numbered(self) -> bool:
        return self.pod.core4 or self._intake.numbered

    async def _first_entry(self) -> tuple[int, bytes] | None:
        try:
            return await self._reader.first_entry()
        except KubeError as error:
            log.debug("no look at the log of %s: %s", self.pod.child.name, error)
            return None

    async def _reread(self, line: Line) -> None:
        """Numbers are missing before this line: look in the whole log, then name them."""
        number = protocol.parse(line.body).n
        before = self._intake.last_n
        if self._vain_rereads < _VAIN_REREADS:
            reader = LogReader(self._tools.kube, self._tools.namespace, self.pod)
            try:
                everything = reader.read(since=None, follow=False, surely=self._intake.surely)
                async with aclosing(everything) as chunks:
                    async for lines in chunks:
                        self._intake.fill(lines, number)
            except (KubeError, LogGoneError) as error:
                log.debug("no second reading of %s: %s", self.pod.child.name, error)
            self._vain_rereads = 0 if self._intake.last_n > before else self._vain_rereads + 1
        self._intake.jump(number)

    def _gone(self, error: Exception, *, whole: bool) -> None:
        """There is no log any more.

        Args:
            error: Who says so.
            whole: Whether it was read to its end just before.
        """
        intake = self._intake
        if intake.done:
            return
        if whole:
            intake.take_rest(self._tail)
            self._name_open_end()
        elif intake.position.stamp:
            intake.lose_tail("PodGone", str(error))
        else:
            text = f"the pod was gone before its log could be read ({error})"
            intake.lose(NewGap(None, None, text, "PodGone"))

    async def _at_end(self) -> None:
        """The log was read to its end."""
        if self._tail:
            await self._take(self._tail)
        if self._intake.place_lost and not self._intake.done:
            self._intake.lose_tail("Rotated", ROTATED)
        else:
            self._name_open_end()

    def _name_open_end(self) -> None:
        if self._rotation.open_end:
            self._intake.lose_tail("Rotated", ROTATED_UNREAD)

    def _flushed_at(self) -> float:
        """When all that the container wrote is in its log: monotonic time; not while it runs."""
        if not self.pod.over:
            return math.inf
        if self._over_at is None:
            self._over_at = time.monotonic()
        return self._over_at + (_FLUSH_HALF_S if self._tail else _FLUSH_S)

    async def _is_over(self) -> bool:
        """Whether the container has ended, by the API server if the watch doesn't know yet."""
        if not self.pod.over:
            with contextlib.suppress(KubeError):
                await self._ask()
        return self.pod.over

    async def _is_gone(self, error: Exception) -> bool:
        """Whether there is no log any more. A kubelet that has just started knows no pod yet."""
        if not isinstance(error, NotFoundError):
            return isinstance(error, LogGoneError)
        try:
            return not await self._ask()
        except NotFoundError:
            return True
        except KubeError:
            return False

    async def _ask(self) -> bool:
        """Ask the API server for the pod; False if there is another one of its name.

        Raises:
            KubeError: There is none, or no answer.
        """
        body = await self._tools.kube.get(PODS, self._tools.namespace, self.pod.child.name)
        pod = pods.parse(body)
        if pod is None or pod.uid != self.pod.uid:
            return False
        self.pod = pod
        return True

    # --- storing ----------------------------------------------------------------------------

    def _send(self) -> None:
        """Hand to the store what was taken; one hand-over at a time, the rest gathers meanwhile."""
        if self._inflight is not None:
            if not self._inflight.done():
                return
            self._inflight = None
        appends = self._intake.flush()
        if appends:
            self._inflight = self._tools.commits.submit(appends)
            self._inflight.add_done_callback(partial(self._sent, appends))

    def _sent(self, appends: list[Append], future: "asyncio.Future[list[Stored]]") -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None and any(stored.stale for stored in future.result()):
            error = StaleError(self.pod.child.name)
        if error is None:
            self._tell_stored(future.result())
            self._send()
            return
        self._failure = error
        if self._reading is not None:
            self._reading.cancel()

    async def _settle(self) -> None:
        """Store the rest, the closing record and the end in one transaction; then say so."""
        while self._inflight is not None and not self._inflight.done():
            await asyncio.wait({self._inflight})
            await asyncio.sleep(0)  # `_sent` may have handed over more
        if self._failure is not None:
            raise self._failure
        intake = self._intake
        if self._numbered and self.pod.started and not (intake.ended or intake.done):
            job = self._job()
            now = datetime.now(UTC)
            intake.add(closing_record(self.pod, job, now=now, epoch=intake.epoch))
            intake.ended = True
        appends = intake.flush()
        operations: list[Operation] = [*appends, Settle(intake.stream)]
        stored = await self._tools.commits.submit(operations)
        if any(answer.stale for answer in stored):
            raise StaleError(self.pod.child.name)
        self._tell_stored(stored)
        if self._telling is not None:
            await tasks.cancel(self._telling)  # what it tells is of before the end
        # Before the log counts as settled: who starts the next one then finds its cookie.
        if self._resumed:
            await self._tell_whole_cookie()
        else:
            await self._tools.cookies.flushed(self.pod.source.qual_name)
        state = stored[-1].state
        self._tell(state, complete=True, has_lines=intake.position.stamp > 0)
        if state is not None and state.lost:
            self._tools.metrics.lost.inc()
            log.warning("%s trial %d: %s", self._name, self._trial, state.message)

    def _tell(self, state: LogState | None, *, complete: bool, has_lines: bool = False) -> None:
        """Say how far the log has come; one that never started is no trial to the operator."""
        if self.pod.started:
            self._tools.status.log(
                self._name, self._trial, state, complete=complete, has_lines=has_lines
            )

    def _was_unreadable(self) -> bool:
        """True if the CoreJob says so: by this process, or by one before it."""
        return (self._told("log") or {}).get("reason") == REASON

    def _told(self, field: str) -> Any:
        """A field of the CoreJob's status."""
        return ((self._tools.jobs.get(self._name) or {}).get("status") or {}).get(field)

    def _tell_unreadable(self, words: str | None) -> None:
        self._tools.metrics.unreadable(self.pod.uid, unreadable=words is not None)
        if words is not None and self._tools.retries.trouble(self.pod.child.node or "") is None:
            log.warning("%s trial %d: %s", self._name, self._trial, words)
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self._tell_state(words), name=f"tell {self._name}")
        self._telling.add_done_callback(tasks.log_failure)

    async def _tell_state(self, words: str | None) -> None:
        """Say that the log can't be read, beside what is missing of it."""
        job_id = self.pod.source.job_id
        state = await self._tools.commits.call(lambda writer: writer.log_state(job_id))
        if state is not None and words is not None:
            message = f"{state.message}; {words}" if state.message else words
            state = replace(state, reason=REASON, message=message)
        if self._unreadable.told == (words is not None):
            self._tell(state, complete=False)

    def _tell_stored(self, answers: Sequence[Stored]) -> None:
        """Cookies and sources go on once the store has them."""
        changes: list[tuple[str, Any]] = []
        for answer in answers:
            changes += answer.cookies or ()
            # Stored by a commit whose answer was lost: what of it was kept, the store knows.
            self._resumed = self._resumed or answer.cookies is None
            if answer.sources is not None:
                self._tools.status.sources(self._name, answer.sources)
        self._tools.cookies.put(self.pod.source.qual_name, changes)

    async def _tell_sources(self, job: int) -> None:
        """Whoever read this log before may have died before it told what it had stored."""
        self._sources = await self._tools.commits.call(lambda writer: writer.sources(job))
        if self._sources.names:
            self._tools.status.sources(self._name, self._sources)

    async def _tell_whole_cookie(self) -> None:
        """Whoever read this log before may have died before it told what it had stored."""
        await self._tools.cookies.tell_all(self.pod.source.qual_name)

    def _job(self) -> model.CoreJob | None:
        body = self._tools.jobs.get(self._name)
        return model.parse(body) if body is not None else None

    def _pass_on(self) -> None:
        """Progress goes to the CoreJob's status."""
        intake, status = self._intake, self._tools.status
        progress: Any = intake.progress
        if progress is not None:
            intake.progress = None
            at = clock.from_epoch(progress.time or time.time())
            status.progress(self._name, self._trial, progress.value, progress.message, at)


def _is_fresh(ended: float) -> bool:
    return ended > 0.0 and time.monotonic() - ended < _STILL_FRESH_S
