"""The scheduler on a fake API server, with a clock that a test moves."""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.operator.rig import Rig

from corejob_operator.templates import Templates

MINUTE = timedelta(minutes=1)


class ScheduleClock:
    """A scheduler whose clock a test moves."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.restart()

    def restart(self) -> None:
        """Start a new operator; only the cluster's state is kept."""
        self.rig.begin()
        self.templates = Templates(
            kube=self.rig.kube,
            caches=self.rig.caches,
            settings=self.rig.settings,
            metrics=self.rig.metrics,
            event_recorder=self.rig.event_recorder,
            instance="test",
            now=self.rig.time,
        )

    async def reconcile(self, seconds: float = 0) -> datetime:
        """Move the clock, reconcile the template, and return when to requeue it."""
        self.rig.now += timedelta(seconds=seconds)
        after = await self.templates.reconcile("a.job")
        return self.rig.now + timedelta(seconds=after or 0)

    def status(self) -> dict[str, Any]:
        return dict(self.rig.fake.objects["corejobtemplates"]["a.job"].get("status") or {})

    def times(self) -> dict[str, Any]:
        """Return the fields of its status about past times of the schedule."""
        names = ("schedule", "lastScheduleTime", "lastJobId")
        return {name: value for name, value in self.status().items() if name in names}

    def condition(self) -> tuple[str, str]:
        """Return status and reason of the condition Scheduled."""
        (found,) = self.status().get("conditions") or [{"status": "", "reason": ""}]
        return found["status"], found["reason"]

    def jobs(self) -> list[str]:
        return sorted(self.rig.fake.objects["corejobs"])

    def finish(self) -> None:
        """Complete all enqueued jobs."""
        for name in self.jobs():
            self.rig.fake.change("corejobs", name, {"status": {"state": "complete", "trial": 1}})
