"""Time from a job's writing of a line to its arrival: the event stream against `kubectl logs -f`.

Both follow the same job at the same time, and the same lines are compared. The time of a line is
the job's, so the node must share this machine's clock (on the local cluster and on kind it does).
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.bench.figures import comparison, summary
from tests.cluster.commands import environment
from tests.support.jobs import CHATTY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

_SHARES = (0.5, 0.99, 0.999)
_MARGIN_SECONDS = 60


def measure(rest: Rest, kubectl: Kubectl, *, rate: int, seconds: int) -> dict[str, Any]:
    """Follow a job that logs at a steady rate, both ways."""
    # The size makes the arguments unique: an interrupted run's job may still be in the queue.
    size = 100 + time.time_ns() % 1000
    arguments = {"rate": rate, "seconds": seconds, "size": size}
    with rest.run(CHATTY, **arguments) as stream:
        pod = stream.state("running")["locked"]["worker"]
        with _followed(kubectl, pod) as theirs:
            stream.to_close(seconds + _MARGIN_SECONDS)
    ours = {
        number: frame.at - frame.data["epoch"]
        for frame in stream.frames
        if frame.event == "log" and (number := _number(frame.data["message"])) is not None
    }
    assert len(ours) == rate * seconds, f"{len(ours)} of {rate * seconds} lines in the stream"
    # Leave out the lines that were written before kubectl had connected.
    both = sorted(number for number in ours if number in theirs and number > rate)
    assert both, "kubectl logs -f showed none of the lines"
    series = [
        summary("core4: written -> frame", [ours[number] for number in both], _SHARES),
        summary("written -> line by kubectl logs -f", [theirs[number] for number in both], _SHARES),
    ]
    added = summary("the same line: ours - theirs", [ours[x] - theirs[x] for x in both], _SHARES)
    return {
        "title": f"a line: from its writing to its arrival, {rate} lines a second",
        "series": [*series, added],
        "comparisons": [comparison(series[0], series[1])],
    }


@contextmanager
def _followed(kubectl: Kubectl, pod: str) -> Iterator[dict[int, float]]:
    """Return the delay of each line by kubectl, by the line's number; filled in the background."""
    process = subprocess.Popen(
        kubectl.argv("logs", "-f", pod),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    delays: dict[int, float] = {}
    with process:
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, delays))
        reader.start()
        try:
            yield delays
        finally:
            # kubectl ends by itself with the pod's log.
            reader.join(_MARGIN_SECONDS)
            process.terminate()
            reader.join()


def _read(output: IO[str], delays: dict[int, float]) -> None:
    for line in output:
        at = time.time()
        told = json.loads(line)
        number = _number(told.get("message") or "")
        if told["type"] == "log" and number is not None:
            delays[number] = at - told["time"]


def _number(message: str) -> int | None:
    first = message.partition(" ")[0]
    return int(first) if first.isdecimal() else None
