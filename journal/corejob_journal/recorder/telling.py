"""What a follower tells the CoreJob and its template of the log that it reads."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from corejob import clock
from corejob_journal.recorder import protocol
from corejob_journal.recorder.pods import JobPod
from corejob_journal.recorder.tools import Tools
from corejob_journal.recorder.unreadable import REASON, Unreadable
from corejob_journal.store.bounds import Sources
from corejob_journal.store.records import LogState, Stored
from corejob_kube import tasks

log = logging.getLogger(__name__)


class Teller:
    """Tells of one trial's log.

    Attributes:
        unreadable: Whether the log can be read.
        unsure: True if the template may lack changes of the cookie that are stored.
    """

    def __init__(self, tools: Tools, pod: JobPod) -> None:
        self._tools = tools
        self._name = pod.child.corejob
        self._trial = pod.child.trial
        self._node = pod.child.node or ""
        self._source = pod.source
        self._uid = pod.uid
        self._has_log = pod.has_log
        self._telling: asyncio.Task[None] | None = None
        self.unsure = False
        told = (self.told("log") or {}).get("reason") == REASON
        self.unreadable = Unreadable(self._tell_unreadable, told=told)

    def update(self, pod: JobPod) -> None:
        """The pod changed."""
        self._has_log = self._has_log or pod.has_log

    def told(self, field: str) -> Any:
        """A field of the CoreJob's status."""
        return ((self._tools.jobs.get(self._name) or {}).get("status") or {}).get(field)

    def log(self, state: LogState | None, *, complete: bool, has_lines: bool = False) -> None:
        """Say how far the log has come; one that never started is no trial to the operator."""
        if self._has_log:
            self._tools.status.log(
                self._name, self._trial, state, complete=complete, has_lines=has_lines
            )

    def progress(self, progress: protocol.Progress) -> None:
        """Say how far the job has come."""
        at = clock.from_epoch(progress.time or time.time())
        value, message = progress.value, progress.message
        self._tools.status.progress(self._name, self._trial, value, message, at)

    def stored(self, answers: Sequence[Stored]) -> None:
        """Cookies and sources go on once the store has them."""
        changes: list[tuple[str, Any]] = []
        for answer in answers:
            changes += answer.cookies or ()
            # Stored by a commit whose answer was lost: what of it was kept, the store knows.
            self.unsure = self.unsure or answer.cookies is None
            if answer.sources is not None:
                self._tools.status.sources(self._name, answer.sources)
        self._tools.cookies.put(self._source.qual_name, changes)

    async def sources(self, job: int) -> Sources:
        """Tell what a process before this one may have stored and not told."""
        kept = await self._tools.commits.call(lambda writer: writer.sources(job))
        if kept.names:
            self._tools.status.sources(self._name, kept)
        return kept

    async def cookie(self) -> None:
        """Wait until the template has all that is stored of the cookie."""
        name = self._source.qual_name
        if self.unsure:
            await self._tools.cookies.tell_all(name)
        else:
            await self._tools.cookies.flushed(name)

    async def settled(self, state: LogState | None, *, has_lines: bool) -> None:
        """Say that the log is at its end, and whether the job's container has written a line."""
        if self._telling is not None:
            await tasks.cancel(self._telling)  # what it tells is of before the end
        # Before the log counts as settled: who starts the next one then finds its cookie.
        await self.cookie()
        self.log(state, complete=True, has_lines=has_lines)
        if state is not None and state.lost:
            self._tools.metrics.lost.inc()
            log.warning("%s trial %d: %s", self._name, self._trial, state.message)

    def close(self) -> None:
        """Say no more."""
        if self._telling is not None:
            self._telling.cancel()
        self._tools.metrics.unreadable(self._uid, unreadable=False)

    def _tell_unreadable(self, words: str | None) -> None:
        self._tools.metrics.unreadable(self._uid, unreadable=words is not None)
        if words is not None and self._tools.retries.trouble(self._node) is None:
            log.warning("%s trial %d: %s", self._name, self._trial, words)
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self._tell_state(words), name=f"tell {self._name}")
        self._telling.add_done_callback(tasks.log_failure)

    async def _tell_state(self, words: str | None) -> None:
        """Say that the log can't be read, beside what is missing of it."""
        job_id = self._source.job_id
        state = await self._tools.commits.call(lambda writer: writer.log_state(job_id))
        if state is not None and words is not None:
            message = f"{state.message}; {words}" if state.message else words
            state = replace(state, reason=REASON, message=message)
        if self.unreadable.told == (words is not None):
            self.log(state, complete=False)
