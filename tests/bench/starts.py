"""From the request to the first line of the job: the service against a Job made by hand.

The kinds take turns, so that other load of the machine affects them alike, and each begins after
the end of the previous one's pod.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.bench.figures import comparison, summary
from tests.bench.pod_ends import PodEnds, watched_ends
from tests.bench.raw import Cluster
from tests.cluster.commands import environment
from tests.cluster.output import Heartbeat
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

FIRST = "start execution"
_SLEEP = 0.2
_SHARES: Final = (0.5, 0.9)
_HUNDREDTH: Final = 0.99
_MANY: Final = 100
"""Rounds from which on a p99 is more than the slowest of them."""


def measure(rest: Rest, cluster: Cluster, kubectl: Kubectl, *, rounds: int) -> dict[str, Any]:
    """Start the same job repeatedly in each way."""
    with watched_ends(kubectl) as ends:
        kinds: dict[str, Callable[[int], float]] = {
            "core4: POST /job -> first frame": lambda number: _ours(rest, ends, number),
            "raw Job -> first line by REST": lambda number: _raw(cluster, ends, number),
            "raw Job -> first line by kubectl logs -f": lambda number: _kubectl(
                cluster, kubectl, ends, number
            ),
        }
        taken = _taken(kinds, rounds)
    series = [summary(name, values, shares(rounds)) for name, values in taken.items()]
    return {
        "title": "start: from the request to the job's first line",
        "series": series,
        "comparisons": [comparison(series[0], base) for base in series[1:]],
    }


def shares(rounds: int) -> tuple[float, ...]:
    """Return the percentiles that so many rounds can tell: of fewer, p99 is the slowest one."""
    return (*_SHARES, _HUNDREDTH) if rounds >= _MANY else _SHARES


def _taken(kinds: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each start, by kind."""
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    heartbeat = Heartbeat("starts")
    # The first start of each kind is not counted: it reads the image's files from disk.
    for number in range(rounds + 1):
        for name, start in kinds.items():
            seconds = start(number)
            if number:
                taken[name].append(seconds)
        heartbeat.beat(f"{number} of {rounds} rounds")
    return taken


def _args(kind: str, number: int) -> dict[str, Any]:
    return {"sleep": _SLEEP, "loop_time": _SLEEP, "bench": f"{kind}-{number}-{time.time_ns()}"}


def _ours(rest: Rest, ends: PodEnds, number: int) -> float:
    began = time.monotonic()
    with rest.run(DUMMY, **_args("core4", number)) as stream:
        stream.line(FIRST)
        seconds = time.monotonic() - began
        pod = stream.state("running")["locked"]["worker"]
        stream.to_close()
    # The pod itself stays for a while, but nothing is left to do about it.
    ends.wait_stopped(pod)
    return seconds


def _raw(cluster: Cluster, ends: PodEnds, number: int) -> float:
    began = time.monotonic()
    name = cluster.create_job(_args("raw", number))
    try:
        pod = cluster.started_pod(name)
        line = cluster.first_line(pod)
        seconds = time.monotonic() - began
    finally:
        cluster.delete_job(name)
    _check(line)
    ends.wait_gone(pod)
    return seconds


def _kubectl(cluster: Cluster, kubectl: Kubectl, ends: PodEnds, number: int) -> float:
    """Wait for the container, then follow it: kubectl refuses to follow one that hasn't started."""
    began = time.monotonic()
    name = cluster.create_job(_args("kubectl", number))
    try:
        pod = cluster.started_pod(name)
        process = subprocess.Popen(
            kubectl.argv("logs", "-f", pod),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = time.monotonic() - began
            process.terminate()
    finally:
        cluster.delete_job(name)
    _check(line)
    ends.wait_gone(pod)
    return seconds


def _check(line: str) -> None:
    """Check that the line is the one that our side waits for; otherwise the comparison is void."""
    assert json.loads(line)["message"] == FIRST, f"not the first line: {line}"
