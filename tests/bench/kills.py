"""From a kill to the end of the pod and to the state `killed`, against the deletion of a raw pod.

Both pods run the same job, and one watch tells the end of both. The deletion is the request of
`kubectl delete pod`, without the start of kubectl.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.client import administrator
from tests.bench.figures import comparison, summary
from tests.bench.raw import Cluster
from tests.cluster.output import Heartbeat
from tests.support.jobs import SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

from corejob_kube.resources import PODS

_SHARES: Final = (0.5, 0.9)
_SLEEP_S: Final = 600
_SECONDS: Final = 60.0
_BEGUN: Final = "sleeping"
"""Start of the line that the job writes when it can be stopped."""


@dataclass(slots=True)
class PodEnds:
    """Times at which the watch told of the ends of pods, by their names.

    Attributes:
        stopped: The container has ended, or the pod is gone.
        gone: The pod is gone.
    """

    stopped: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, event: dict[str, Any]) -> None:
        """Take in one event of the watch."""
        now, pod = time.time(), event["object"]
        name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase")
        with self._changed:
            if event["type"] == "DELETED":
                self.gone.setdefault(name, now)
            if event["type"] == "DELETED" or phase in {"Failed", "Succeeded"}:
                self.stopped.setdefault(name, now)
            self._changed.notify_all()

    def wait(self, pod: str) -> None:
        """Wait until a pod is gone."""
        with self._changed:
            told = self._changed.wait_for(lambda: pod in self.gone, _SECONDS)
        assert told, f"the pod {pod} is not gone after {_SECONDS:g} s"


def measure(rest: Rest, cluster: Cluster, kubectl: Kubectl, *, rounds: int) -> dict[str, Any]:
    """Kill the same job repeatedly in each way, taking turns."""
    killed: list[float] = []
    ends: dict[str, list[float]] = {name: [] for name in ("core4", "raw")}
    stops: dict[str, list[float]] = {name: [] for name in ends}
    heartbeat = Heartbeat("kills")
    with _watched(kubectl) as watch, rest.by_token() as quick:
        # The first one of each kind is not counted.
        for number in range(rounds + 1):
            began, pod, seen = _kill(quick, watch)
            since, raw = _delete(cluster, watch)
            if number:
                killed.append(seen - began)
                for name, start, ended in (("core4", began, pod), ("raw", since, raw)):
                    ends[name].append(watch.gone[ended] - start)
                    stops[name].append(watch.stopped[ended] - start)
            heartbeat.beat(f"{number} of {rounds} rounds")
    ours, theirs = "PUT /job/kill", "DELETE of a raw pod"
    series = [
        summary(f"{ours} -> `killed` on the stream", killed, _SHARES),
        summary(f"{ours} -> container ended", stops["core4"], _SHARES),
        summary(f"{ours} -> pod gone", ends["core4"], _SHARES),
        summary(f"{theirs} -> container ended", stops["raw"], _SHARES),
        summary(f"{theirs} -> pod gone", ends["raw"], _SHARES),
    ]
    pairs = ((series[0], series[4]), (series[1], series[3]), (series[2], series[4]))
    comparisons = [comparison(mine, base) for mine, base in pairs]
    return {"title": "kill", "series": series, "comparisons": comparisons}


def _kill(rest: Rest, watch: PodEnds) -> tuple[float, str, float]:
    """Return the time of the kill, the pod, and the time of the state `killed`."""
    # The duration makes the arguments unique: an interrupted run's job may still be in the queue.
    with rest.run(SLEEPY, sleep=_SLEEP_S + time.time_ns() % 10**9 / 10**9) as stream:
        stream.line(_BEGUN)
        document = stream.state("running")
        job_id, pod = document["_id"], document["locked"]["worker"]
        began = time.time()
        rest.kill(job_id)
        killed = stream.wait(
            lambda frame: frame.event == "state" and frame.data["state"] == "killed",
            what="the state `killed`",
        )
        stream.to_close()
    watch.wait(pod)
    rest.remove(job_id)
    return began, pod, killed.at


def _delete(cluster: Cluster, watch: PodEnds) -> tuple[float, str]:
    """Return the time of the deletion, and the pod."""
    job = cluster.create_job({"sleep": _SLEEP_S}, SLEEPY)
    try:
        pod = cluster.started_pod(job)
        cluster.line(pod, _BEGUN)
        began = time.time()
        cluster.delete_pod(pod)
        watch.wait(pod)
    finally:
        cluster.delete_job(job)
    return began, pod


@contextlib.contextmanager
def _watched(kubectl: Kubectl) -> Iterator[PodEnds]:
    """Watch the pods in a thread, since the rest waits for single requests."""
    ends, loop = PodEnds(), asyncio.new_event_loop()
    watching = loop.create_task(_watch(kubectl, ends))
    thread = threading.Thread(target=_until_cancelled, args=(loop, watching))
    thread.start()
    try:
        yield ends
    finally:
        loop.call_soon_threadsafe(watching.cancel)
        thread.join()
        loop.close()


async def _watch(kubectl: Kubectl, ends: PodEnds) -> None:
    path, params = PODS.path(kubectl.namespace), {"watch": "true"}
    async with (
        administrator(kubectl) as kube,
        kube.stream(path, params=params, idle=None) as content,
    ):
        async for line in content:
            ends.take(json.loads(line))


def _until_cancelled(loop: asyncio.AbstractEventLoop, watching: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(watching)
