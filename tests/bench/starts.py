"""From the request to the first line of the job: the service against a Job made by hand.

The kinds take turns, so that other load of the machine affects them alike.
"""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.bench.figures import comparison, summary
from tests.bench.raw import Cluster
from tests.cluster.commands import environment
from tests.cluster.output import Heartbeat
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

FIRST = "start execution"
_SHARES = (0.5, 0.9, 0.99)
_SLEEP = 0.2


def measure(rest: Rest, cluster: Cluster, kubectl: Kubectl, *, rounds: int) -> dict[str, Any]:
    """Start the same job repeatedly in each way."""
    kinds: dict[str, Callable[[int], float]] = {
        "core4: POST /job -> first frame": lambda number: _ours(rest, number),
        "raw Job -> first line by REST": lambda number: _raw(cluster, number),
        "raw Job -> first line by kubectl logs -f": lambda number: _kubectl(
            cluster, kubectl, number
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    heartbeat = Heartbeat("starts")
    # The first start of each kind is not counted: it reads the image's files from disk.
    for number in range(rounds + 1):
        for name, start in kinds.items():
            seconds = start(number)
            if number:
                taken[name].append(seconds)
        heartbeat.beat(f"{number} of {rounds} rounds")
    series = [summary(name, values, _SHARES) for name, values in taken.items()]
    return {
        "title": "start: from the request to the job's first line",
        "series": series,
        "comparisons": [comparison(series[0], base) for base in series[1:]],
    }


def _args(kind: str, number: int) -> dict[str, Any]:
    return {"sleep": _SLEEP, "loop_time": _SLEEP, "bench": f"{kind}-{number}-{time.time_ns()}"}


def _ours(rest: Rest, number: int) -> float:
    began = time.monotonic()
    with rest.run(DUMMY, **_args("core4", number)) as stream:
        stream.line(FIRST)
        seconds = time.monotonic() - began
        stream.to_close()
    return seconds


def _raw(cluster: Cluster, number: int) -> float:
    began = time.monotonic()
    name = cluster.create_job(_args("raw", number))
    try:
        line = cluster.first_line(cluster.started_pod(name))
        seconds = time.monotonic() - began
    finally:
        cluster.delete_job(name)
    _check(line)
    return seconds


def _kubectl(cluster: Cluster, kubectl: Kubectl, number: int) -> float:
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
    return seconds


def _check(line: str) -> None:
    """Check that the line is the one that our side waits for; otherwise the comparison is void."""
    assert json.loads(line)["message"] == FIRST, f"not the first line: {line}"
