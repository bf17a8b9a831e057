"""The costs of a job that can be counted: writes, watch events, bytes in etcd. They have bounds.

The jobs' pods are simulated, so that the life of each job is the same: it waits, starts, runs,
completes, is stored, and is deleted.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack

import pytest
from tests.bench.audit import Mark, Write
from tests.bench.client import administrator, enqueuer, send_all
from tests.bench.simulated import COMPLETE, RUN, Stage, staged
from tests.bench.stored import sizes
from tests.bench.watching import watched
from tests.cluster.provider import Provider
from tests.support.rest import Rest
from tests.support.waiting import until

from corejob_kube.client import Kube
from corejob_kube.resources import COREJOBS, JOBS, PODS

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.alone,
    pytest.mark.local,
    pytest.mark.usefixtures("service"),
]

JOBS_AT_ONCE = 10
LIVES = 40
SECONDS = 240
# The operator's election and the recorder's membership are renewed by time, not by job; templates
# get their status once.
NOT_OF_JOBS = {("core4-operator", "leases"), ("core4-recorder", "leases")}
# Writes for a job: at most so many on average, by process, verb and resource. A fraction is for the
# writes that a late watch event causes, which a busy machine has more of.
WRITES: Mapping[tuple[str, str, str], float] = {
    ("core4-api", "create", "corejobs"): 1,
    ("core4-operator", "create", "events"): 2.1,
    ("core4-operator", "create", "jobs"): 1.1,
    ("core4-operator", "delete", "corejobs"): 1.2,
    ("core4-operator", "delete", "jobs"): 1.1,
    ("core4-operator", "patch", "corejobs"): 1.1,
    ("core4-operator", "patch", "corejobs/status"): 3,
    ("core4-operator", "patch", "events"): 0.2,
    ("core4-recorder", "patch", "corejobs/status"): 2.2,
}
# Watch events for a job, in its whole life.
EVENTS = {"corejobs": 8, "jobs": 6, "pods": 8}
# Bytes that etcd stores for a job while it runs.
BYTES = {"corejobs": 2000, "events": 2200, "jobs": 4800, "pods": 5000}


@pytest.fixture(scope="module")
def stage(provider: Provider) -> Iterator[Stage]:
    with staged(provider) as made:
        yield made


@pytest.fixture(scope="module")
def service(stage: Stage) -> Rest:
    return stage.rest


def by_us(writes: Counter[Write]) -> dict[tuple[str, str, str], int]:
    """Return the writes of our processes that belong to jobs."""
    return {
        (write.actor, write.verb, write.resource): count
        for write, count in writes.items()
        if write.actor.startswith("core4-")
        and write.actor != "core4-bench"
        and (write.actor, write.resource) not in NOT_OF_JOBS
        and write.kind != "corejobtemplates"
    }


async def live(stage: Stage, kube: Kube, count: int, first: int) -> dict[str, int]:
    """Run jobs until everything is deleted; return the number of watch events of each kind."""
    namespace = stage.release.namespace
    async with AsyncExitStack() as stack:
        watches = {
            resource.plural: await stack.enter_async_context(watched(kube, resource, namespace))
            for resource in (COREJOBS, JOBS, PODS)
        }
        send = await stack.enter_async_context(
            enqueuer(stage.rest, lambda number: (COMPLETE, {"n": first + number}))
        )
        await send_all(send, clients=JOBS_AT_ONCE, count=count)
        await watches["corejobs"].deleted(count, SECONDS)
        for kind in ("jobs", "pods"):
            await watches[kind].deleted(count, SECONDS)
        return {kind: watch.events for kind, watch in watches.items()}


def test_writes_and_watch_events_of_a_life(stage: Stage):
    async def lives() -> tuple[Mark, dict[str, int]]:
        async with administrator(stage.release.kubectl) as kube:
            # The first of all makes what is made once.
            await live(stage, kube, 1, first=0)
            since = stage.audit.mark()
            return since, await live(stage, kube, LIVES, first=1)

    since, events = asyncio.run(lives())
    # The recorder's last write may follow the last deletion.
    until(stage.rest.queue, lambda rows: not rows, what="the queue is empty")
    writes = by_us(stage.audit.writes(since, stage.release.namespace))
    shown = json.dumps({" ".join(key): value / LIVES for key, value in writes.items()}, indent=1)
    assert writes.keys() <= WRITES.keys(), shown
    for key, count in writes.items():
        assert count / LIVES <= WRITES[key], f"{key}: {shown}"
    shown = str({kind: count / LIVES for kind, count in events.items()})
    assert all(count / LIVES <= EVENTS[kind] for kind, count in events.items()), shown


def test_bytes_of_a_running_job(stage: Stage):
    ids = {stage.rest.enqueue(RUN, n=number) for number in range(5)}
    for job_id in ids:
        stage.rest.wait_state(job_id, "running")
    # The status may still change for a moment: the recorder tells that it follows the log.
    found = until(
        lambda: sizes(stage.release.namespace, ids),
        lambda seen: seen == sizes(stage.release.namespace, ids),
        what="the stored objects stay the same",
        every=2,
    )
    assert found.keys() == BYTES.keys()
    shown = str({kind: size / len(ids) for kind, size in found.items()})
    assert all(size / len(ids) <= BYTES[kind] for kind, size in found.items()), shown
