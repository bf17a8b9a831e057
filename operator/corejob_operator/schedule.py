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
from corejob.model import CoreJob
from corejob.names import Reason, SchedulePolicy, TemplateReason
from corejob.state import FINAL, STOPPED
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import AlreadyExistsError, KubeError, NotFoundError
from corejob_kube.resources import COREJOBS
from corejob_operator.caches import Caches
from corejob_operator.earlier_jobs import EarlierJobs
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
_MOST_SKIP_JOBS: Final = 10
_WITHOUT_SCHEDULE: Final = (
    "schedule",
    "timeZone",
    "scheduleMeaning",
    "nextScheduleTime",
    "lastScheduleTime",
    "lastSkipTime",
    "lastSkipJobIds",
)


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one reconcile of a template's schedule.

    Attributes:
        fields: Fields for the template's status; None removes a field.
        verdict: For the condition Scheduled; None: there is no schedule.
        requeue_at: When to reconcile again even if no event arrives.
        outcome: `enqueued`, `skipped` or `failed`, if a time was dealt with or tried; else None.
        blocker: The job that caused a skip, and its state if it has stopped; each has one Event.
        missed: Which times before the one that was dealt with were missed; empty: none.
        watched: Names of CoreJobs whose changes requeue the template.
    """

    fields: Mapping[str, Any]
    verdict: Verdict | None
    requeue_at: datetime
    outcome: str | None = None
    blocker: str = ""
    missed: str = ""
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


@dataclass(frozen=True, slots=True)
class _Dealt:
    """A time that was dealt with, kept until the next one: its status may not be written yet."""

    uid: str
    run_at: datetime
    outcome: str


class Scheduler:
    """Enqueues the jobs of templates that have a schedule."""

    def __init__(
        self, *, kube: Kube, caches: Caches, settings: OperatorSettings, now: Clock
    ) -> None:
        self._kube = kube
        self._caches = caches
        self._settings = settings
        self._now = now
        self._earlier = EarlierJobs(caches, now)
        self._refused: dict[str, _Refused] = {}
        self._dealt: dict[str, _Dealt] = {}

    def forget(self, template: str) -> None:
        """Drop what is known of a template's times."""
        self._refused.pop(template, None)
        self._dealt.pop(template, None)

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
            return self._with_last_state(
                status, Step(dict.fromkeys(_WITHOUT_SCHEDULE), None, later)
            )
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
            return self._with_last_state(status, Step({**empty, **fields}, verdict, later))
        fields["nextScheduleTime"] = f"{times.next:%Y-%m-%dT%H:%M:%SZ}"
        fields["lastScheduleTime"] = timestamps.render(times.mark or last)
        fields["lastSkipTime"] = timestamps.render(skipped)
        if not same:
            fields["lastSkipJobIds"] = None
        step = Step(fields, None, min(times.next, later))
        if times.run_at is not None:
            step = await self._due(body, times, times.run_at, step, last)
        elif skipped is not None and skipped == last:
            step = self._after_skip(body, skipped, step)
        else:
            step = replace(step, verdict=_fine(step))
        return self._without_duplicate(body, self._with_last_state(status, step))

    async def _due(
        self, body: Body, times: DueTimes, run_at: datetime, step: Step, last: datetime | None
    ) -> Step:
        """Enqueue the job of a time, or skip it, or report why it can't be created."""
        name = body["metadata"]["name"]
        run_id = scheduled_id(body, run_at)
        replaces = body["spec"].get("schedulePolicy") == SchedulePolicy.REPLACE
        before = self._earlier.of(body["spec"]["qualName"], but=run_id)
        unnoted = _unnoted_run(body, before, last)
        if unnoted is not None:
            return self._enqueued(
                body, ids.created_at(unnoted), replace(step, requeue_at=self._now())
            )
        refused = self._refused.get(name)
        missed = _missed(times, refused)
        if before and not (replaces and self._earlier.all_stopped(before)):
            self._refused.pop(name, None)
            outcome = self._first_time(body, run_at, "skipped")
            log.info("%s at %s: left out, it is in the queue still", name, timestamps.iso(run_at))
            return self._skip(body, run_at, before, replace(step, outcome=outcome, missed=missed))
        if (
            refused is not None
            and not refused.until <= self._now()
            and ((refused.run_at, refused.generation) == (run_at, _generation(body)))
        ):
            return _undone(step, refused, last)
        if self._dealt.get(name) == _Dealt(_uid(body), run_at, "enqueued"):
            return self._enqueued(body, run_at, step)
        try:
            for job in before:
                await self._remove(job)
            await self._create(body["spec"]["qualName"], run_id)
        except (KubeError, NotOursError) as error:
            refused = self._note_refusal(body, run_at, error)
            log.warning("%s at %s: not enqueued: %s", name, timestamps.iso(run_at), error)
            return replace(_undone(step, refused, last), outcome="failed")
        log.info("%s at %s: enqueued as %s", name, timestamps.iso(run_at), run_id)
        return self._enqueued(body, run_at, replace(step, missed=missed))

    def _enqueued(self, body: Body, run_at: datetime, step: Step) -> Step:
        """Return the step after the job of a time was created."""
        self._refused.pop(body["metadata"]["name"], None)
        fields = {
            **step.fields,
            "lastScheduleTime": timestamps.render(run_at),
            "lastJobId": scheduled_id(body, run_at),
            "lastJobState": None,
        }
        outcome = self._first_time(body, run_at, "enqueued")
        return replace(step, fields=fields, verdict=_fine(step), outcome=outcome)

    def _first_time(self, body: Body, run_at: datetime, outcome: str) -> str | None:
        """Return the outcome of a time; None if it was returned already.

        While the status can't be written, the time stays due, and its job may be gone meanwhile.
        """
        name, dealt = body["metadata"]["name"], _Dealt(_uid(body), run_at, outcome)
        if self._dealt.get(name) == dealt:
            return None
        self._dealt[name] = dealt
        return outcome

    def _note_refusal(self, body: Body, run_at: datetime, error: Exception) -> _Refused:
        name, earlier = body["metadata"]["name"], self._refused.get(body["metadata"]["name"])
        tries = earlier.tries + 1 if earlier is not None and earlier.run_at == run_at else 1
        until = self._now() + timedelta(seconds=pause(tries, _AGAIN_FIRST_S, _AGAIN_MOST_S))
        cause = error.message if isinstance(error, KubeError) else str(error)
        refused = _Refused(run_at, _generation(body), tries, until, cause[:1000])
        self._refused[name] = refused
        return refused

    # --- earlier jobs -------------------------------------------------------------------------

    def _skip(self, body: Body, at: datetime, before: Sequence[CoreJob], step: Step) -> Step:
        """Return the step of a time that is skipped because of these jobs, at least one."""
        job = next((other for other in before if not self._earlier.all_stopped([other])), before[0])
        text = f"skipped at {timestamps.iso(at)} UTC: "
        text += self._earlier.describe(job, body["spec"].get("schedulePolicy"))
        if len(before) > 1:
            text += f"; {len(before) - 1} more of them are in the queue"
        fields = {
            **step.fields,
            "lastSkipTime": timestamps.render(at),
            "lastSkipJobIds": [other.id for other in before[:_MOST_SKIP_JOBS]],
        }
        stopped = job.in_queue and job.status.state in STOPPED
        return replace(
            step,
            fields=fields,
            verdict=Verdict("False", TemplateReason.SKIPPED, text),
            blocker=f"{job.id} {job.status.state}" if stopped else job.id,
            watched=step.watched | {other.name for other in before},
        )

    def _after_skip(self, body: Body, skipped: datetime, step: Step) -> Step:
        """Return the step between a skipped time and the next: still blocked, or fine again.

        Jobs that came into the queue later did not cause the skip.
        """
        causes = (body.get("status") or {}).get("lastSkipJobIds") or ()
        earlier = self._earlier.of(body["spec"]["qualName"])
        before = [job for job in earlier if job.id in causes]
        if not before:
            fields = {**step.fields, "lastSkipJobIds": None}
            return replace(step, fields=fields, verdict=_fine(step))
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

    def _with_last_state(self, status: Mapping[str, Any], step: Step) -> Step:
        """Note the final state of the last job, or watch the job until it has one."""
        job = self._last_job(status, step)
        if job is None:
            return step
        if job.status.state not in FINAL:
            return replace(step, watched=step.watched | {job.name})
        return replace(step, fields={**step.fields, "lastJobState": str(job.status.state)})

    def _without_duplicate(self, body: Body, step: Step) -> Step:
        """Turn the run of a job that was refused as a duplicate into a skip of its time.

        The job was created while the cache did not have the other one yet. A step that has dealt
        with a time leaves this to the next one.
        """
        job = self._last_job(body.get("status") or {}, step)
        if step.outcome is not None or job is None or job.status.reason != Reason.DUPLICATE:
            return step
        at = ids.created_at(job.name)
        last_skip = timestamps.parse(step.fields.get("lastSkipTime"))
        fields = {**step.fields, "lastJobId": None, "lastJobState": None}
        step = replace(step, fields=fields, outcome=self._first_time(body, at, "skipped"))
        if last_skip is not None and last_skip > at:
            return step
        before = self._earlier.of(body["spec"]["qualName"], but=job.name)
        if before:
            return self._skip(body, at, before, step)
        fields = {**step.fields, "lastSkipTime": timestamps.render(at), "lastSkipJobIds": None}
        text = f"skipped at {timestamps.iso(at)} UTC: {job.status.message}"
        verdict = Verdict("False", TemplateReason.SKIPPED, text)
        return replace(step, fields=fields, verdict=verdict, blocker=job.id)

    def _last_job(self, status: Mapping[str, Any], step: Step) -> CoreJob | None:
        job_id = step.fields.get("lastJobId", status.get("lastJobId"))
        body = self._caches.corejobs.get(job_id) if job_id else None
        return self._caches.parse(body) if body is not None else None


def scheduled_id(body: Body, at: datetime) -> str:
    """Return the job id of a template's run at a time."""
    return ids.derived_id(at, f"{body['metadata']['uid']}/schedule/{timestamps.render(at)}")


def _unnoted_run(body: Body, before: Sequence[CoreJob], last: datetime | None) -> str | None:
    """Return the id of the schedule's own job that the status does not have yet; None: none.

    The answer to its creation was lost, or the process ended before it wrote the status.
    """
    for job in before:
        if ids.is_id(job.name):
            run_at = ids.created_at(job.name)
            if (last is None or run_at > last) and scheduled_id(body, run_at) == job.name:
                return job.name
    return None


def _missed(times: DueTimes, refused: _Refused | None) -> str:
    """Return which times were missed before the one that is due, and why if that is known."""
    if times.missed is None or times.run_at is None:
        return ""
    first, latest = times.missed
    until = f" to {timestamps.iso(latest)}" if latest > first else ""
    text = f"missed {timestamps.iso(first)}{until} UTC"
    if refused is not None and first <= refused.run_at <= latest:
        text += f" ({refused.cause})"
    return f"{text}: only the latest time counts, {timestamps.iso(times.run_at)} UTC"


def _uid(body: Body) -> str:
    return str(body["metadata"]["uid"])


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
