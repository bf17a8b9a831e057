"""Scheduler: enqueues the jobs of templates that have a schedule.

The id of a job follows from its template and its time, so that a crash between creating the job and
writing the status makes no second job. A time counts as dealt with only when its job exists, or was
skipped because an equal job is in the queue. So a refusal never loses a run.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import ids, lineage, names, timestamps
from corejob.identity import identity
from corejob.model import CoreJob
from corejob.names import SchedulePolicy, TemplateReason
from corejob.state import FINAL, STOPPED, State
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import AlreadyExistsError, KubeError, NotFoundError
from corejob_kube.resources import COREJOBS
from corejob_operator.caches import Caches
from corejob_operator.settings import OperatorSettings
from corejob_operator.template_status import Verdict
from corejob_operator.timetable import DEFAULT_ZONE, DueTimes, Timetable
from corejob_process.backoff import pause
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

USERNAME: Final = "scheduler"
"""The user in whose name scheduled jobs are enqueued."""
LONGEST_PAUSE: Final = timedelta(seconds=60)
"""Longest time between two reconciles, so that a changed system clock is noticed."""
_AGAIN_FIRST_S: Final = 2.0
_AGAIN_MOST_S: Final = 60.0
_RESTARTING: Final = timedelta(seconds=60)
"""Maximum time until the CoreJob that restarts another appears in the cache."""
_WITHOUT_SCHEDULE: Final = (
    "schedule",
    "timeZone",
    "scheduleMeaning",
    "nextScheduleTime",
    "lastScheduleTime",
    "lastSkipTime",
)
_HINTS: Final = {
    State.ERROR: "ended in error and is still in the queue",
    State.INACTIVE: "turned inactive and is still in the queue",
    State.KILLED: "was killed and is still in the queue",
    State.RUNNING: "is still running",
    State.PENDING: "is still waiting to start",
    State.FAILED: "has failed and is still waiting for its next trial",
    State.DEFERRED: "is deferred and still waiting for its next trial",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one reconcile of a template's schedule.

    Attributes:
        fields: Fields for the template's status; None removes a field.
        verdict: For the condition Scheduled; None: there is no schedule.
        requeue_at: When to reconcile again even if no event arrives.
        outcome: `enqueued`, `skipped` or `failed`, if a time was dealt with or tried; else None.
        blocker: The job that caused a skip and its state, to distinguish one skip from the next.
        watched: Names of CoreJobs whose changes requeue the template.
    """

    fields: Mapping[str, Any]
    verdict: Verdict | None
    requeue_at: datetime
    outcome: str | None = None
    blocker: str = ""
    watched: frozenset[str] = frozenset()


class NotOursError(Exception):
    """Another CoreJob has the name that the schedule's job must have."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A time of the schedule whose job could not be created, and the back-off."""

    run_at: datetime
    generation: int
    tries: int
    until: datetime
    cause: str


class Scheduler:
    """Enqueues the jobs of templates that have a schedule."""

    def __init__(
        self, *, kube: Kube, caches: Caches, settings: OperatorSettings, now: Clock
    ) -> None:
        self._kube = kube
        self._caches = caches
        self._settings = settings
        self._now = now
        self._refused: dict[str, _Refused] = {}

    def forget(self, template: str) -> None:
        """Drop the back-off of a template."""
        self._refused.pop(template, None)

    async def step(self, body: Body) -> Step:
        """Reconcile the schedule of a template: enqueue its job if due; return the result."""
        now, spec = self._now(), body["spec"]
        later = now + LONGEST_PAUSE
        status: Mapping[str, Any] = body.get("status") or {}
        if "deletionTimestamp" in body["metadata"]:
            return Step({}, None, later)
        schedule, zone = spec.get("schedule"), spec.get("timeZone") or DEFAULT_ZONE
        if not schedule:
            # Without the mark in the status a schedule that is set again counts as new: the times
            # in between were not missed.
            self.forget(body["metadata"]["name"])
            return Step(dict.fromkeys(_WITHOUT_SCHEDULE), None, later)
        # A changed schedule or zone counts as new: the marks of the old one do not apply.
        same = (status.get("schedule"), status.get("timeZone") or DEFAULT_ZONE) == (schedule, zone)
        last = timestamps.parse(status.get("lastScheduleTime")) if same else None
        skipped = timestamps.parse(status.get("lastSkipTime")) if same else None
        fields: dict[str, Any] = {"schedule": schedule, "timeZone": zone}
        try:
            table = Timetable(schedule, zone)
            times = table.due_times(last, now)
            fields["scheduleMeaning"] = table.meaning(now)
        except ValueError as error:
            empty = dict.fromkeys(_WITHOUT_SCHEDULE)
            verdict = Verdict("False", TemplateReason.BAD_SCHEDULE, str(error))
            return Step({**empty, **fields}, verdict, later)
        fields["nextScheduleTime"] = f"{times.next:%Y-%m-%dT%H:%M:%SZ}"
        fields["lastScheduleTime"] = timestamps.render(times.mark or last)
        fields["lastSkipTime"] = timestamps.render(skipped)
        step = Step(fields, None, min(times.next, later))
        step = await self._act(body, times, step, last=last, skipped=skipped)
        return self._with_last_job(status, step)

    async def _act(
        self,
        body: Body,
        times: DueTimes,
        step: Step,
        *,
        last: datetime | None,
        skipped: datetime | None,
    ) -> Step:
        if times.run_at is not None:
            return await self._due(body, times.run_at, step, last)
        if skipped is not None and skipped == last:
            return self._after_skip(body, skipped, step)
        return replace(step, verdict=_fine(step))

    async def _due(self, body: Body, run_at: datetime, step: Step, last: datetime | None) -> Step:
        """Enqueue the job of a time, or skip it, or report why it can't be created."""
        name = body["metadata"]["name"]
        run_id = scheduled_id(body, run_at)
        replaces = body["spec"].get("schedulePolicy") == SchedulePolicy.REPLACE
        before = self._blockers(body["spec"]["qualName"], run_id)
        if before and not (replaces and self._all_stopped(before)):
            self.forget(name)
            fields = {**step.fields, "lastSkipTime": timestamps.render(run_at)}
            step = replace(step, fields=fields, outcome="skipped")
            log.info("%s at %s: left out, it is in the queue still", name, timestamps.iso(run_at))
            return self._skip(body, run_at, before, step)
        refused = self._refused.get(name)
        if (
            refused is not None
            and not refused.until <= self._now()
            and ((refused.run_at, refused.generation) == (run_at, _generation(body)))
        ):
            return _undone(step, refused, last)
        try:
            for job in before:
                await self._remove(job)
            await self._create(body["spec"]["qualName"], run_id)
        except (KubeError, NotOursError) as error:
            refused = self._note_refusal(body, run_at, error)
            log.warning("%s at %s: not enqueued: %s", name, timestamps.iso(run_at), error)
            return replace(_undone(step, refused, last), outcome="failed")
        self.forget(name)
        log.info("%s at %s: enqueued as %s", name, timestamps.iso(run_at), run_id)
        fields = {**step.fields, "lastJobId": run_id, "lastJobState": None}
        return replace(step, fields=fields, verdict=_fine(step), outcome="enqueued")

    def _note_refusal(self, body: Body, run_at: datetime, error: Exception) -> _Refused:
        name, earlier = body["metadata"]["name"], self._refused.get(body["metadata"]["name"])
        tries = earlier.tries + 1 if earlier is not None and earlier.run_at == run_at else 1
        until = self._now() + timedelta(seconds=pause(tries, _AGAIN_FIRST_S, _AGAIN_MOST_S))
        cause = error.message if isinstance(error, KubeError) else str(error)
        refused = _Refused(run_at, _generation(body), tries, until, cause[:1000])
        self._refused[name] = refused
        return refused

    # --- earlier jobs -------------------------------------------------------------------------

    def _blockers(self, qual_name: str, job_id: str) -> list[CoreJob]:
        """Return the equal jobs that are in the queue or being restarted, oldest first."""
        jobs = [
            job
            for job in self._caches.same_jobs(identity(qual_name, {}), but=job_id)
            if job.in_queue or self._is_restarting(job)
        ]
        return sorted(jobs, key=lambda job: (job.created, job.name))

    def _is_restarting(self, job: CoreJob) -> bool:
        """True from a restart's request until its CoreJob is in the cache, for 60 s at most."""
        child = job.child_id
        if child is None or not ids.is_id(child) or self._caches.corejobs.get(child) is not None:
            return False
        return abs(self._now() - ids.created_at(child)) < _RESTARTING

    def _all_stopped(self, jobs: Sequence[CoreJob]) -> bool:
        return all(
            job.in_queue
            and job.status.state in STOPPED
            and all(pod.over for pod in self._caches.pods_of(job.name))
            for job in jobs
        )

    def _skip(self, body: Body, at: datetime, before: Sequence[CoreJob], step: Step) -> Step:
        job = next((other for other in before if not self._all_stopped([other])), before[0])
        what = f"job {job.id}" if job.id == job.name else f"job {job.name} ({job.id})"
        state = self._describe_state(job, body["spec"].get("schedulePolicy"))
        text = f"skipped at {timestamps.iso(at)} UTC: {what} {state}"
        if len(before) > 1:
            text += f"; {len(before) - 1} more of them are in the queue"
        watched = step.watched | {other.name for other in before}
        verdict = Verdict("False", TemplateReason.SKIPPED, text)
        return replace(step, verdict=verdict, blocker=f"{job.id} {state}", watched=watched)

    def _describe_state(self, job: CoreJob, policy: str | None) -> str:
        if not job.in_queue:
            return "is being restarted"
        hint, state = _HINTS[job.status.state], job.status.state
        if state not in STOPPED:
            return hint
        if policy == SchedulePolicy.REPLACE:
            ends = not self._all_stopped([job])
            return f"{hint}; {'its pod is still ending' if ends else 'the next time replaces it'}"
        return f"{hint}; restart or remove it, or set spec.schedulePolicy to Replace"

    def _after_skip(self, body: Body, skipped: datetime, step: Step) -> Step:
        """Return the step between a skipped time and the next: still blocked, or fine again."""
        before = self._blockers(body["spec"]["qualName"], "")
        if not before:
            return replace(step, verdict=_fine(step))
        return self._skip(body, skipped, before, step)

    async def _remove(self, job: CoreJob) -> None:
        """Remove a stopped job from the queue; a concurrent change of the job is a conflict.

        Raises:
            KubeError: The job has changed, or the API server refuses.
        """
        patch = {"metadata": {"resourceVersion": job.resource_version}, "spec": {"remove": True}}
        try:
            answer = await self._kube.patch(
                COREJOBS, job.namespace, job.name, patch, manager=names.MANAGER_OPERATOR
            )
        except NotFoundError:
            self._caches.corejobs.forget(job.name)
            return
        log.info("%s: removed, its schedule replaces it", job.name)
        self._caches.corejobs.put(answer)

    # --- the job ------------------------------------------------------------------------------

    async def _create(self, qual_name: str, job_id: str) -> None:
        spec = {"qualName": qual_name, "username": USERNAME, "hostname": "core4-operator"}
        manifest = lineage.manifest(job_id, self._settings.namespace, spec)
        try:
            created = await self._kube.create(
                COREJOBS, self._settings.namespace, manifest, manager=names.MANAGER_OPERATOR
            )
        except AlreadyExistsError:
            created = await self._kube.get(COREJOBS, self._settings.namespace, job_id)
            present = created.get("spec") or {}
            if any(present.get(field) != value for field, value in spec.items()) or present.get(
                "args"
            ):
                text = f"there is another CoreJob named {job_id}: delete it"
                raise NotOursError(text) from None
        self._caches.corejobs.put(created)

    def _with_last_job(self, status: Mapping[str, Any], step: Step) -> Step:
        """Note the final state of the last job, or watch the job until it has one."""
        job_id = step.fields.get("lastJobId", status.get("lastJobId"))
        body = self._caches.corejobs.get(job_id) if job_id else None
        if body is None:
            return step
        state = self._caches.parse(body).status.state
        if state not in FINAL:
            return replace(step, watched=step.watched | {job_id})
        return replace(step, fields={**step.fields, "lastJobState": str(state)})


def scheduled_id(body: Body, at: datetime) -> str:
    """Return the job id of a template's run at a time."""
    return ids.derived_id(at, f"{body['metadata']['uid']}/schedule/{timestamps.render(at)}")


def _generation(body: Body) -> int:
    return int(body["metadata"].get("generation") or 0)


def _fine(step: Step) -> Verdict:
    return Verdict("True", TemplateReason.SCHEDULED, str(step.fields["scheduleMeaning"]))


def _undone(step: Step, refused: _Refused, last: datetime | None) -> Step:
    """Return the step of a time whose job could not be created: the time is not dealt with."""
    fields = {**step.fields, "lastScheduleTime": timestamps.render(last)}
    run_at = timestamps.iso(refused.run_at)
    text = f"the run of {run_at} UTC could not be enqueued, it is tried again: "
    verdict = Verdict("False", TemplateReason.ENQUEUE_FAILED, text + refused.cause)
    requeue_at = min(step.requeue_at, refused.until)
    return replace(step, fields=fields, verdict=verdict, requeue_at=requeue_at)
