"""Reconcile one CoreJob: gather the facts, decide, act, account, write the status at most once."""

import logging
from datetime import datetime
from random import random

from corejob.model import CoreJob
from corejob_kube.client import Kube
from corejob_kube.workqueue import WorkQueue
from corejob_operator import events
from corejob_operator.actions import (
    ActionPerformer,
    BadTemplateError,
    RefusedError,
    RefusedRestartError,
)
from corejob_operator.admitter import Admitter
from corejob_operator.caches import Caches
from corejob_operator.decide import (
    AddFinalizer,
    CreateChild,
    CreateTrial,
    Decision,
    DeleteJob,
    RemoveFinalizer,
    decide,
)
from corejob_operator.decide.refusal import (
    create_later,
    never_starts,
    without_child,
)
from corejob_operator.decide.types import at_most
from corejob_operator.decide.waiting_status import with_waiting
from corejob_operator.event_recorder import EventRecorder
from corejob_operator.gather import Gatherer
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.refusal_backoff import RefusalBackoff
from corejob_operator.settings import OperatorSettings
from corejob_operator.started_trials import StartedTrials
from corejob_operator.status_writer import JobStatusWriter
from corejob_process.backoff import Draw
from corejob_process.clock import Clock

log = logging.getLogger(__name__)


class Reconciler:
    """Reconciles the CoreJobs of a namespace: many at the same time, but each by one worker.

    Attributes:
        admitter: Chooses the next job.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        caches: Caches,
        settings: OperatorSettings,
        queue: WorkQueue,
        event_recorder: EventRecorder,
        metrics: OperatorMetrics,
        instance: str,
        now: Clock,
        draw: Draw = random,
    ) -> None:
        self._caches = caches
        self._queue = queue
        self._events = event_recorder
        self._metrics = metrics
        self._instance = instance
        self._now = now
        self._performer = ActionPerformer(kube, caches, settings)
        self._refused_trials = RefusalBackoff(draw=draw)
        self._refused_restarts = RefusalBackoff(draw=draw)
        self._started_trials = StartedTrials(caches)
        self._status_writer = JobStatusWriter(
            kube=kube,
            caches=caches,
            settings=settings,
            started_trials=self._started_trials,
            event_recorder=event_recorder,
            metrics=metrics,
            instance=instance,
        )
        self.admitter = Admitter(settings, queue, metrics)
        self._gatherer = Gatherer(
            kube=kube,
            caches=caches,
            settings=settings,
            admitter=self.admitter,
            refused_trials=self._refused_trials,
            started_trials=self._started_trials,
        )

    def restore(self) -> None:
        """Rebuild the admission from the caches, active jobs first, and enqueue all CoreJobs."""
        self.admitter.restore(self._gatherer.restore())
        for body in self._caches.corejobs:
            self._queue.add(body["metadata"]["name"])

    async def reconcile(self, name: str) -> None:
        """Reconcile the CoreJob of that name; forget it if it is gone.

        Raises:
            KubeError: A request to the API server failed; reconcile again.
        """
        for waiter in self._gatherer.freed_by(name):
            self._queue.add(waiter)
        body = self._caches.corejobs.get(name)
        if body is None:
            self._forget(name)
            return
        job, now = self._gatherer.parse(body), self._now()
        decision = decide(await self._gatherer.gather(job, body, now))
        decision = await self._act(job, decision, now)
        if AddFinalizer() in decision.actions:
            return  # the answer goes into the cache, which enqueues the job again
        self.admitter.account(job, decision, self._now())
        if not decision.quiet:
            await self._status_writer.write(job, body, decision.status, now)
        requeue_at = at_most(decision.requeue_at, self._gatherer.next_start_events(name))
        if requeue_at is not None:
            self._queue.add_in(name, (requeue_at - now).total_seconds())

    def _forget(self, name: str) -> None:
        self._gatherer.forget(name)
        self._refused_trials.forget(name)
        self._refused_restarts.forget(name)
        self._started_trials.forget(name)
        self.admitter.leave(name, self._now())

    async def _act(self, job: CoreJob, decision: Decision, now: datetime) -> Decision:
        """Perform the actions; return the decision, or another one if the API server refuses."""
        template = self._caches.template(job.qual_name) or {}
        for action in decision.actions:
            retry_at = self._refused_restarts.waiting(job.name, now)
            if isinstance(action, CreateChild) and retry_at is not None:
                return without_child(job, decision, retry_at)
            if isinstance(action, DeleteJob):
                # Before the request: if its answer is lost, the missing Job must not look as if
                # somebody else had deleted it.
                self._started_trials.deleted(job, action.name)
            try:
                await self._performer.perform(job, template, action)
            except BadTemplateError as error:
                return with_waiting(job, never_starts(job, str(error), now), now)
            except RefusedError as error:
                retry_at = self._refused_trials.refused(job.name, now)
                later = with_waiting(job, create_later(job, str(error), retry_at), now)
                self._events.record(events.refusal(job, later.status, now, self._instance))
                return later
            except RefusedRestartError as error:
                text = (
                    "Kubernetes refuses the CoreJob that restarts this one, "
                    f"it is tried again: {error}"
                )
                self._warn(job, "RestartRefused", text, now, action="Restart")
                return without_child(job, decision, self._refused_restarts.refused(job.name, now))
            if isinstance(action, CreateTrial):
                self._metrics.trials.inc()
                self._refused_trials.forget(job.name)
                self._started_trials.created(job, action.trial)
            if isinstance(action, CreateChild):
                self._refused_restarts.forget(job.name)
            if action == RemoveFinalizer(lost=True):
                self._metrics.lost.inc()
                text = (
                    "it was deleted before the journal had it: "
                    "its record, or the end of its log, is lost"
                )
                self._warn(job, "NotJournaled", text, now, action="Release")
        return decision

    def _warn(self, job: CoreJob, reason: str, text: str, now: datetime, *, action: str) -> None:
        """Log a problem that is not in the status, and post it as the CoreJob's Warning Event."""
        log.warning("%s: %s", job.name, text)
        self._events.record(
            events.event(
                job, reason, text, now, instance=self._instance, warning=True, action=action
            )
        )
