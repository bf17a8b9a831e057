"""Enqueues the jobs of templates with a schedule (contract section 5).

A job's id follows from its template and its time, so that a crash between creating it and noting it
makes no second; the last time is noted in the template's status and survives everything.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import clock, ids, lineage, names
from corejob.identity import identity
from corejob_kube import tasks
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, NotFoundError
from corejob_kube.resources import COREJOBS, TEMPLATES
from corejob_kube.timing import Clock
from corejob_operator import crontab
from corejob_operator.metrics import Metrics
from corejob_operator.settings import Settings
from corejob_operator.world import World

log = logging.getLogger(__name__)

USERNAME: Final = "scheduler"
"""Who enqueues scheduled jobs."""
_LONGEST_SLEEP: Final = timedelta(seconds=60)
"""A clock that was set is noticed after this time."""
_AGAIN: Final = timedelta(seconds=2)


class Scheduler:
    """Looks at all schedules whenever one falls due or a template changes."""

    def __init__(
        self,
        *,
        kube: Kube,
        world: World,
        settings: Settings,
        metrics: Metrics,
        now: Clock,
    ) -> None:
        self._kube = kube
        self._world = world
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._news = asyncio.Event()
        world.templates.listen(lambda *_: self._news.set())

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            self._news.clear()
            wake = self._now() + _LONGEST_SLEEP
            for body in self._world.templates:
                wake = min(wake, await self._look_safely(body))
            seconds = max(0.0, (wake - self._now()).total_seconds())
            await tasks.wait(self._news, seconds)

    async def _look_safely(self, body: Body) -> datetime:
        try:
            return await self.look(body)
        except KubeError as error:
            log.warning("schedule of %s: %s", body["metadata"]["name"], error)
            return self._now() + _AGAIN

    async def look(self, body: Body) -> datetime:
        """Do what the schedule of a template calls for; when to look again.

        Raises:
            KubeError: The API server did not do its part.
        """
        now, schedule = self._now(), body["spec"].get("schedule")
        if "deletionTimestamp" in body["metadata"]:
            return now + _LONGEST_SLEEP
        if not schedule:
            # One that was taken off is no downtime: put back, it is seen for the first time.
            await self._note(body, dict.fromkeys(("schedule", "lastScheduleTime", "message")))
            return now + _LONGEST_SLEEP
        known: Mapping[str, Any] = body.get("status") or {}
        # Another schedule is seen for the first time, whatever the one before did.
        same = known.get("schedule") == schedule
        last = clock.parse(known.get("lastScheduleTime")) if same else None
        try:
            plan = crontab.plan(schedule, last, now)
        except ValueError as error:
            await self._note(body, {"schedule": schedule, "message": str(error)})
            return now + _LONGEST_SLEEP
        fields: dict[str, Any] = {"schedule": schedule, "message": None}
        if plan.mark is not None:
            fields["lastScheduleTime"] = clock.render(plan.mark)
        if plan.run_at is not None:
            job_id = await self._enqueue(body, plan.run_at)
            if job_id is not None:
                fields["lastJobId"] = job_id
        await self._note(body, fields)
        return plan.wake

    async def _enqueue(self, body: Body, at: datetime) -> str | None:
        """The id of the job; None if the same job is in the queue still."""
        qual_name = body["spec"]["qualName"]
        job_id = ids.derived_id(at, f"{body['metadata']['uid']}/schedule/{clock.render(at)}")
        if self._world.in_queue(identity(qual_name, {}), but=job_id):
            log.info("%s at %s: skipped, it is in the queue still", qual_name, clock.iso(at))
            self._metrics.scheduled.labels("skipped").inc()
            return None
        spec = {"qualName": qual_name, "username": USERNAME, "hostname": "core4-operator"}
        manifest = lineage.manifest(job_id, self._settings.namespace, spec)
        try:
            made = await self._kube.create(
                COREJOBS, self._settings.namespace, manifest, manager=names.MANAGER_OPERATOR
            )
        except ConflictError:
            return job_id
        self._world.corejobs.put(made)
        log.info("%s at %s: enqueued as %s", qual_name, clock.iso(at), job_id)
        self._metrics.scheduled.labels("enqueued").inc()
        return job_id

    async def _note(self, body: Body, fields: Mapping[str, Any]) -> None:
        known = body.get("status") or {}
        changed = {name: value for name, value in fields.items() if known.get(name) != value}
        if not changed:
            return
        name = body["metadata"]["name"]
        try:
            answer = await self._kube.patch(
                TEMPLATES,
                self._settings.namespace,
                name,
                {"status": changed},
                manager=names.MANAGER_OPERATOR,
                sub="status",
            )
        except NotFoundError:
            self._world.templates.forget(name)
            return
        self._world.templates.put(answer)
