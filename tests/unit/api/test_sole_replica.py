"""Claims without Leases while one replica of the API lives, and the change of their number."""

import asyncio
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.faults import Request
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue, running

from corejob import timestamps
from corejob_api.commands.sole_replica import LEASE, ReplicaTiming
from corejob_journal.store import Writer

SELECTOR = "app=api"
# Checks count for long, so that only a changed Lease ends the time of the only replica.
TIMING = ReplicaTiming(check=0.01, valid=1000, join=0.2, poll=0.01, search=0.01)


@pytest.fixture
def folder(writer: Writer, tmp_path: Path) -> Path:
    return tmp_path


def add_pod(kube: FakeApiServer, name: str, phase: str = "Running") -> None:
    labels = {"app": "api"}
    kube.put("pods", {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}})


@asynccontextmanager
async def replica(
    kube: FakeApiServer, folder: Path, name: str, timing: ReplicaTiming = TIMING, **more: Any
) -> AsyncIterator[tuple[RunningApi, httpx.AsyncClient]]:
    """Run an API in a pod, which is gone afterwards."""
    add_pod(kube, name)
    url = f"sqlite:///{folder}/journal.db"
    more |= {"pod_name": name, "replica_selector": SELECTOR}
    async with running(kube, url, folder, timing=timing, **more) as api, api.client() as client:
        yield api, client
    kube.remove("pods", name)


def _has_more(accepted: Sized, number: int) -> bool:
    return len(accepted) > number


async def until_sole(api: RunningApi) -> None:
    """Wait until an API is the only replica; its watch gets bookmarks meanwhile."""

    def is_sole() -> bool:
        api.kube.send_bookmarks()
        return bool(api.service.sole_replica.is_sole)

    await api.until(is_sole)


async def post(client: httpx.AsyncClient, number: int) -> int:
    body = {"qual_name": DUMMY, "args": {"n": number}, "follow": False}
    return (await client.post("job", json=body)).status_code


def claims(kube: FakeApiServer) -> list[str]:
    return [name for name in kube.objects["leases"] if name.startswith("core4-job-")]


def holder(kube: FakeApiServer) -> Any:
    return kube.objects["leases"][LEASE]["spec"]["holderIdentity"]


async def test_the_only_replica_creates_a_job_by_one_request(
    kube: FakeApiServer, folder: Path
) -> None:
    async with replica(kube, folder, "api-1") as (api, client):
        await until_sole(api)
        before = len(kube.writes())
        await enqueue(client, {"n": 1})
        assert await post(client, 1) == 400
        assert kube.writes()[before:] == ["POST corejobs"]


async def test_one_of_racing_enqueues_at_the_only_replica_wins(
    kube: FakeApiServer, folder: Path
) -> None:
    async with replica(kube, folder, "api-1") as (api, client):
        await until_sole(api)
        answers = await asyncio.gather(*(post(client, 1) for _ in range(8)))
        assert sorted(answers) == [200] + [400] * 7
        assert claims(kube) == []


async def test_a_restarted_job_needs_no_lease_either(kube: FakeApiServer, folder: Path) -> None:
    async with replica(kube, folder, "api-1") as (api, client):
        await until_sole(api)
        job_id = await enqueue(client, {"n": 1})
        await client.put(f"job/kill/{job_id}")
        body = {"follow": False}
        restarted, again = await asyncio.gather(
            client.put(f"job/restart/{job_id}", json=body), post(client, 1)
        )
        assert (restarted.status_code, again) == (200, 400)
        assert claims(kube) == []


@pytest.mark.parametrize("phase", ["Running", "Pending"])
async def test_a_replica_beside_another_takes_leases(
    kube: FakeApiServer, folder: Path, phase: str
) -> None:
    add_pod(kube, "api-2", phase)
    async with replica(kube, folder, "api-1") as (api, client):
        await enqueue(client, {"n": 1})
        assert len(claims(kube)) == 1
        assert not api.service.sole_replica.is_sole
        assert LEASE not in kube.objects["leases"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_has_ended_is_no_replica(
    kube: FakeApiServer, folder: Path, phase: str
) -> None:
    add_pod(kube, "api-2", phase)
    async with replica(kube, folder, "api-1") as (api, _client):
        await until_sole(api)


async def test_a_second_replica_serves_when_the_first_takes_leases(
    kube: FakeApiServer, folder: Path
) -> None:
    async with replica(kube, folder, "api-1") as (first, one):
        await until_sole(first)
        await enqueue(one, {"n": 1})
        async with replica(kube, folder, "api-2") as (second, two):
            await first.until(lambda: not first.service.sole_replica.is_sole)
            assert not second.service.sole_replica.is_sole
            # The second has read the jobs that the first created without a Lease.
            assert await post(two, 1) == 400
            gate = kube.hold("POST", "corejobs")
            racing = [asyncio.create_task(post(client, 2)) for client in (one, two)]
            await kube.until_held()
            await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
            gate.set()
            assert sorted(await asyncio.gather(*racing)) == [200, 400]
            assert len(claims(kube)) == 1


async def test_a_second_replica_lists_the_jobs_after_it_has_announced_itself(
    kube: FakeApiServer, folder: Path
) -> None:
    async with replica(kube, folder, "api-1") as (first, _):
        await until_sole(first)
        kube.requests.clear()
        async with replica(kube, folder, "api-2"):
            emptied = next(i for i, one in enumerate(kube.requests) if one.body and _empties(one))
            (listed,) = (i for i, one in enumerate(kube.requests) if _lists_all(one))
            assert emptied < listed


def _empties(request: Request) -> bool:
    return request.name == LEASE and request.body["spec"]["holderIdentity"] == ""


def _lists_all(request: Request) -> bool:
    return request.line == "GET corejobs" and request.query.get("limit") == "500"


async def test_a_replica_that_starts_while_another_becomes_the_only_one_is_seen(
    kube: FakeApiServer, folder: Path
) -> None:
    """It exists before the Lease is written, but after the first list of the pods."""

    def start_another(request: Request) -> None:
        if request.method == "POST" and request.body["metadata"]["name"] == LEASE:
            add_pod(kube, "api-2")

    kube.intercept = start_another
    async with replica(kube, folder, "api-1") as (api, _client):
        await kube.until(lambda: LEASE in kube.objects["leases"] and holder(kube) == "")
        assert not api.service.sole_replica.is_sole
        kube.remove("pods", "api-2")
        await until_sole(api)


async def test_the_last_jobs_of_a_replica_that_has_ended_are_in_the_cache_first(
    kube: FakeApiServer, folder: Path
) -> None:
    async with replica(kube, folder, "api-1") as (first, client):
        async with replica(kube, folder, "api-2"):
            pass
        await kube.until(lambda: LEASE in kube.objects["leases"] and holder(kube) == "api-1")
        reads = len(kube.requested("GET", "leases"))
        await first.until(lambda: len(kube.requested("GET", "leases")) > reads + 3)
        assert not first.service.sole_replica.is_sole
        await until_sole(first)
        await enqueue(client, {"n": 1})
        assert claims(kube) == []


async def test_a_replica_that_replaces_another_waits_until_that_is_gone(
    kube: FakeApiServer, folder: Path
) -> None:
    add_pod(kube, "api-2")
    lists: list[Request] = []

    def end_other(request: Request) -> None:
        if request.line == "GET pods":
            lists.append(request)
        if len(lists) == 3 and "api-2" in kube.objects["pods"]:
            kube.remove("pods", "api-2")

    kube.intercept = end_other
    timing = ReplicaTiming(check=0.01, valid=1000, join=1000, poll=0.01, search=0.01)
    async with replica(kube, folder, "api-1", timing) as (api, _client):
        await until_sole(api)


async def test_a_replica_that_is_cut_off_is_not_the_only_one(
    kube: FakeApiServer, folder: Path
) -> None:
    timing = ReplicaTiming(check=0.01, valid=0.5, join=0.6, poll=0.1, search=0.01)
    async with replica(kube, folder, "api-1", timing) as (api, _client):
        await until_sole(api)
        kube.hang("GET", "leases")
        await api.until(lambda: not api.service.sole_replica.is_sole)


async def test_a_replica_whose_container_restarts_is_the_only_one_again(
    kube: FakeApiServer, folder: Path
) -> None:
    for _ in range(2):
        async with replica(kube, folder, "api-1") as (api, _client):
            await until_sole(api)


async def test_a_quota_without_room_for_the_lease_stops_nothing(
    kube: FakeApiServer, folder: Path
) -> None:
    kube.refuse("POST", "leases", 403)
    async with replica(kube, folder, "api-1") as (api, client):
        await enqueue(client, {"n": 1})
        await until_sole(api)


class Clock:
    def __init__(self) -> None:
        self.time = timestamps.from_epoch(1_800_000_000)

    def __call__(self) -> datetime:
        return self.time


async def test_a_create_whose_outcome_is_unknown_counts_for_seconds(
    kube: FakeApiServer, folder: Path
) -> None:
    clock = Clock()
    async with replica(kube, folder, "api-1", now=clock) as (api, client):
        await until_sole(api)
        kube.refuse("POST", "corejobs", 503)
        assert await post(client, 1) == 503
        assert await post(client, 1) == 400
        clock.time += timedelta(seconds=11)
        assert await post(client, 1) == 200
        assert claims(kube) == []


async def test_a_create_that_was_certainly_refused_does_not_count(
    kube: FakeApiServer, folder: Path
) -> None:
    async with replica(kube, folder, "api-1") as (api, client):
        await until_sole(api)
        kube.refuse("POST", "corejobs", 422)
        assert await post(client, 1) == 400
        assert await post(client, 1) == 200


async def test_one_of_equal_enqueues_wins_while_replicas_come_and_go(
    kube: FakeApiServer, folder: Path
) -> None:
    timing = ReplicaTiming(check=0.02, valid=2.0, join=4.0, poll=0.1, search=0.02)
    accepted: list[int] = []
    clients: list[httpx.AsyncClient] = []

    async def enqueue_equal_jobs() -> None:
        number = 0
        while clients:
            number += 1
            answers = await asyncio.gather(*(post(client, number) for client in clients * 2))
            accepted.append(answers.count(200))

    async with replica(kube, folder, "api-1", timing) as (first, one):
        await until_sole(first)
        clients.append(one)
        racing = asyncio.create_task(enqueue_equal_jobs())
        for _ in range(2):
            async with replica(kube, folder, "api-2", timing) as (_second, two):
                clients.append(two)
                served = len(accepted)
                await first.until(partial(_has_more, accepted, served + 10))
                clients.remove(two)
                await first.until(partial(_has_more, accepted, len(accepted) + 1))
            await until_sole(first)
        clients.clear()
        await racing
    assert set(accepted) == {1}
    assert len(kube.objects["corejobs"]) == len(accepted)
