"""Write the recorder's fields of a CoreJob's status: one patch at a time, the latest value wins."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from corejob import model, timestamps
from corejob.model import CoreJob
from corejob_journal.recorder.publish.patching import patch_status
from corejob_journal.store import LogState
from corejob_journal.store.bounds import Sources
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.informer import Informer
from corejob_kube.resources import COREJOBS
from corejob_process import tasks

_AT_ONCE: Final = 20
_PROGRESS_PAUSE_S: Final = 0.5
"""Seconds between two patches of one job that have no urgent field."""
_URGENT: Final = frozenset({"log", "journaledTime"})


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
        self._pending: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._hurry: dict[str, asyncio.Event] = {}
        # By job: the trials whose logs this process follows, and True for those finalised.
        self._trials: dict[str, dict[int, bool]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def close(self, within: float) -> None:
        """Send what is pending, but give up after `within` seconds."""
        for event in self._hurry.values():
            event.set()
        await tasks.finish(*self._tasks.values(), within=within)

    def log(
        self,
        name: str,
        trial: int,
        state: LogState | None,
        *,
        complete: bool,
        has_lines: bool = False,
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
        """
        trials = self._trials.setdefault(name, {})
        trials[trial] = complete
        newest = self._newest_log(name)
        fields: dict[str, Any] = {
            "trial": newest,
            "complete": trials.get(newest, False) and all(trials.values()),
        }
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
        self._put(name, {"log": fields})

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
        self._put(name, {"progress": fields})

    def sources(self, name: str, sources: Sources) -> None:
        """Report the sources that the job has named, as stored."""
        names = list(sources.names)
        body = self._jobs.get(name) or {}
        status = body.get("status") or {}
        dropped = sources.dropped
        if name in self._tasks or status.get("sources") != names:
            self._put(name, {"sources": names, "sourcesDropped": dropped})

    def journaled(self, name: str, time: datetime) -> None:
        """Report that the job is journaled."""
        self._put(name, {"journaledTime": timestamps.render(time)})

    def forget(self, name: str) -> None:
        """Forget a CoreJob that is gone."""
        self._trials.pop(name, None)

    def _newest_trial(self, name: str) -> int:
        body = self._jobs.get(name)
        cached = model.newest_trial(body) if body is not None else 0
        return max(cached, *self._trials.get(name, {0: True}))

    def _started_trial(self, name: str) -> int:
        """Return the newest trial that is known to have written a line; 0 if none has."""
        body = self._jobs.get(name)
        cached = self._parse(body).log.started_trial if body is not None else 0
        pending = self._pending.get(name, {}).get("log", {}).get("startedTrial", 0)
        return max(cached, int(pending))

    def _newest_log(self, name: str) -> int:
        """Return the newest trial whose log this or an earlier process began to follow."""
        body = self._jobs.get(name)
        cached = self._parse(body).log.trial if body is not None else 0
        return max(cached, *self._trials[name])

    def _put(self, name: str, fields: dict[str, Any]) -> None:
        self._pending.setdefault(name, {}).update(fields)
        if not _URGENT.isdisjoint(fields) and name in self._hurry:
            self._hurry[name].set()
        if name not in self._tasks:
            self._hurry[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._send(name), name=f"status {name}")

    async def _send(self, name: str) -> None:
        hurry = self._hurry[name]
        try:
            while fields := self._pending.pop(name, None):
                async with self._slots:
                    await self._patch(name, fields)
                if _URGENT.isdisjoint(fields):
                    # An urgent field ends the pause, since other components wait for it.
                    await tasks.wait(hurry, _PROGRESS_PAUSE_S)
                hurry.clear()
        finally:
            del self._tasks[name], self._hurry[name]

    async def _patch(self, name: str, fields: dict[str, Any]) -> None:
        def newest() -> dict[str, Any]:
            fields.update(self._pending.pop(name, {}))
            return fields

        answer = await patch_status(self._kube, COREJOBS, self._namespace, name, newest)
        if answer is not None:
            self._jobs.put(answer)
