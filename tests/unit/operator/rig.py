"""A reconciler on a fake API server, whose time is set by hand."""

from datetime import datetime, timedelta
from typing import Any

from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.domain.builders import NOW
from tests.unit.operator.builders import SETTINGS

from corejob import names
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES
from corejob_kube.workqueue import WorkQueue
from corejob_operator.caches import World
from corejob_operator.events import Poster
from corejob_operator.metrics import Metrics
from corejob_operator.reconcile import Reconciler
from corejob_operator.settings import OperatorSettings

WATCHED = {one.plural: one for one in (COREJOBS, TEMPLATES, JOBS, PODS)}


class Queue(WorkQueue):
    """Notes when to look again, for a clock that is set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes: dict[str, float] = {}

    def add_in(self, key: str, seconds: float) -> None:
        self.wakes[key] = min(seconds, self.wakes.get(key, seconds))


class Rig:
    """A reconciler, the world that it knows, and the watch between it and the fake server."""

    def __init__(
        self, fake: FakeApiServer, kube: Kube, settings: OperatorSettings = SETTINGS
    ) -> None:
        self.fake, self.kube, self.settings = fake, kube, settings
        self.now = NOW
        self.errors: list[KubeError] = []
        # Kinds whose watch is behind.
        self.deaf: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """An operator starts, and lists all that there is."""
        self.world, self.queue = World(), Queue()
        self.metrics, self.poster = Metrics(), Poster(self.kube)
        for plural, resource in WATCHED.items():
            for body in self.fake.objects[plural].values():
                self.world.cache(resource).put(body)
        self.reconciler = Reconciler(
            kube=self.kube,
            world=self.world,
            settings=self.settings,
            queue=self.queue,
            poster=self.poster,
            metrics=self.metrics,
            instance="test",
            now=self.time,
        )
        self.reconciler.restore()
        self.world.on_change(self.queue.add)
        self.fake.watchers[:] = [self.watch]

    def time(self) -> datetime:
        return self.now

    def watch(self, plural: str, kind: str, body: dict[str, Any]) -> None:
        if plural in WATCHED and plural not in self.deaf:
            self.world.heard(WATCHED[plural], kind, body)

    async def settle(self, most: int = 100) -> None:
        """Look at all that is to be looked at, until nothing is left."""
        for _ in range(most):
            if not len(self.queue):
                return
            name = await self.queue.get()
            try:
                await self.reconciler.look(name)
            except KubeError as error:
                self.errors.append(error)
                self.queue.wakes[name] = 0.1
            self.queue.done(name)
        raise AssertionError("it never comes to rest")

    async def passes(self, seconds: float) -> None:
        """Time passes; whoever wanted to be looked at meanwhile is."""
        self.now += timedelta(seconds=seconds)
        wakes, self.queue.wakes = self.queue.wakes, {}
        for name, after in wakes.items():
            if after <= seconds:
                self.queue.add(name)
            else:
                self.queue.wakes[name] = after - seconds
        await self.settle()

    async def events(self) -> list[dict[str, Any]]:
        """All Events that were posted."""
        self.poster.start()
        await self.poster.stop(5)
        return [request.body for request in self.fake.requested("POST", "events")]

    # --- what is in the cluster ---------------------------------------------------------------

    def template(self, qual_name: str = "a.Job", **spec: Any) -> None:
        meta = {"name": qual_name.lower()}
        self.fake.put(
            "corejobtemplates", {"metadata": meta, "spec": {"qualName": qual_name, **spec}}
        )

    def corejob(self, name: str, *, held: bool = True, **spec: Any) -> dict[str, Any]:
        status = spec.pop("status", None)
        meta = {"name": name, "finalizers": [names.FINALIZER] if held else []}
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
        """The pod of a Job, as kubelet and scheduler report it; `name` is its name's end."""
        body = self.fake.objects["jobs"][job]
        owner = {"uid": body["metadata"]["uid"], "name": job, "kind": "Job", "controller": True}
        made = body["spec"]["template"]["metadata"]
        meta = {"name": f"{job}-{name}", **made, "ownerReferences": [owner]}
        status = {"phase": phase, "containerStatuses": [{"name": "job", "state": state}]}
        self.fake.put("pods", {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": status})
