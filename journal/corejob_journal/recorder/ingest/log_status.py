"""Report the state of a log that is followed to its CoreJob and its CoreJobTemplate."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from corejob import timestamps
from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.services import FollowerServices
from corejob_journal.recorder.ingest.unreadable import REASON, Unreadable
from corejob_journal.store.bounds import Sources
from corejob_journal.store.records import LogState, OperationResult
from corejob_process import tasks

log = logging.getLogger(__name__)


class LogStatusReporter:
    """Reports the state of one trial's log.

    Attributes:
        unreadable: Reports that the log can't be read.
        unsure: True if the template may lack stored changes of the cookie.
    """

    def __init__(
        self,
        services: FollowerServices,
        pod: JobPod,
        *,
        is_own: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin to report.

        Args:
            services: The services of all followers.
            pod: The pod of the trial.
            is_own: Returns False if nothing is to be written: the pod may not be the CoreJob's,
                or its follower reports.
        """
        self._is_own = is_own
        self._services = services
        self._name = pod.child.corejob
        self._trial = pod.child.trial
        self._node = pod.child.node or ""
        self._source = pod.source
        self._uid = pod.uid
        self._has_log = pod.has_log
        self._leaving = pod.child.deleting
        self._reporting: asyncio.Task[None] | None = None
        self._finalised = False
        self.unsure = False
        reported = (self.status_field("log") or {}).get("reason") == REASON
        reported = reported or services.failing.is_reported(pod.uid)
        self.unreadable = Unreadable(
            self._report_unreadable,
            reported=reported,
            held=lambda: services.failing.holds(pod.uid),
        )

    def update(self, pod: JobPod) -> None:
        """Handle a change of the pod."""
        self._has_log = self._has_log or pod.has_log
        self._leaving = self._leaving or pod.child.deleting

    def status_field(self, field: str) -> Any:
        """Return a field of the CoreJob's status as it will be written next; None if not set."""
        body = self._services.status.overlay(self._services.jobs.get(self._name) or {})
        return (body.get("status") or {}).get(field)

    def attached(self) -> None:
        """Report that the log is read from now on; a kill waits for that."""
        if self._has_log:
            self._services.status.attached(self._name, self._trial)

    def log(
        self,
        state: LogState | None,
        *,
        complete: bool,
        has_lines: bool = False,
        urgent: bool = True,
    ) -> None:
        """Report the state of the log, unless the container never started and so has no log."""
        if self._has_log:
            self._services.status.log(
                self._name,
                self._trial,
                state,
                complete=complete,
                has_lines=has_lines,
                urgent=urgent,
            )

    def progress(self, progress: protocol.ProgressEvent) -> None:
        """Report the job's progress."""
        at = timestamps.from_epoch(progress.time or time.time())
        value, message = progress.value, progress.message
        self._services.status.progress(self._name, self._trial, value, message, at)

    def works(self) -> None:
        """Handle that the log is followed without the failure of a follower before."""
        if self._services.failing.forget(self._uid):
            self.unreadable.fine()

    def stored(self, answers: Sequence[OperationResult]) -> None:
        """Report cookies and sources, once they are stored."""
        self.works()
        changes: list[tuple[str, Any]] = []
        for answer in answers:
            changes += answer.cookies or ()
            # The answer of an earlier commit was lost, so re-read from the store what it kept.
            self.unsure = self.unsure or answer.cookies is None
            if answer.sources is not None:
                self._services.status.sources(self._name, answer.sources)
        self._services.cookies.put(self._source.qual_name, changes)

    def sources(self, sources: Sources) -> None:
        """Report the stored sources, which an earlier process may not have done."""
        if sources.names:
            self._services.status.sources(self._name, sources)

    async def cookie(self) -> None:
        """Wait until the template has the whole stored cookie."""
        name = self._source.qual_name
        if self.unsure:
            await self._services.cookies.published(name)
        else:
            await self._services.cookies.flushed(name)

    async def finalised(self, state: LogState | None, *, has_lines: bool) -> None:
        """Report that the log is finalised.

        Args:
            state: The state of the job's log.
            has_lines: True if the job's container has written a line.
        """
        # A report from now on, while the cookie is waited for, would take the end back.
        self._finalised = True
        if self._reporting is not None:
            await tasks.cancel(self._reporting)  # its state is older than the end
        # The cookie first, so that the job that starts after the log is finalised gets it.
        await self.cookie()
        # The deletion of a pod waits for the log, so that is not delayed.
        self.log(state, complete=True, has_lines=has_lines, urgent=self._leaving)
        if state is not None and state.lost:
            self._services.metrics.lost.inc()
            log.warning("%s trial %d: %s", self._name, self._trial, state.message)

    def close(self) -> None:
        """Stop reporting."""
        if self._reporting is not None:
            self._reporting.cancel()
        if not self._services.failing.holds(self._uid):
            self._services.metrics.unreadable(self._uid, unreadable=False)

    def _report_unreadable(self, problem: str | None) -> None:
        if self._finalised:
            return
        self._services.metrics.unreadable(self._uid, unreadable=problem is not None)
        if problem is not None and self._services.retries.problem(self._node) is None:
            log.warning("%s trial %d: %s", self._name, self._trial, problem)
        if self._reporting is not None:
            self._reporting.cancel()
        if not self._is_own():
            return
        self._reporting = asyncio.create_task(
            self._report_state(problem), name=f"report {self._name}"
        )
        self._reporting.add_done_callback(tasks.log_failure)

    async def _report_state(self, problem: str | None) -> None:
        """Report that the log can't be read (or can again, if None), with its missing lines."""
        job_id = self._source.job_id
        state = await self._services.commits.call(lambda writer: writer.log_state(job_id))
        if state is None:  # nothing could be read so far
            state = LogState(0, 0, 0, 0, lost=False, reason=None, message=None)
        if problem is not None:
            message = f"{state.message}; {problem}" if state.message else problem
            state = replace(state, reason=REASON, message=message)
        # A follower may have begun to report meanwhile, or have finalised the log.
        if self._is_own() and self.unreadable.reported == (problem is not None):
            self.log(state, complete=False)
