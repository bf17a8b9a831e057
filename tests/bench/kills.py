"""From a kill to the end of the pod and to the state `killed`, against the deletion of a raw pod.

Both pods run the same job, and one watch tells the end of both. The deletion is the request of
`kubectl delete pod`, without the start of kubectl.
"""

import time
from typing import Any, Final

from tests.bench.figures import comparison, summary
from tests.bench.pod_ends import PodEnds, watched_ends
from tests.bench.raw import Cluster
from tests.cluster.output import Heartbeat
from tests.support.jobs import SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

_SHARES: Final = (0.5, 0.9)
_SLEEP_S: Final = 600
_BEGUN: Final = "sleeping"
"""Start of the line that the job writes when it can be stopped."""


def measure(rest: Rest, cluster: Cluster, kubectl: Kubectl, *, rounds: int) -> dict[str, Any]:
    """Kill the same job repeatedly in each way, taking turns."""
    killed: list[float] = []
    ends: dict[str, list[float]] = {name: [] for name in ("core4", "raw")}
    stops: dict[str, list[float]] = {name: [] for name in ends}
    heartbeat = Heartbeat("kills")
    with watched_ends(kubectl) as watch, rest.by_token() as quick:
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
    # A raw pod has nothing like the state `killed`, which is shown while the pod still runs.
    pairs = ((series[1], series[3]), (series[2], series[4]))
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
    watch.wait_gone(pod)
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
        watch.wait_gone(pod)
    finally:
        cluster.delete_job(job)
    return began, pod
