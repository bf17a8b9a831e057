"""The scheduler on a fake API server, whose time is set by hand."""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.operator.rig import Rig

from corejob_operator.templates import Templates

MINUTE = timedelta(minutes=1)


class ScheduleClock:
    """A scheduler whose time is set by hand."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.restart()

    def restart(self) -> None:
        """Nothing but the cluster is kept."""
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
        """Time passes, then the template is reconciled; when to requeue it."""
        self.rig.now += timedelta(seconds=seconds)
        after = await self.templates.reconcile("a.job")
        return self.rig.now + timedelta(seconds=after or 0)

    def status(self) -> dict[str, Any]:
        return dict(self.rig.fake.objects["corejobtemplates"]["a.job"].get("status") or {})

    def times(self) -> dict[str, Any]:
        """The part of its status that is of its schedule's past."""
        names = ("schedule", "lastScheduleTime", "lastJobId")
        return {name: value for name, value in self.status().items() if name in names}

    def condition(self) -> tuple[str, str]:
        """Status and reason of Scheduled."""
        (found,) = self.status().get("conditions") or [{"status": "", "reason": ""}]
        return found["status"], found["reason"]

    def jobs(self) -> list[str]:
        return sorted(self.rig.fake.objects["corejobs"])

    def finish(self) -> None:
        """All that was enqueued is complete."""
        for name in self.jobs():
            self.rig.fake.change("corejobs", name, {"status": {"state": "complete", "trial": 1}})
