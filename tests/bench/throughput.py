"""The number of lines that one recorder can store: steadily writing pods, against a raw `tail -f`.

Both follow the same pods at the same time. The recorder's delay is measured as a client sees it: it
asks repeatedly for a job's newest record. Afterwards the age that the next record had at that
moment is known, by its own time and the client's clock. (The clocks have to be the same: they are
on the local cluster and on kind.)
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import child, step
from tests.bench.raw import Cluster
from tests.bench.step import Cost, Seen
from tests.bench.usage import RECORDER, Process, Usage
from tests.cluster.output import Heartbeat
from tests.support.jobs import CHATTY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

_SIZE = 150
_MARGIN_SECONDS = 120
_PAUSE_SECONDS = 0.2
_LAST = "done execution"
_NEWEST_FIRST = [["_id", -1]]
# Used pages, of the file and of what is still in the WAL.
_BYTES = (
    "import sqlite3; one = lambda what: db.execute('PRAGMA ' + what).fetchone()[0];"
    " db = sqlite3.connect('file:/var/lib/core4/journal.db?mode=ro', uri=True);"
    " print((one('page_count') - one('freelist_count')) * one('page_size'))"
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The clients that the measurement uses."""

    rest: Rest
    cluster: Cluster
    kubectl: Kubectl
    recorder: Process


def measure(
    rest: Rest,
    cluster: Cluster,
    kubectl: Kubectl,
    *,
    rates: Sequence[int],
    pods: int,
    seconds: int,
) -> dict[str, Any]:
    """Measure a step for each rate, of all pods together."""
    with rest.by_token() as quick:
        parts = Parts(quick, cluster, kubectl, Process.of(cluster, kubectl, RECORDER))
        rows = [row for rate in rates for row in _step(parts, rate, pods=pods, seconds=seconds)]
    return {"title": f"one recorder, {pods} pods that write for {seconds} s", "rows": rows}


def _step(parts: Parts, rate: int, *, pods: int, seconds: int) -> list[dict[str, Any]]:
    # Before the first line: the recorder's usage is that of all lines, as the tail's is.
    bytes_before, before = _stored_bytes(parts.kubectl), parts.recorder.usage()
    jobs = _start(parts.rest, rate / pods, pods, seconds)
    names = [seen.pod for seen in jobs.values()]
    with child.started(parts.kubectl, "tests.bench.tail", *names) as process:
        usages = _watch(parts, jobs, seconds + _MARGIN_SECONDS)
        output, _ = process.communicate(timeout=_MARGIN_SECONDS)
    told = json.loads(output)
    lines, lost = _counted(parts.rest, jobs, int(rate / pods * seconds))
    _weigh(parts.rest, jobs)
    size = _stored_bytes(parts.kubectl) - bytes_before
    seen, tails = list(jobs.values()), [told["pods"][name] for name in names]
    since = step.steady_since(tails)
    used = Cost(usages[-1].cpu - before.cpu, max(each.mib for each in usages))
    ours = {
        "name": f"{rate} lines/s: recorder",
        "rate": rate,
        **step.recorder(seen, since, used, lines=lines),
        "lost": lost,
        "bytes/line": round(size / lines),
    }
    used = Cost(told["cpu"], told["mib"])
    base = {
        "name": f"{rate} lines/s: raw tail",
        "rate": rate,
        **step.raw_tail(seen, tails, since, used, lines=lines),
    }
    ratio = {"name": "  recorder / raw tail", "rate": rate, **step.ratio(ours, base)}
    return [ours, base, ratio]


def _start(rest: Rest, rate: float, pods: int, seconds: int) -> dict[str, Seen]:
    """Start jobs, and return their ids."""
    # The size makes the arguments unique: jobs of an interrupted run may still be in the queue.
    new = time.time_ns() // 1000 % 20
    ids = [
        rest.enqueue(CHATTY, rate=rate, seconds=seconds, size=_SIZE + new + number)
        for number in range(pods)
    ]
    return {each: Seen(rest.wait_state(each, "running")["locked"]["worker"]) for each in ids}


def _watch(parts: Parts, jobs: dict[str, Seen], seconds: float) -> list[Usage]:
    """Poll the jobs and the recorder until all logs are complete."""
    heartbeat, usages = Heartbeat("throughput"), []
    while not all(job.complete for job in jobs.values()):
        assert heartbeat.elapsed < seconds, f"the logs are not complete after {seconds} s: {jobs}"
        usages.append(parts.recorder.usage())
        for job_id, job in jobs.items():
            if not job.complete:
                _look(parts, job_id, job)
        heartbeat.beat(f"{sum(job.complete > 0 for job in jobs.values())} logs are complete")
        time.sleep(_PAUSE_SECONDS)
    return [*usages, parts.recorder.usage()]


def _look(parts: Parts, job_id: str, job: Seen) -> None:
    asked = time.time()
    newest = parts.rest.data("GET", f"job/log/{job_id}", per_page=1, sort=_NEWEST_FIRST)
    if newest and not job.stored:
        record = newest[0]
        job.last = record["epoch"]
        if record["message"].startswith(_LAST):
            job.stored = time.time()
        else:
            job.looks.append((asked, int(record["_id"])))
    path = f"/apis/core4.io/v1/namespaces/{parts.kubectl.namespace}/corejobs/{job_id}"
    log = json.loads(parts.cluster.text(path))["status"].get("log") or {}
    if log.get("complete"):
        job.complete = time.time()
        job.named = bool(log.get("lost"))


def _counted(rest: Rest, jobs: dict[str, Seen], each: int) -> tuple[int, int]:
    """Return the number of stored records and of missing lines; missing ones must be named.

    While the kubelet rotates a log, it leaves out what is written between its last reading of the
    old file and the new one: no client receives that.
    """
    total, lost = 0, 0
    for job_id, job in jobs.items():
        answer = rest.answer("GET", f"job/log/{job_id}", per_page=1)
        total += answer["total_count"]
        job.first = answer["data"][0]["epoch"]
        numbered = rest.answer("GET", f"job/log/{job_id}", per_page=1, grep=r"^\d+ x")
        missing = each - numbered["total_count"]
        assert not missing or job.named, f"job {job_id}: {missing} lines are missing in silence"
        lost += missing
    return total, lost


def _weigh(rest: Rest, jobs: dict[str, Seen]) -> None:
    """Determine for each request the record that had not arrived yet."""
    for job_id, job in jobs.items():
        for asked, seq in job.looks:
            # Numbers have no gaps, so the page after the newest record has just the next one.
            waiting = rest.data("GET", f"job/log/{job_id}", per_page=1, page=seq)[0]["epoch"]
            job.behind.append((waiting, max(0.0, asked - waiting)))


def _stored_bytes(kubectl: Kubectl) -> int:
    python = ("python", "-c", _BYTES)
    return int(kubectl("exec", "deployment/core4-api", "--container=recorder", "--", *python))
