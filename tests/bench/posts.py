"""`POST /job` against a raw create of the same CoreJob, by several numbers of clients.

The jobs of both kinds wait: those of the service behind a running job of the same class, those of
the baseline in a namespace without a service. Rounds of both kinds take turns. The operator reports
of many new jobs later why they wait; the next round begins after that.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

from tests.bench import idle
from tests.bench.client import Send, administrator, creator, enqueuer, send_all
from tests.bench.figures import percentile, spread
from tests.bench.reported import wait_reported
from tests.bench.simulated import WAITING, Stage
from tests.cluster.output import say

from corejob_kube.client import Kube
from corejob_kube.resources import COREJOBS

_SHARES: Final = (0.5, 0.99)
_COPIED: Final = ("labels", "annotations")
_APISERVER: Final = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one kind.

    Attributes:
        seconds: Duration of the round.
        delays: Duration of each request, in seconds.
        cpu: Processor time in seconds, of the API and of the API server.
        later: Processor time in seconds of the API server, from the end of the round until the
            operator has reported of all its jobs, less that of the idle API server.
    """

    seconds: float
    delays: list[float]
    cpu: tuple[float, float]
    later: float = 0.0

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return len(self.delays) / self.seconds

    @property
    def whole(self) -> float:
        """Processor time in seconds of the API server, until all jobs are reported."""
        return self.cpu[1] + self.later


def measure(stage: Stage, *, clients: Sequence[int], jobs: int, pairs: int) -> dict[str, Any]:
    """Enqueue `jobs` jobs in each round, with each number of clients."""
    first = stage.rest.enqueue(WAITING[0], first=True)
    stage.rest.wait_state(first, "running")
    rows = asyncio.run(_all(stage, clients, jobs, pairs))
    title = f"POST /job against a raw create, {pairs} rounds of {jobs} jobs that wait"
    return {"title": title, "rows": rows}


async def _all(stage: Stage, clients: Sequence[int], jobs: int, pairs: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(administrator(stage.raw))
        stamp = time.time_ns()
        post = await stack.enter_async_context(
            enqueuer(stage.rest, lambda _: (WAITING[0], {"n": time.monotonic_ns() - stamp}))
        )
        # The first requests of a process are slower than the others.
        await send_all(post, clients=1, count=10)
        document = await _copy(kube, stage)
        create = creator(kube, COREJOBS.path(stage.raw.namespace), lambda _: document)
        await send_all(create, clients=1, count=10)
        await asyncio.to_thread(wait_reported, stage.rest)
        processes = {_APISERVER: stage.process(_APISERVER)}
        share = (await idle.shares(processes))[_APISERVER]
        for count in clients:
            ours, raw = [], []
            for number in range(pairs):
                ours.append(await _reported(stage, await _round(stage, post, count, jobs), share))
                raw.append(await _round(stage, create, count, jobs))
                say(f"{count} clients, round {number + 1} of {pairs}")
            rows += _rows(count, ours, raw)
    return rows


async def _copy(kube: Kube, stage: Stage) -> dict[str, Any]:
    """Return one of the service's waiting CoreJobs as a document of the other namespace."""
    items, _ = await kube.list(COREJOBS, stage.release.namespace)
    pattern = items[-1]
    metadata = {name: pattern["metadata"].get(name) or {} for name in _COPIED}
    return {
        "apiVersion": pattern["apiVersion"],
        "kind": pattern["kind"],
        "metadata": {
            **metadata,
            "generateName": "raw-",
            "namespace": stage.raw.namespace,
        },
        "spec": pattern["spec"],
    }


async def _round(stage: Stage, send: Send, clients: int, jobs: int) -> Round:
    before, began = _usage(stage), time.monotonic()
    delays = await send_all(send, clients=clients, count=jobs)
    took = time.monotonic() - began
    api, apiserver = (after - used for after, used in zip(_usage(stage), before, strict=True))
    return Round(took, delays, (api, apiserver))


async def _reported(stage: Stage, done: Round, idle_share: float) -> Round:
    """Wait until the operator has reported of all jobs of a round; return it with that time."""
    before, began = stage.process(_APISERVER).usage().cpu, time.monotonic()
    await asyncio.to_thread(wait_reported, stage.rest)
    used = stage.process(_APISERVER).usage().cpu - before
    return replace(done, later=used - idle_share * (time.monotonic() - began))


def _usage(stage: Stage) -> tuple[float, float]:
    return stage.process("api").usage().cpu, stage.process(_APISERVER).usage().cpu


def _rows(count: int, ours: Sequence[Round], raw: Sequence[Round]) -> list[dict[str, Any]]:
    mine = {**_row(f"{count} clients: POST /job", ours), "clients": count}
    theirs = {**_row(f"{count} clients: raw create", raw), "clients": count}
    mine["apiserver ms, reported"] = _ms(median(each.whole / len(each.delays) for each in ours))
    mine["api ms"] = _ms(median(each.cpu[0] / len(each.delays) for each in ours))
    rates = [first.rate / second.rate for first, second in zip(ours, raw, strict=True)]
    ratios = {name: mine[name] / theirs[name] for name in theirs if name.startswith("p")}
    ratio = {"name": "  core4 / raw", "clients": count, "jobs/s": f"x{spread(rates)}"}
    return [mine, theirs, ratio | {name: f"x{value:.2f}" for name, value in ratios.items()}]


def _row(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    delays = [delay for each in rounds for delay in each.delays]
    return {
        "name": name,
        "jobs/s": round(median(each.rate for each in rounds), 1),
        **{f"p{share * 100:g} ms": _ms(percentile(delays, share)) for share in _SHARES},
        "apiserver ms": _ms(median(each.cpu[1] / len(each.delays) for each in rounds)),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
