"""Reconcile one CoreJob: gather the facts, decide, act, write the status at most once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from corejob import machine, model, names, texts
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.observation import ChildEvent, Observation, Phase, error
from corejob.starting import needs_events
from corejob.state import FINAL, WAITING, State
from corejob.trial import newest
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import InvalidError, KubeError, NotFoundError
from corejob_kube.resources import COREJOBS
from corejob_kube.workqueue import WorkQueue
from corejob_operator import events, foreign_id, start_conditions
from corejob_operator.actions import (
    ActionPerformer,
    BadTemplateError,
    RefusedError,
    RefusedRestartError,
)
from corejob_operator.admission import Admission
from corejob_operator.caches import Caches
from corejob_operator.conditions import conditions
from corejob_operator.cookies import Cookies
from corejob_operator.decide import (
    AddFinalizer,
    CreateChild,
    CreateTrial,
    Decision,
    RemoveFinalizer,
    Situation,
    StartCondition,
    decide,
    due,
    next_trial,
)
from corejob_operator.decide.types import at_most, own_pods
from corejob_operator.events import EventRecorder
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.refusal_backoff import RefusalBackoff
from corejob_operator.settings import OperatorSettings
from corejob_operator.stale_children import Children
from corejob_operator.start_events import StartEvents
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

_TOO_LARGE: Final = 413
_MOST_WORDS: Final = 300


class Reconciler:
    """Reconciles the CoreJobs of a namespace: many at the same time, but each by one worker."""

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
    ) -> None:
        self._kube = kube
        self._caches = caches
        self._settings = settings
        self._queue = queue
        self._events = event_recorder
        self._metrics = metrics
        self._instance = instance
        self._now = now
        self._actions = ActionPerformer(kube, caches, settings)
        self._children = Children(kube, caches)
        self._start_events = StartEvents(kube, settings.namespace)
        self._refusals = RefusalBackoff()
        self._refused_restarts = RefusalBackoff()
        self._admitted: set[str] = set()
        self._cookies = Cookies(caches, settings)
        self.admission = Admission(settings.namespace_limit)

    def restore(self) -> None:
        """Rebuild the admission from the caches, active jobs first, and enqueue all CoreJobs."""
        self._admitted.clear()
        self.admission = Admission(self._settings.namespace_limit)
        for body in self._caches.corejobs:
            job = self._parse(body)
            state = job.status.state
            if state is State.RUNNING or (state not in FINAL and self._has_begun(job)):
                # The operator before has admitted the job, even if its status does not say so yet.
                self._admitted.add(job.name)
                self.admission.activate(start_conditions.entry(job, self._settings))
        for body in self._caches.corejobs:
            self._queue.add(body["metadata"]["name"])

    async def reconcile(self, name: str) -> None:
        """Reconcile the CoreJob of that name; forget it if it is gone.

        Raises:
            KubeError: A request to the API server failed; reconcile again.
        """
        for waiter in self._cookies.freed_by(name):
            self._queue.add(waiter)
        body = self._caches.corejobs.get(name)
        if body is None:
            self._admitted.discard(name)
            self._cookies.forget(name)
            self._start_events.forget(name)
            self._refusals.forget(name)
            self._refused_restarts.forget(name)
            self._leave(name)
            return
        job, now = self._parse(body), self._now()
        await self._children.refresh_stale(job)
        events = await self._events_of(job, now)
        decision = self._decide(job, body, now, events)
        decision = await self._act(job, decision, now)
        if AddFinalizer() in decision.actions:
            return  # the answer goes into the cache, which enqueues the job again
        self._count(job, decision)
        await self._write(job, body, decision.status, now)
        requeue_at = at_most(decision.requeue_at, self._start_events.next_at(name))
        if requeue_at is not None:
            self._queue.add_in(name, (requeue_at - now).total_seconds())

    def _parse(self, body: Body) -> CoreJob:
        """Parse a CoreJob, with the template's properties until the status has a copy of them."""
        template = self._caches.template(str(body["spec"].get("qualName"))) or {}
        job = model.parse(body, template.get("properties") or {})
        known = "properties" in (body.get("status") or {})
        if known or job.status.trial > job.carried_trials:
            return job
        return replace(job, status=replace(job.status, attempts_left=job.spec["attempts"]))

    # --- deciding ---------------------------------------------------------------------------

    async def _events_of(self, job: CoreJob, now: datetime) -> tuple[ChildEvent, ...]:
        """Return the Events of a trial that takes long to start, if only Events can tell why."""
        children = self._children.jobs_of(job)
        number = next_trial(job, children)
        child = next((child for child in children if child.trial == number), None)
        if job.status.state in WAITING and child is not None:
            pods = own_pods(child, [p for p in self._children.pods_of(job) if p.trial == number])
            pod = newest(pods)
            begun = pod is not None and (pod.over or pod.started_at is not None)
            if not begun and needs_events(child, pod):
                return await self._start_events.of(job.name, child, pod, now)
        self._start_events.forget(job.name)
        return ()

    def _decide(
        self, job: CoreJob, body: Body, now: datetime, events: Sequence[ChildEvent]
    ) -> Decision:
        waits = job.status.state not in FINAL and job.status.state is not State.RUNNING
        if job.unreadable and job.has_finalizer and waits and not (job.kill or job.remove):
            text = f"the CoreJob can't be read: {job.unreadable}; make its args flatter"
            return Decision(_never(job, text, now), queue="absent")
        problem = self._id_problem(job)
        if problem is not None:
            return Decision(machine.without_its_id(job, problem, now))
        duplicate = self._duplicate_of(job, body)
        if duplicate is not None:
            return Decision(machine.refused(job, duplicate, now))
        if waits and job.has_finalizer and not self._has_begun(job):
            parent_runs = self._behind_parent(job, now)
            if parent_runs is not None:
                return parent_runs
        allowed = (
            self._gate(job, now)
            if waits and not (job.kill or job.remove)
            else start_conditions.MAY_START
        )
        situation = Situation(
            job=job,
            jobs=self._children.jobs_of(job),
            pods=self._children.pods_of(job),
            start_condition=allowed,
            now=now,
            settings=self._settings,
            events=events,
        )
        return decide(situation)

    def _id_problem(self, job: CoreJob) -> str | None:
        """Return why the job can't have its id; None if it can, or has ended already."""
        if not job.has_finalizer or job.status.state in FINAL:
            return None
        return foreign_id.id_problem(job, self._caches)

    def _duplicate_of(self, job: CoreJob, body: Body) -> str | None:
        """Return the name of the queued job that this one duplicates; None admits this one.

        A restart is never a duplicate: it takes the place of the job that it restarts. A job that
        has left the queue (restarted or removed) before its first status is no duplicate either.
        """
        if not job.has_finalizer or not job.in_queue:
            return None
        if job.spec.get("parentId") or self._is_admitted(body):
            return None
        duplicate = start_conditions.duplicate_before(
            body, tuple(self._caches.duplicates_of(job.name)), self._is_admitted
        )
        if duplicate is None:
            # Admit the job before its status is written: another worker may reconcile a duplicate
            # during that write.
            self._admitted.add(job.name)
        return duplicate

    def _behind_parent(self, job: CoreJob, now: datetime) -> Decision | None:
        """Return the decision about a restarted job whose parent has not ended; None: go on.

        Killed and removed jobs wait as well: so in a chain of restarts, all jobs before one have
        ended if its parent has. Then the trials count on from the parent's last one, which may be
        higher than at the restart, since the parent's pod may have started after it. That count is
        written before any other decision, because the number of the next trial depends on it.
        """
        name = job.spec.get("parentName")
        if not name or job.status.trial > job.carried_trials:
            return None
        body = self._caches.corejobs.get(name)
        pods = [pod for pod in self._caches.pods_of(name) if pod.owner_uid is not None]
        waiting = start_conditions.parent(body, pods, now)
        if waiting.reason is not None:
            status = replace(job.status, reason=str(waiting.reason), message=waiting.message)
            return Decision(status, requeue_at=waiting.until)
        trials = model.parse(body).status.trial if body is not None else 0
        if trials <= job.carried_trials:
            return None
        return Decision(replace(job.status, trial=trials, carried_trials=trials))

    def _is_admitted(self, body: Body) -> bool:
        return "state" in (body.get("status") or {}) or body["metadata"]["name"] in self._admitted

    def _has_begun(self, job: CoreJob) -> bool:
        """True if a Job or a pod of the next trial exists."""
        jobs = self._children.jobs_of(job)
        trials = {child.trial for child in jobs}
        trials |= {pod.trial for pod in self._children.pods_of(job)}
        return next_trial(job, jobs) in trials

    def _gate(self, job: CoreJob, now: datetime) -> StartCondition:
        name = job.name
        if self._has_begun(job):
            return (
                start_conditions.MAY_START
            )  # a starting job stays admitted, even if its template is gone
        if self._caches.template(job.qual_name) is None:
            self._leave(name)
            return start_conditions.without_template(job)
        refused = self._refusals.waiting(name, now)
        if refused is not None and self.admission.is_active(name):
            return StartCondition(Reason.QUEUED, job.status.message, refused)
        moment = due(job)
        if moment is not None and moment > now:
            # The cluster refused the job's pod: other jobs may start during the back-off.
            self.admission.forget(name)
        if not self.admission.is_active(name):
            self.admission.wait(start_conditions.entry(job, self._settings))
            self._admit(now)
        if self.admission.is_active(name):
            return self._cookies.gate(job, now)
        return start_conditions.waiting(job, self.admission.blocked(name), now)

    def _admit(self, now: datetime) -> None:
        """Enqueue the CoreJobs that may start now."""
        for name in self.admission.admit(now.timestamp()):
            self._queue.add(name)

    def _leave(self, name: str) -> None:
        """Remove the job from the admission, and enqueue the jobs that may start instead."""
        self.admission.forget(name)
        self._admit(self._now())

    def _count(self, job: CoreJob, decision: Decision) -> None:
        if decision.queue == "active":
            self.admission.activate(start_conditions.entry(job, self._settings))
        elif decision.queue == "absent":
            self._leave(job.name)
        self._metrics.waiting.set(self.admission.waiting())
        self._metrics.active.set(self.admission.active())

    # --- acting -----------------------------------------------------------------------------

    async def _act(self, job: CoreJob, decision: Decision, now: datetime) -> Decision:
        template = self._caches.template(job.qual_name) or {}
        for action in decision.actions:
            paused = self._refused_restarts.waiting(job.name, now)
            if isinstance(action, CreateChild) and paused is not None:
                return _without_child(job, decision, paused)
            try:
                await self._actions.perform(job, template, action)
            except BadTemplateError as error:
                return Decision(_never(job, str(error), now))
            except RefusedError as error:
                status = replace(job.status, reason=str(Reason.QUEUED), message=str(error))
                again = self._refusals.note(job.name, now)
                return Decision(status, queue="active", requeue_at=again)
            except RefusedRestartError as error:
                self._restart_refused(job, str(error), now)
                return _without_child(job, decision, self._refused_restarts.note(job.name, now))
            if isinstance(action, CreateTrial):
                self._metrics.trials.inc()
                self._refusals.forget(job.name)
            if isinstance(action, CreateChild):
                self._refused_restarts.forget(job.name)
            if action == RemoveFinalizer(lost=True):
                self._unjournaled(job, now)
        return decision

    def _restart_refused(self, job: CoreJob, words: str, now: datetime) -> None:
        text = f"Kubernetes refuses the CoreJob that restarts this one, it is tried again: {words}"
        self._warn(job, "RestartRefused", text, now, action="Restart")

    def _unjournaled(self, job: CoreJob, now: datetime) -> None:
        """Report a deleted CoreJob whose finalizer was removed before the journal stored it."""
        self._metrics.lost.inc()
        text = (
            "it was deleted before the journal had it: its record, or the end of its log, is lost"
        )
        self._warn(job, "NotJournaled", text, now, action="Release")

    def _warn(self, job: CoreJob, reason: str, text: str, now: datetime, *, action: str) -> None:
        """Log a problem that is not in the status, and post it as the CoreJob's Warning Event."""
        log.warning("%s: %s", job.name, text)
        self._events.record(
            events.event(
                job, reason, text, now, instance=self._instance, warning=True, action=action
            )
        )

    # --- writing ----------------------------------------------------------------------------

    async def _write(
        self, job: CoreJob, body: Body, status: Status, now: datetime, *, plain: bool = False
    ) -> None:
        """Patch the status fields that differ; send no request if none does.

        Messages come from containers, kubelets and webhooks. If the API server refuses them, write
        all other fields without them (`plain`): bad texts must not keep a job from its end.
        """
        raw = body.get("status") or {}
        fields = self._fields(job, raw, status, now)
        changed = {name: value for name, value in fields.items() if raw.get(name) != value}
        if not changed or self._caches.corejobs.get(job.name) is None:
            return
        try:
            answer = await self._kube.patch(
                COREJOBS,
                job.namespace,
                job.name,
                {"status": changed},
                manager=names.MANAGER_OPERATOR,
                sub="status",
            )
        except NotFoundError:
            self._caches.corejobs.forget(job.name)
            return
        except KubeError as error:
            if not plain and _is_refused_for_its_texts(error):
                await self._write(job, body, _without_texts(status, error), now, plain=True)
                return
            if isinstance(error, InvalidError):
                # The cache is stale: the stored state is final, and can't change. Read it again.
                self._caches.corejobs.put(await self._kube.get(COREJOBS, job.namespace, job.name))
            raise
        self._caches.corejobs.put(answer)
        self._metrics.writes.inc()
        if job.status.state is not status.state:
            self._metrics.transitions.labels(str(status.state)).inc()
        self._events.record(events.transition(job, status, now, self._instance))

    def _fields(
        self, job: CoreJob, raw: Mapping[str, Any], status: Status, now: datetime
    ) -> dict[str, Any]:
        fields = model.render_status(status)
        template = self._caches.template(job.qual_name)
        if "properties" not in raw and template is not None:
            # Copy the installation's default too: a later change of it does not apply to this job.
            known = template.get("properties") or {}
            most = known.get("maxParallel") or self._settings.max_parallel
            fields["properties"] = {**known, "maxParallel": most}
        fields["observedGeneration"] = job.generation
        fields["conditions"] = conditions(status, job.generation, raw.get("conditions") or (), now)
        return fields


def _without_child(job: CoreJob, decision: Decision, again: datetime) -> Decision:
    """Return the decision without the child, which was not created; all else stays."""
    status = replace(decision.status, child_id=job.status.child_id)
    return replace(decision, status=status, requeue_at=again)


def _is_refused_for_its_texts(error: KubeError) -> bool:
    """True if the API server refuses the object's content or its size."""
    return isinstance(error, InvalidError) or error.status == _TOO_LARGE


def _without_texts(status: Status, error: KubeError) -> Status:
    why = texts.cut(error.message, _MOST_WORDS)
    message = f"Kubernetes does not store message and lastError of this job: {why}"
    return replace(status, message=message, last_error=None)


def _never(job: CoreJob, message: str, now: datetime) -> Status:
    """Return the status of a job whose trial can never be created: `error`, BadDefinition."""
    observed = Observation(
        Phase.ENDED,
        Reason.BAD_DEFINITION,
        message,
        outcome=State.ERROR,
        last_error=error(message, now),
    )
    return machine.failed_before_start(job.status, observed, now)
