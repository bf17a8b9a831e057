"""A reconciler on a fake API server, with a clock that a test moves."""

from datetime import datetime, timedelta
from typing import Any

from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.domain.builders import NOW
from tests.unit.operator.builders import SETTINGS

from corejob import names
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES
from corejob_kube.workqueue import WorkQueue
from corejob_operator.caches import Caches
from corejob_operator.decide.waiting import REPORT_AFTER
from corejob_operator.event_recorder import EventRecorder
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.reconcile import Reconciler
from corejob_operator.settings import OperatorSettings

WATCHED = {resource.plural: resource for resource in (COREJOBS, TEMPLATES, JOBS, PODS)}


class Queue(WorkQueue):
    """Records requeue times instead of waiting, since the test moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.requeues: dict[str, float] = {}

    def add_in(self, key: str, seconds: float) -> None:
        self.requeues[key] = min(seconds, self.requeues.get(key, seconds))


class Rig:
    """A reconciler, its caches, and the watch between them and the fake server."""

    def __init__(
        self, fake: FakeApiServer, kube: Kube, settings: OperatorSettings = SETTINGS
    ) -> None:
        self.fake, self.kube, self.settings = fake, kube, settings
        self.now = NOW
        fake.now = self.time
        self.errors: list[KubeError] = []
        # Kinds whose watch lags.
        self.stale: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Start an operator with empty caches, and list all objects."""
        self.caches, self.queue = Caches(), Queue()
        self.metrics = OperatorMetrics()
        self.event_recorder = EventRecorder(self.kube, now=self.time)
        for plural, resource in WATCHED.items():
            for body in self.fake.objects[plural].values():
                self.caches.cache(resource).put(body)
        self.reconciler = Reconciler(
            kube=self.kube,
            caches=self.caches,
            settings=self.settings,
            queue=self.queue,
            event_recorder=self.event_recorder,
            metrics=self.metrics,
            instance="test",
            now=self.time,
            draw=lambda: 1.0,  # the maximum delay each time
        )
        self.reconciler.restore()
        self.caches.on_change(self.queue.add)
        self.fake.watchers[:] = [self.watch]

    def time(self) -> datetime:
        return self.now

    def watch(self, plural: str, kind: str, body: dict[str, Any]) -> None:
        if plural in WATCHED and plural not in self.stale:
            self.caches.cache(WATCHED[plural]).on_event(kind, body)

    async def settle(self, most: int = 100) -> None:
        """Reconcile all queued CoreJobs until the queue is empty."""
        for _ in range(most):
            if not len(self.queue):
                return
            name = await self.queue.get()
            try:
                await self.reconciler.reconcile(name)
            except KubeError as error:
                self.errors.append(error)
                self.queue.requeues[name] = 0.1
            self.queue.done(name)
        raise AssertionError("it never comes to rest")

    async def passes(self, seconds: float) -> None:
        """Let time pass, and reconcile the CoreJobs whose requeue time has come."""
        self.now += timedelta(seconds=seconds)
        requeues, self.queue.requeues = self.queue.requeues, {}
        for name, after in requeues.items():
            if after <= seconds:
                self.queue.add(name)
            else:
                self.queue.requeues[name] = after - seconds
        await self.settle()

    async def lasts(self) -> None:
        """Let a start last until it is reported."""
        await self.passes(REPORT_AFTER.total_seconds())

    async def events(self) -> list[dict[str, Any]]:
        """Return all posted Events."""
        self.event_recorder.start()
        await self.event_recorder.stop(DEADLINE)
        return [request.body for request in self.fake.requested("POST", "events")]

    # --- objects in the cluster ---------------------------------------------------------------

    def template(self, qual_name: str = "a.Job", **spec: Any) -> None:
        meta = {"name": qual_name.lower()}
        self.fake.put(
            "corejobtemplates", {"metadata": meta, "spec": {"qualName": qual_name, **spec}}
        )

    def corejob(self, name: str, *, has_finalizer: bool = True, **spec: Any) -> dict[str, Any]:
        status = spec.pop("status", None)
        meta = {"name": name, "finalizers": [names.FINALIZER] if has_finalizer else []}
        body: dict[str, Any] = {
            "metadata": {**meta, **spec.pop("metadata", {})},
            "spec": {"qualName": "a.Job", "args": {"n": name}, **spec},
        }
        return self.fake.put("corejobs", body | ({"status": status} if status else {}))

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.fake.objects["corejobs"][name].get("status") or {})

    def jobs(self) -> list[str]:
        return sorted(self.fake.objects["jobs"])

    def pod(
        self, job: str, state: dict[str, Any], phase: str = "Running", *, name: str = "x"
    ) -> None:
        """Write the pod of a Job as kubelet and scheduler do; `name` is the end of its name."""
        body = self.fake.objects["jobs"][job]
        owner = {"uid": body["metadata"]["uid"], "name": job, "kind": "Job", "controller": True}
        made = body["spec"]["template"]["metadata"]
        meta = {"name": f"{job}-{name}", **made, "ownerReferences": [owner]}
        status = {"phase": phase, "containerStatuses": [{"name": "job", "state": state}]}
        self.fake.put("pods", {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": status})
