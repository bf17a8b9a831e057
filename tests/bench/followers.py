"""Many followers of one job, with and without a slow one, against a bare fan-out.

The clients reach the API by the service's URL, as all others do, so the figures include the
network in between. They also include the load of the clients, which share the machine. The fan-out
is a process of this machine; the same clients connect to it after they have left the service. The
job is the same throughout: a delay is the time from a line's writing to its arrival at a client.
"""

import asyncio
import contextlib
import math
import resource
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import uvloop
from tests.bench import child
from tests.bench.crowd import Crowd
from tests.bench.figures import percentile
from tests.bench.raw import Cluster
from tests.bench.usage import API, LocalProcess, Process, Usage
from tests.cluster.output import say
from tests.support.jobs import CHATTY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.waiting import until

_RATE = 2
_SECONDS = 3600
_SIZE = 150
_HISTORY = 30_000
"""Lines before the steady ones: more than the slow client's connection buffers."""
_STEADY_S = 1.0
"""If the newest stored line is older than this, the recorder still stores the history."""
_STORED_S = 60.0


class _Measured(Protocol):
    def usage(self) -> Usage:
        """Its usage of processor and memory."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A running job, and the clients that ask about it.

    Attributes:
        pod: Name of its pod.
        follow: URL that follows it.
        lines: Number of lines measured in each part.
    """

    rest: Rest
    kubectl: Kubectl
    api: Process
    job_id: str
    pod: str
    follow: str
    lines: int

    @property
    def headers(self) -> list[str]:
        """Headers of a signed-in client."""
        return [f"Authorization: {self.rest.authorization}"]


def measure(
    rest: Rest, cluster: Cluster, kubectl: Kubectl, *, counts: Sequence[int], lines: int
) -> dict[str, Any]:
    """Measure one part for each number of followers."""
    most = max(counts) * 2 + 200
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard), hard))
    with rest.by_token() as quick:
        # The size makes the arguments unique: an interrupted run's job may still be in the queue.
        size = _SIZE + time.time_ns() // 1000 % 50
        arguments = {"rate": _RATE, "seconds": _SECONDS, "size": size, "burst": _HISTORY}
        job_id = quick.enqueue(CHATTY, **arguments)
        try:
            pod = quick.wait_state(job_id, "running")["locked"]["worker"]
            follow = f"{quick.url}/job/follow/{job_id}"
            api = Process.of(cluster, kubectl, API)
            parts = Parts(quick, kubectl, api, job_id, pod, follow, lines)
            until(
                lambda: _age(parts),
                lambda age: age < _STEADY_S,
                what="the history is stored, and the newest line is a numbered one",
                seconds=_STORED_S,
            )
            rows = uvloop.run(_all(parts, counts))
        finally:
            quick.kill(job_id)
            quick.remove(job_id)
    title = f"followers of one job that writes {_RATE} lines/s, through {rest.url}"
    return {"title": title, "rows": rows}


async def _all(parts: Parts, counts: Sequence[int]) -> list[dict[str, Any]]:
    say("1 follower")
    one = await _ours(parts, 1)
    rows = [one]
    for count in counts:
        say(f"{count} followers")
        crowd = Crowd()
        await crowd.join(f"{parts.follow}?tail=0", count, parts.headers)
        alone = await _part(parts, f"{count} followers", crowd, parts.api)
        with _slow(parts):
            beside = await _part(parts, f"{count}, and a slow one", crowd, parts.api)
        await crowd.leave()
        bare = await _fan_out(parts, count)
        rows += [alone, beside, bare]
        rows += [_ratio("  to one", alone, one), _ratio("  to the fan-out", alone, bare)]
        rows.append(_ratio("  with / without a slow one", beside, alone))
    return rows


async def _ours(parts: Parts, count: int) -> dict[str, Any]:
    crowd = Crowd()
    await crowd.join(f"{parts.follow}?tail=0", count, parts.headers)
    row = await _part(parts, f"{count} follower", crowd, parts.api)
    await crowd.leave()
    return row


async def _fan_out(parts: Parts, count: int) -> dict[str, Any]:
    with child.started(parts.kubectl, "tests.bench.fanout", parts.pod) as process:
        assert process.stdout is not None
        port = int(await asyncio.to_thread(process.stdout.readline))
        crowd = Crowd()
        await crowd.join(f"http://127.0.0.1:{port}/", count)
        row = await _part(parts, f"{count} of a bare fan-out", crowd, LocalProcess(process.pid))
        await crowd.leave()
    return row


async def _part(parts: Parts, name: str, crowd: Crowd, server: _Measured) -> dict[str, Any]:
    """Measure `lines` lines: the delay of each at each client, and the server's usage."""
    before, began = await asyncio.to_thread(server.usage), time.monotonic()
    arrivals = await crowd.hear(parts.lines)
    after, took = await asyncio.to_thread(server.usage), time.monotonic() - began
    written = await asyncio.to_thread(_written, parts, set(arrivals))
    delays = [at - written[number] for number, times in arrivals.items() for at in times]
    shares = {"p50 ms": 0.5, "p99 ms": 0.99, "max ms": 1.0}
    return {
        "name": name,
        **{label: round(percentile(delays, share) * 1000, 1) for label, share in shares.items()},
        "cores": round((after.cpu - before.cpu) / took, 3),
        "MiB": round(after.mib, 1),
    }


def _age(parts: Parts) -> float:
    """Return the seconds since the writing of the newest numbered line; infinite without one."""
    return time.time() - max(_newest(parts).values(), default=-math.inf)


def _written(parts: Parts, numbers: set[int]) -> dict[int, float]:
    """Return the times at which the newest lines were written, by their numbers.

    The bare fan-out doesn't wait for the recorder, so the last of `numbers` may be stored later.
    """
    return until(
        lambda: _newest(parts),
        lambda found: numbers <= found.keys(),
        what=f"the lines {numbers} are stored",
        seconds=_STORED_S,
    )


def _newest(parts: Parts) -> dict[int, float]:
    records = parts.rest.data("GET", f"job/log/{parts.job_id}", tail=1000, per_page=1000)
    return numbered((record["message"], record["epoch"]) for record in records)


def numbered(lines: Iterable[tuple[str, float]]) -> dict[int, float]:
    """Return the times of the lines that begin with a number, by that number."""
    found = [(message.partition(" ")[0], epoch) for message, epoch in lines]
    return {int(number): epoch for number, epoch in found if number.isdecimal()}


@contextlib.contextmanager
def _slow(parts: Parts) -> Iterator[None]:
    """Follow the whole log from the first line, and read nothing of it."""
    where = urlsplit(parts.follow)
    lines = [f"GET {where.path} HTTP/1.1", f"Host: {where.netloc}", *parts.headers]
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((socket.gethostbyname(where.hostname or ""), where.port))
        slow.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        yield


def _ratio(name: str, ours: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    numbers = {label: value for label, value in base.items() if label != "name" and value}
    return {
        "name": name,
        **{label: f"x{ours[label] / value:.2f}" for label, value in numbers.items()},
    }
