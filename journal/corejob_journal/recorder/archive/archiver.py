"""Archive ended jobs into the journal, and finalise logs that can't be read any more."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from corejob import ids, model, names
from corejob.document import document
from corejob.model import CoreJob
from corejob.state import FINAL, State
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.ingest.closing import closing_record_of
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.publish.cookies import CookieWriter
from corejob_journal.recorder.publish.status import StatusWriter
from corejob_journal.store.records import (
    Finalise,
    LogSource,
    LogState,
    NewGap,
    PutDocument,
    StreamState,
    foreign,
)
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.informer import Informer
from corejob_kube.resources import PODS
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

_NEW: Final = timedelta(minutes=10)
"""Age up to which the id of a job that has not started is compared with those of past jobs."""
_GONE = "the pod was gone before its log could be read"
_GONE_SINCE = "the pod was gone before the rest of its log could be read"


class Archiver:
    """Reconciles one CoreJob with the journal, from its present state alone."""

    def __init__(
        self,
        *,
        kube: Kube,
        namespace: str,
        jobs: Informer,
        pods: Informer,
        commits: GroupCommit,
        status: StatusWriter,
        cookies: CookieWriter,
        metrics: RecorderMetrics,
        followed: Callable[[str, int], bool],
        now: Clock,
        parse: Callable[[Body], CoreJob] = model.parse,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._jobs = jobs
        self._pods = pods
        self._commits = commits
        self._status = status
        self._cookies = cookies
        self._metrics = metrics
        self._followed = followed
        self._now = now
        self._parse = parse
        # Uids of the waiting jobs whose ids are not another job's, by name.
        self._own_ids: dict[str, str] = {}

    def forget(self, name: str) -> None:
        """Forget a CoreJob that is gone."""
        self._own_ids.pop(name, None)

    async def reconcile(self, name: str) -> None:
        """Reconcile the CoreJob of that name; called after each change that concerns it."""
        job = self._current(name)
        if job is None:
            return
        if self._may_be_foreign(job):
            if await self._is_foreign(job):
                self._status.log(job.name, job.status.trial, foreign(_taken(job)), complete=True)
                return
            self._own_ids[job.name] = job.uid
        if not job.log_finalised:
            await self._finalise(job)
            job = self._current(name)
        if job is not None and job.log_finalised and job.archivable and not job.journaled:
            await self._journal(job)

    def _current(self, name: str) -> CoreJob | None:
        """Return the CoreJob with our own fields as they will be written next, or None."""
        body = self._jobs.get(name)
        if body is None:
            return None
        newest = self._status.overlay(body)
        return self._parse(body) if newest is body else model.parse(newest)

    async def _journal(self, job: CoreJob) -> None:
        now = self._now()
        # A log with records was opened for this CoreJob, so its id is not another's.
        if not job.log.last_seq and await self._is_foreign(job):
            # The job ended before it could be refused, so its document gets an id of its own.
            log.warning("%s: %s", job.name, _taken(job))
            status = replace(job.status, id=ids.derived_id(job.created, job.uid))
            job = replace(job, status=status)
        put = PutDocument(job.id, document(job, now), now.timestamp(), job.uid, job.status.trials)
        await self._commits.submit([put])
        self._metrics.journaled.inc()
        self._status.journaled(job.name, now)

    def _may_be_foreign(self, job: CoreJob) -> bool:
        """True for a new job whose name is its id, which may also be the id of a past job."""
        waits = not job.log.trial and job.log.reason is None and job.status.state not in FINAL
        new = job.id == job.name and self._now() - job.created < _NEW
        return waits and new and self._own_ids.get(job.name) != job.uid

    async def _is_foreign(self, job: CoreJob) -> bool:
        job_id, uid, qual_name = job.id, job.uid, job.qual_name
        return await self._commits.call(lambda writer: writer.is_foreign(job_id, uid, qual_name))

    async def _finalise(self, job: CoreJob) -> None:
        """Finalise a log that is incomplete in the status, unless the trial or its pod remains."""
        trial = job.status.trial
        if job.status.state is State.RUNNING or self._followed(job.name, trial):
            return
        if await self._is_foreign(job):
            self._status.log(job.name, trial, foreign(_taken(job)), complete=True)
            return
        state = await self._commits.call(lambda writer: writer.log_state(job.id))
        if state is not None and state.finalised_trial >= trial:
            await self._report_finalised(job, trial, state)
        elif not await self._has_pod(job, trial):
            await self._give_up(job, trial)

    async def _has_pod(self, job: CoreJob, trial: int) -> bool:
        """True if the API server still has a pod of the trial, since the watch may lag."""
        selector = f"{names.LABEL_COREJOB}={job.name},{names.LABEL_TRIAL}={trial}"
        bodies, _ = await self._kube.list(PODS, self._namespace, selector=selector)
        for body in bodies:
            self._pods.put(body)
        return bool(bodies)

    async def _give_up(self, job: CoreJob, trial: int) -> None:
        """Finalise a log that can't be read any more, and name its missing lines."""
        stream = await self._commits.call(lambda writer: writer.trial_stream(job.id, trial))
        if stream is None or stream.finalised:
            stream = await self._open(job, trial)
        ingest = LogIngest(stream)
        if stream.position.stamp and not stream.done:
            ingest.lose_tail("PodGone", _GONE_SINCE)
        elif not stream.done:
            text = f"{_GONE}: nothing is known of trial {trial}"
            ingest.lose(NewGap(None, None, text, "PodGone"))
        if ingest.numbered and not (stream.ended or stream.done):
            now = self._now()
            record = closing_record_of(job, now=now, epoch=stream.position.stamp / 1e9)
            ingest.contents.add(record)
            ingest.contents.ended = True
        appends = ingest.flush()
        stored = await self._commits.submit([*appends, Finalise(stream, ingest.token)])
        if any(answer.stale for answer in stored):
            raise RuntimeError("somebody else stores this log as well")  # the key is requeued
        state = stored[-1].state
        if state is not None and state.lost:
            self._metrics.lost.inc()
            log.warning("%s trial %d: %s", job.name, trial, state.message)
        await self._report_finalised(job, trial, state)

    async def _report_finalised(self, job: CoreJob, trial: int, state: LogState | None) -> None:
        """Report the log as finalised, with what a dead recorder has stored but not published."""
        await self._cookies.publish_all(job.qual_name)
        stream = await self._commits.call(lambda writer: writer.trial_stream(job.id, trial))
        if stream is not None:
            number = stream.job
            sources = await self._commits.call(lambda writer: writer.sources(number))
            if sources.names:
                self._status.sources(job.name, sources)
        self._status.log(job.name, trial, state, complete=True, urgent=False)

    async def _open(self, job: CoreJob, trial: int) -> StreamState:
        source = LogSource(
            job_id=job.id,
            qual_name=job.qual_name,
            username=job.spec.get("username"),
            trial=trial,
            pod_uid="",
            pod=job.status.pod,
            hostname=job.status.node,
            owner=job.uid,
        )
        return await self._commits.call(lambda writer: writer.open_stream(source))


def _taken(job: CoreJob) -> str:
    return f"job id {job.id} is another job's: nothing of this one is stored under it"
