"""Gathers all facts that the decision about a CoreJob depends on."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from corejob import model
from corejob.model import CoreJob
from corejob.observation import ChildEvent
from corejob.starting import needs_events
from corejob.state import FINAL, WAITING, State
from corejob.trial import newest
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_operator import foreign_id
from corejob_operator.admitter import Admitter
from corejob_operator.arrivals import Arrivals
from corejob_operator.caches import Caches
from corejob_operator.children import Children, with_owner
from corejob_operator.cookies import Cookies
from corejob_operator.decide import Parent, Situation, next_trial
from corejob_operator.decide.refusal import may_be_duplicate
from corejob_operator.decide.start_conditions import wants_to_start
from corejob_operator.decide.types import own_pods
from corejob_operator.duplicates import Duplicates
from corejob_operator.refusal_backoff import RefusalBackoff
from corejob_operator.settings import OperatorSettings
from corejob_operator.start_events import StartEvents
from corejob_operator.started_trials import StartedTrials


class Gatherer:
    """Gathers the situation of a CoreJob from the caches, and asks the admission for its turn.

    Args:
        refused_trials: Back-off of jobs whose last trial could not be created.
        started_trials: Trials that this operator has started.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        caches: Caches,
        settings: OperatorSettings,
        admitter: Admitter,
        refused_trials: RefusalBackoff,
        started_trials: StartedTrials,
    ) -> None:
        self._caches = caches
        self._settings = settings
        self._admitter = admitter
        self._refused_trials = refused_trials
        self._started_trials = started_trials
        self._children = Children(kube, caches)
        self._start_events = StartEvents(kube, settings.namespace)
        self._arrivals = Arrivals()
        self._duplicates = Duplicates(caches)
        self._cookies = Cookies(caches, settings)

    def restore(self) -> list[CoreJob]:
        """Start again from the caches; return the active jobs."""
        self._duplicates.clear()
        self._started_trials.clear()  # another operator may have deleted their Jobs
        active = [job for job in map(self.parse, self._caches.corejobs) if self._is_active(job)]
        for job in active:
            # The operator before has admitted the job, even if its status does not say so yet.
            self._duplicates.admit(job.name)
        return active

    def forget(self, name: str) -> None:
        """Drop the state of a CoreJob that is gone."""
        self._duplicates.forget(name)
        self._cookies.forget(name)
        self._start_events.forget(name)

    def freed_by(self, name: str) -> Iterable[str]:
        """Return the names of the CoreJobs that need not wait for the logs of this one any more."""
        return self._cookies.freed_by(name)

    def next_start_events(self, name: str) -> datetime | None:
        """Return when to list the Events of a starting trial again; None: not at all."""
        return self._start_events.next_at(name)

    def parse(self, body: Body) -> CoreJob:
        """Parse a CoreJob, with the template's properties until the status has a copy of them."""
        if "properties" in (body.get("status") or {}):
            return self._caches.parse(body)
        name, qual_name = body["metadata"]["name"], str(body["spec"].get("qualName"))
        job = model.parse(body, self._started_trials.properties(name, qual_name))
        if job.status.trial > job.carried_trials:
            return job
        return replace(job, status=replace(job.status, attempts_left=job.spec["attempts"]))

    async def gather(self, job: CoreJob, body: Body, now: datetime) -> Situation:
        """Return the situation of a CoreJob.

        Raises:
            KubeError: The API server did not answer.
        """
        created_trial = self._started_trials.number(job)
        await self._children.refresh_stale(job, created_trial)
        start_events = await self._start_events_of(job, now)
        # From here on nothing is awaited. So what `Duplicates` and `Admitter` note about the job is
        # not older than the facts that it follows from, whatever the other workers do.
        situation = Situation(
            job=job,
            jobs=self._children.jobs_of(job),
            pods=self._children.pods_of(job),
            gone_pod=self._children.gone_pod_of(job),
            now=now,
            settings=self._settings,
            events=start_events,
            has_template=self._caches.template(job.qual_name) is not None,
            id_problem=foreign_id.id_problem(job, self._caches),
            parent=self._parent(job),
            created_trial=created_trial,
            starting=len(self._started_trials) - (created_trial is not None),
        )
        if may_be_duplicate(situation):
            situation = replace(situation, duplicate=self._duplicates.duplicate_of(body))
        if wants_to_start(situation):
            turn = self._admitter.turn(job, self._refused_trials, now)
            if not turn.admitted and not job.observed:
                self._arrivals.note(job, now)
            situation = replace(situation, turn=turn, arrivals=self._arrivals.count(now))
            if turn.admitted and turn.retry_at is None:
                logs = self._cookies.pending_logs(job, now)
                situation = replace(situation, pending_logs=logs)
        return situation

    async def _start_events_of(self, job: CoreJob, now: datetime) -> tuple[ChildEvent, ...]:
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

    def _parent(self, job: CoreJob) -> Parent | None:
        """Return the job that this one restarts, until this one's own trials begin."""
        name = job.spec.get("parentName")
        if not name or job.status.state not in WAITING or job.status.trial > job.carried_trials:
            return None
        body = self._caches.corejobs.get(name)
        labelled = self._caches.pods_of(name)
        if body is None:
            return Parent(ended=True, trials=0, pods=with_owner(labelled, None))
        status = self._caches.parse(body).status
        pods = with_owner(labelled, status.pod)
        return Parent(ended=status.state in FINAL, trials=status.trial, pods=pods)

    def _is_active(self, job: CoreJob) -> bool:
        """True if the job runs, or a Job or a pod of its next trial exists."""
        if job.status.state not in WAITING:
            return job.status.state is State.RUNNING
        jobs = self._children.jobs_of(job)
        trials = {child.trial for child in jobs}
        trials |= {pod.trial for pod in self._children.pods_of(job)}
        return next_trial(job, jobs) in trials
