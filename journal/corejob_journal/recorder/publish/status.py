"""Write the recorder's fields of a CoreJob's status: one patch at a time, the latest value wins.

A patch costs the API server and all watchers more than the recorder, so what nobody waits for is
written with what comes next (`timing`).
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from corejob import model, timestamps
from corejob.model import CoreJob
from corejob_journal.recorder.publish import timing
from corejob_journal.recorder.publish.patching import patch_status
from corejob_journal.store import LogState
from corejob_journal.store.bounds import Sources
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.informer import Informer
from corejob_kube.resources import COREJOBS
from corejob_process import tasks

_AT_ONCE: Final = 20


@dataclass(slots=True)
class _Report:
    """The report on one CoreJob.

    Attributes:
        trials: The trials whose logs this process follows, and True for those finalised.
        fields: The fields of `status` to write.
        due: The loop's time when they have to be written.
        writing: The fields of the patch in flight.
        sent_at: The loop's time of the last patch, or of the first report.
    """

    sent_at: float
    trials: dict[int, bool] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    due: float = math.inf
    writing: dict[str, Any] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None
    task: "asyncio.Task[None] | None" = None


class StatusWriter:
    """Patches `status.log`, `.progress`, `.sources` and `.journaledTime`.

    Args:
        kube: The client.
        namespace: The namespace of the CoreJobs.
        jobs: The cache of CoreJobs.
        parse: Parses a CoreJob of the cache.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        jobs: Informer,
        *,
        parse: Callable[[Body], CoreJob] = model.parse,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._jobs = jobs
        self._parse = parse
        self._reports: dict[str, _Report] = {}
        # The CoreJobs whose report is written later.
        self._timed: set[str] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def close(self, within: float) -> None:
        """Send what is pending, but give up after `within` seconds."""
        for name, report in self._reports.items():
            if report.fields:
                self._write_within(name, report, 0.0)
        sending = [report.task for report in self._reports.values() if report.task is not None]
        await tasks.finish(*sending, within=within)

    def attached(self, name: str, trial: int) -> None:
        """Report that a trial's log is read from now on."""
        within = timing.attached_within(self._cached(name), trial, len(self._timed))
        self._log(name, trial, {}, complete=False, within=within)

    def detached(self, name: str, trial: int) -> None:
        """Drop the unwritten report of a trial's log that this recorder does not read any more.

        The recorder that goes on with the log may have written its end meanwhile, and a later patch
        of ours would take that back. What else waits is written now, since it would be as late.
        """
        report = self._reports.get(name)
        if report is None or report.trials.get(trial, True):
            return  # the log is finalised, or nothing was reported
        del report.trials[trial]
        if not report.fields.get("log", {}).get("complete", True):
            del report.fields["log"]
        if report.fields:
            self._write_within(name, report, 0.0)
        else:
            report.due = math.inf
            self._cancel(name, report)

    def log(
        self,
        name: str,
        trial: int,
        state: LogState | None,
        *,
        complete: bool,
        has_lines: bool = False,
        urgent: bool = True,
    ) -> None:
        """Report the state of a trial's log.

        The newest trial's log counts as complete once those of all earlier trials are finalised,
        since the operator then deletes their pods.

        Args:
            name: The CoreJob's name.
            trial: The trial's number.
            state: The state of the job's whole log; None leaves its fields as they are.
            complete: True if the trial's log is completely stored, or known to be lost.
            has_lines: True if the trial's container has written a line, which proves to the
                operator that it ran, even if nobody observed it running.
            urgent: False if a complete log may wait for the job's final state.
        """
        fields: dict[str, Any] = {}
        started = max(trial if has_lines else 0, self._started_trial(name))
        if started:
            fields["startedTrial"] = started
        if state is not None:
            fields |= {
                "lines": state.lines,
                "bytes": state.bytes,
                "lastSeq": state.last_seq,
                "lost": state.lost,
                "reason": state.reason,
                "message": state.message,
            }
        within = 0.0 if urgent else timing.finalised_within(self._cached(name), trial)
        self._log(name, trial, fields, complete=complete, within=within)

    def progress(
        self, name: str, trial: int, value: float, message: str | None, time: datetime
    ) -> None:
        """Report a trial's progress (`value` from 0 to 1), unless a later trial has begun."""
        if trial < self._newest_trial(name):
            return
        value = min(1.0, max(0.0, value))
        fields = {
            "value": value,
            "percent": f"{value:.0%}",
            "message": message,
            "time": timestamps.render(time),
        }
        self._put_slowly(name, {"progress": fields})

    def sources(self, name: str, sources: Sources) -> None:
        """Report the sources that the job has named, as stored."""
        names = list(sources.names)
        body = self._jobs.get(name) or {}
        status = self.overlay(body).get("status") or {}
        if status.get("sources") != names:
            self._put_slowly(name, {"sources": names, "sourcesDropped": sources.dropped})

    def journaled(self, name: str, time: datetime) -> None:
        """Report that the job is journaled."""
        self._put(name, {"journaledTime": timestamps.render(time)}, within=0.0)

    def overlay(self, body: Body) -> Body:
        """Return a CoreJob of the cache with the fields that are not written yet."""
        report = self._reports.get(body["metadata"]["name"]) if body else None
        if report is None or not (report.fields or report.writing):
            return body
        status = _with(_with(body.get("status") or {}, report.writing), report.fields)
        return {**body, "status": status}

    def observe(self, job: CoreJob) -> None:
        """Handle a change of a CoreJob: what waits for it need not wait any longer."""
        report = self._reports.get(job.name)
        if report is None or "log" not in report.fields:
            return
        trial = max(report.trials)
        if report.fields["log"]["complete"]:
            within = timing.finalised_within(job, trial)
        else:
            within = timing.attached_within(job, trial, len(self._timed))
        if not within:
            self._write_within(job.name, report, 0.0)

    def forget(self, name: str) -> None:
        """Forget a CoreJob that is gone."""
        report = self._reports.pop(name, None)
        if report is not None:
            self._cancel(name, report)

    def _log(
        self, name: str, trial: int, fields: dict[str, Any], *, complete: bool, within: float
    ) -> None:
        trials = self._report(name).trials
        trials[trial] = complete
        newest = self._newest_log(name)
        complete = trials.get(newest, False) and all(trials.values())
        self._put(name, {"log": {"trial": newest, "complete": complete, **fields}}, within=within)

    def _report(self, name: str) -> _Report:
        report = self._reports.get(name)
        if report is None:
            report = self._reports[name] = _Report(sent_at=asyncio.get_running_loop().time())
        return report

    def _cached(self, name: str) -> CoreJob | None:
        body = self._jobs.get(name)
        return self._parse(body) if body is not None else None

    def _newest_trial(self, name: str) -> int:
        body = self._jobs.get(name)
        cached = model.newest_trial(body) if body is not None else 0
        return max(cached, *self._report(name).trials, 0)

    def _started_trial(self, name: str) -> int:
        """Return the newest trial that is known to have written a line; 0 if none has."""
        job, report = self._cached(name), self._report(name)
        reported = [
            int(fields.get("log", {}).get("startedTrial", 0))
            for fields in (report.fields, report.writing)
        ]
        return max(job.log.started_trial if job is not None else 0, *reported)

    def _newest_log(self, name: str) -> int:
        """Return the newest trial whose log this or an earlier process began to follow."""
        job = self._cached(name)
        return max(job.log.trial if job is not None else 0, *self._report(name).trials)

    def _put_slowly(self, name: str, fields: dict[str, Any]) -> None:
        """Write fields that nobody waits for: with the next patch, or some time after one."""
        pause = timing.slow_pause(len(self._timed))
        due = self._report(name).sent_at + pause - asyncio.get_running_loop().time()
        self._put(name, fields, within=max(0.0, due))

    def _put(self, name: str, fields: dict[str, Any], *, within: float) -> None:
        report = self._report(name)
        report.fields = _with(report.fields, fields)
        self._write_within(name, report, within)

    def _write_within(self, name: str, report: _Report, seconds: float) -> None:
        """Write the report's fields after some seconds, unless an earlier time is set."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if due >= report.due:
            return
        report.due = due
        if report.task is None:  # else the task goes on with these fields
            self._schedule(name, report)

    def _schedule(self, name: str, report: _Report) -> None:
        loop = asyncio.get_running_loop()
        self._cancel(name, report)
        if report.due <= loop.time():
            report.task = asyncio.create_task(self._send(name, report), name=f"status {name}")
            report.task.add_done_callback(tasks.log_failure)
        else:
            report.timer = loop.call_at(report.due, self._schedule, name, report)
            self._timed.add(name)

    def _cancel(self, name: str, report: _Report) -> None:
        if report.timer is not None:
            report.timer.cancel()
            report.timer = None
        self._timed.discard(name)

    async def _send(self, name: str, report: _Report) -> None:
        try:
            async with self._slots:
                await self._patch(name, report)
        finally:
            report.task = None
            if self._reports.get(name) is report:
                if report.fields:
                    self._schedule(name, report)
                elif self._jobs.get(name) is None:
                    del self._reports[name]

    async def _patch(self, name: str, report: _Report) -> None:
        def newest() -> dict[str, Any]:
            report.writing = _with(report.writing, report.fields)
            report.fields, report.due = {}, math.inf
            return report.writing

        answer = await patch_status(self._kube, COREJOBS, self._namespace, name, newest)
        if answer is not None:
            self._jobs.put(answer)
        report.writing = {}
        report.sent_at = asyncio.get_running_loop().time()


def _with(fields: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a status with newer ones, in `log` field by field."""
    merged = {**fields, **newer}
    if "log" in fields and "log" in newer:
        merged["log"] = {**fields["log"], **newer["log"]}
    return merged
