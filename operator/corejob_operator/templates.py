"""Reconciles CoreJobTemplates: their schedules and their validation.

Only one worker at a time reconciles a template and writes its status; validators pass their
verdicts to it. A template whose reconcile fails is requeued with a back-off, and delays no other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import names
from corejob.names import TemplateCondition, TemplateReason
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError, NotFoundError
from corejob_kube.resources import TEMPLATES
from corejob_kube.workqueue import WorkQueue
from corejob_operator import events
from corejob_operator.caches import Caches
from corejob_operator.event_recorder import EventRecorder
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.schedule import Scheduler, Step
from corejob_operator.settings import OperatorSettings
from corejob_operator.template_status import Verdict, conditions
from corejob_operator.validation import Validator
from corejob_process.backoff import pause
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

_WORKERS: Final = 4
_VALIDATORS: Final = 2
_RETRY_FIRST_S: Final = 1.0
_RETRY_MOST_S: Final = 60.0
_VALIDATE_MOST_S: Final = 300.0
_REPORT_AGAIN: Final = timedelta(hours=1)
"""Interval of repeated Events: the time for which Kubernetes keeps an Event."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """The validator's verdict about one generation of a template."""

    uid: str
    generation: int
    verdict: Verdict


class Templates:
    """Reconciles the templates of one namespace while this operator leads."""

    def __init__(
        self,
        *,
        kube: Kube,
        caches: Caches,
        settings: OperatorSettings,
        metrics: OperatorMetrics,
        event_recorder: EventRecorder,
        instance: str,
        now: Clock,
    ) -> None:
        self._kube = kube
        self._caches = caches
        self._settings = settings
        self._metrics = metrics
        self._events = event_recorder
        self._instance = instance
        self._now = now
        self._scheduler = Scheduler(kube=kube, caches=caches, settings=settings, now=now)
        self._validator = Validator(kube, settings, now)
        self._counted: set[str] = set()
        self._reset()
        caches.templates.listen(self._template_changed)
        caches.corejobs.listen(self._corejob_changed)

    def _reset(self) -> None:
        """Reset all state in memory, and enqueue all templates of the cache."""
        self.queue, self.to_validate = WorkQueue(), WorkQueue()
        self._failures: dict[str, int] = {}
        self._schedule_failures: dict[str, int] = {}
        self._validation_failures: dict[str, int] = {}
        self._judged: dict[str, _Judged] = {}
        self._watched: dict[str, frozenset[str]] = {}
        self._watching: dict[str, str] = {}
        self._reported: dict[tuple[str, TemplateCondition], tuple[str, datetime]] = {}
        self._missed: dict[str, datetime] = {}
        for body in self._caches.templates:
            self.queue.add(body["metadata"]["name"])

    async def run(self) -> None:
        """Reconcile and validate until cancelled."""
        # A new leader may have another version, which builds other Jobs: validate all again.
        self._reset()
        for name in self._counted - {body["metadata"]["name"] for body in self._caches.templates}:
            self._forget(name)
        try:
            await self._run()
        finally:
            # Only the leader knows what is blocked.
            self._metrics.schedule_blocked.clear()
            self._metrics.invalid_templates.clear()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(_WORKERS):
                group.create_task(self._work(), name=f"templates {number}")
            for number in range(_VALIDATORS):
                group.create_task(self._validate_all(), name=f"validator {number}")

    # --- queues ---------------------------------------------------------------------------------

    def _template_changed(self, name: str, _old: Body | None, _new: Body | None) -> None:
        self.queue.add(name)

    def _corejob_changed(self, name: str, _old: Body | None, _new: Body | None) -> None:
        template = self._watching.get(name)
        if template is not None:
            self.queue.add(template)

    async def _work(self) -> None:
        while True:
            name = await self.queue.get()
            try:
                seconds = await self.reconcile(name)
                if seconds is not None:
                    self.queue.add_in(name, seconds)
            except Exception as error:
                count = self._failures[name] = self._failures.get(name, 0) + 1
                if isinstance(error, KubeError):
                    log.warning("template %s: %s", name, error)
                else:
                    log.exception("template %s: unexpected", name)
                self.queue.add_in(name, pause(count, _RETRY_FIRST_S, _RETRY_MOST_S))
            else:
                self._failures.pop(name, None)
            finally:
                self.queue.done(name)

    async def _validate_all(self) -> None:
        while True:
            name = await self.to_validate.get()
            try:
                await self.validate(name)
            finally:
                self.to_validate.done(name)

    # --- one template ---------------------------------------------------------------------------

    async def reconcile(self, name: str) -> float | None:
        """Reconcile a template: act on its schedule, and write its status at most once.

        Returns:
            Seconds until the next reconcile; None: the template is gone.

        Raises:
            KubeError: Its status could not be written.
        """
        body = self._caches.templates.get(name)
        if body is None:
            self._forget(name)
            return None
        step = await self._step(body)
        self._watch(name, step.watched)
        verdicts: dict[TemplateCondition, Verdict | None] = {}
        if "deletionTimestamp" not in body["metadata"]:
            verdicts[TemplateCondition.SCHEDULED] = step.verdict
            judged = self._verdict_of(body)
            if judged is not None:
                verdicts[TemplateCondition.VALID] = judged
        # Before the write, which may be refused again and again.
        self._account(name, step, verdicts)
        self._report(body, step, verdicts)
        self._report_missed(body, step)
        await self._write(body, step, verdicts)
        return max(0.0, (step.requeue_at - self._now()).total_seconds())

    async def _step(self, body: Body) -> Step:
        """Reconcile the schedule; an unexpected error becomes a verdict with a back-off.

        So an odd template can't stop the worker.
        """
        name = body["metadata"]["name"]
        try:
            step = await self._scheduler.step(body)
        except Exception as error:
            log.exception("schedule of %s: unexpected", name)
            count = self._schedule_failures[name] = self._schedule_failures.get(name, 0) + 1
            retry_at = self._now() + timedelta(seconds=pause(count, _RETRY_FIRST_S, _RETRY_MOST_S))
            text = f"the operator can't deal with its schedule: {error!r}"
            return Step({}, Verdict("False", TemplateReason.INTERNAL_ERROR, text), retry_at)
        self._schedule_failures.pop(name, None)
        return step

    def _verdict_of(self, body: Body) -> Verdict | None:
        """Return the verdict about this generation; None if there is none yet: then request it."""
        meta = body["metadata"]
        judged = self._judged.get(meta["name"])
        if judged is not None and (judged.uid, judged.generation) == _version(body):
            return judged.verdict
        self.to_validate.add(meta["name"])
        return None

    async def validate(self, name: str) -> None:
        """Validate a template, once for each generation; retry while the verdict is Unknown."""
        body = self._caches.templates.get(name)
        if body is None:
            return
        uid, generation = _version(body)
        judged = self._judged.get(name)
        if judged is not None and (judged.uid, judged.generation) != (uid, generation):
            self._validation_failures.pop(name, None)
        elif judged is not None and judged.verdict.status != "Unknown":
            return
        try:
            verdict = await self._validator.judge(body)
        except Exception as error:
            log.exception("template %s: its validation failed", name)
            text = f"the operator can't check it: {error!r}"
            verdict = Verdict("Unknown", TemplateReason.INTERNAL_ERROR, text)
        self._judged[name] = _Judged(uid, generation, verdict)
        if verdict.status == "Unknown":
            count = self._validation_failures[name] = self._validation_failures.get(name, 0) + 1
            self.to_validate.add_in(name, pause(count, _RETRY_FIRST_S, _VALIDATE_MOST_S))
        else:
            self._validation_failures.pop(name, None)
        self.queue.add(name)

    async def _write(
        self, body: Body, step: Step, verdicts: Mapping[TemplateCondition, Verdict | None]
    ) -> None:
        """Patch the status fields that differ; send no request if none does."""
        meta, status = body["metadata"], body.get("status") or {}
        fields = dict(step.fields)
        if verdicts:
            scheduled = verdicts.get(TemplateCondition.SCHEDULED)
            blocked = scheduled is not None and scheduled.status != "True"
            fields["message"] = scheduled.message if scheduled is not None and blocked else None
            new = conditions(
                status.get("conditions") or (), verdicts, _version(body)[1], self._now()
            )
            fields["conditions"] = new or None
        changed = {field: value for field, value in fields.items() if status.get(field) != value}
        if not changed:
            return
        try:
            answer = await self._kube.patch(
                TEMPLATES,
                self._settings.namespace,
                meta["name"],
                {"status": changed},
                manager=names.MANAGER_OPERATOR,
                sub="status",
            )
        except NotFoundError:
            self._caches.templates.forget(meta["name"])
            return
        self._caches.templates.put(answer)

    # --- metrics and Events ---------------------------------------------------------------------

    def _account(
        self, name: str, step: Step, verdicts: Mapping[TemplateCondition, Verdict | None]
    ) -> None:
        if step.outcome is not None:
            self._metrics.scheduled.labels(step.outcome).inc()
            self._metrics.schedule_times.labels(name, step.outcome).inc()
            self._counted.add(name)
        for kind, gauge in (
            (TemplateCondition.SCHEDULED, self._metrics.schedule_blocked),
            (TemplateCondition.VALID, self._metrics.invalid_templates),
        ):
            verdict = verdicts.get(kind)
            if verdict is not None:
                gauge.labels(name).set(verdict.status == "False")
            elif kind in verdicts:
                _remove(gauge, name)

    def _report(
        self, body: Body, step: Step, verdicts: Mapping[TemplateCondition, Verdict | None]
    ) -> None:
        """Post a Warning Event for each new fault, and each hour for skips that go on."""
        name, now = body["metadata"]["name"], self._now()
        for kind, verdict in verdicts.items():
            if verdict is None or verdict.status == "True":
                self._reported.pop((name, kind), None)
                continue
            skipped = verdict.reason is TemplateReason.SKIPPED
            what = step.blocker if skipped else verdict.message
            before, since = self._reported.get((name, kind), ("", now))
            if what == before and not (skipped and step.outcome and now - since >= _REPORT_AGAIN):
                continue
            self._reported[name, kind] = (what, now)
            self._events.record(
                events.template_warning(
                    body, str(verdict.reason), verdict.message, now, instance=self._instance
                )
            )

    def _report_missed(self, body: Body, step: Step) -> None:
        """Post a Warning Event about missed times, at most one an hour."""
        name, now = body["metadata"]["name"], self._now()
        before = self._missed.get(name)
        if not step.missed or (before is not None and now - before < _REPORT_AGAIN):
            return
        self._missed[name] = now
        log.warning("%s: %s", name, step.missed)
        self._events.record(
            events.template_warning(body, events.MISSED, step.missed, now, instance=self._instance)
        )

    def _watch(self, template: str, watched: frozenset[str]) -> None:
        """Replace the CoreJobs whose changes requeue a template."""
        for corejob in self._watched.pop(template, frozenset()) - watched:
            self._watching.pop(corejob, None)
        if watched:
            self._watched[template] = watched
            self._watching |= dict.fromkeys(watched, template)

    def _forget(self, name: str) -> None:
        self._scheduler.forget(name)
        self._counted.discard(name)
        self._missed.pop(name, None)
        self._watch(name, frozenset())
        for memory in (
            self._failures,
            self._schedule_failures,
            self._validation_failures,
            self._judged,
        ):
            memory.pop(name, None)
        for kind in TemplateCondition:
            self._reported.pop((name, kind), None)
        for gauge in (self._metrics.schedule_blocked, self._metrics.invalid_templates):
            _remove(gauge, name)
        for outcome in ("enqueued", "skipped", "failed"):
            _remove(self._metrics.schedule_times, name, outcome)


def _version(body: Body) -> tuple[str, int]:
    meta = body["metadata"]
    return str(meta["uid"]), int(meta.get("generation") or 0)


def _remove(metric: Any, *labels: str) -> None:
    """Remove a metric's series; do nothing if it does not exist."""
    with contextlib.suppress(KeyError):
        metric.remove(*labels)
