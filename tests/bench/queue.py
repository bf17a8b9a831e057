"""A long queue: lists of it, memory of the service, and a start with it.

Thousands of jobs of some names wait, and some run. Then the API and the operator are replaced, with
the same queue.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.bench import ready
from tests.bench.client import enqueuer, send_all
from tests.bench.figures import percentile
from tests.bench.reported import unreported
from tests.bench.simulated import RUN, WAITING, Stage
from tests.cluster.output import say
from tests.support.waiting import until

_CLIENTS: Final = 16
_REQUESTS: Final = 200
_SHARES: Final = (0.5, 0.99)
_SETTLED_S: Final = 900.0
_TEXT: Final = "some text of a job's arguments"
_LISTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "page": {},
    "search": {"search": "Wait1?"},
    "filter": {"filter": {"priority": {"$gte": 0}, "enqueued.username": {"$in": ["admin", "x"]}}},
    "sort": {"sort": [["priority", -1], ["qual_name", 1]]},
}
"""Arguments of the lists that are measured."""
_PROCESSES: Final = ("api", "recorder", "operator")


def measure(stage: Stage, *, sizes: Sequence[int], running: int) -> dict[str, Any]:
    """Fill the queue to each of the sizes, and measure it there."""
    rows: list[dict[str, Any]] = []
    # One of each waiting name runs as well.
    asyncio.run(_enqueue(stage, [RUN], range(running - len(WAITING))))
    enqueued = 0
    for size in sorted(sizes):
        say(f"filling the queue with {size} jobs")
        asyncio.run(_enqueue(stage, WAITING, range(enqueued, size + len(WAITING))))
        enqueued = size + len(WAITING)
        _settle(stage, size, running)
        label = f"{size} waiting, {running} running"
        found = [_list(stage, f"{label}: {name}", args) for name, args in _LISTS.items()]
        found.append({"name": f"{label}: memory", **_memory(stage)})
        starts = ready.starts(stage.release, "api") | ready.starts(stage.release, "operator")
        seconds = {f"{name} ready s": round(value, 2) for name, value in starts.items()}
        found.append({"name": f"{label}: start", **seconds, **_memory(stage)})
        rows += [row | {"waiting": size} for row in found]
    return {"title": "a long queue: GET /job, memory, start", "rows": rows}


async def _enqueue(stage: Stage, names: Sequence[str], numbers: range) -> None:
    def job(number: int) -> tuple[str, dict[str, Any]]:
        return names[number % len(names)], {"n": numbers[number], "text": _TEXT}

    async with enqueuer(stage.rest, job) as send:
        await send_all(send, clients=_CLIENTS, count=len(numbers))


def _settle(stage: Stage, waiting: int, running: int) -> None:
    """Wait until the operator has given all jobs their state, and reported why they wait."""

    def counts() -> tuple[int, int, int]:
        rest = stage.rest
        return (
            rest.answer("GET", "job", per_page=1, filter={"state": "pending"})["total_count"],
            rest.answer("GET", "job", per_page=1, filter={"state": "running"})["total_count"],
            unreported(rest),
        )

    until(
        counts,
        lambda found: found == (waiting, running, 0),
        what=f"{waiting} jobs wait and {running} run, and none is unreported",
        seconds=_SETTLED_S,
        every=1.0,
    )


def _list(stage: Stage, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    stage.rest.data("GET", "job", **arguments)
    process, delays = stage.process("api"), []
    before = process.usage().cpu
    for _ in range(_REQUESTS):
        began = time.monotonic()
        stage.rest.data("GET", "job", **arguments)
        delays.append(time.monotonic() - began)
    used = process.usage().cpu - before
    shares = {f"p{share * 100:g} ms": _ms(percentile(delays, share)) for share in _SHARES}
    return {"name": name, **shares, "api ms": _ms(used / _REQUESTS)}


def _memory(stage: Stage) -> dict[str, float]:
    return {f"{name} MiB": round(stage.process(name).usage().mib, 1) for name in _PROCESSES}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
