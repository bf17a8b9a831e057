"""No job is accepted while its log can't be stored; all other requests work."""

from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue

from corejob.names import ANNOTATION_STORE_PROBLEM, LABEL_RECORDER
from corejob_api.commands.store_health import StoreHealth
from corejob_api.http.errors import ApiError
from corejob_journal.store import StoreUnavailable
from corejob_kube.cache import ObjectCache

FULL = "the store is full, make room on its volume"
LEASE = "core4-recorder-pod-1"


def lease(name: str, version: int, problem: str | None, seconds: int = 5) -> dict[str, Any]:
    meta = {
        "name": name,
        "resourceVersion": str(version),
        "labels": {LABEL_RECORDER: "member"},
        "annotations": {} if problem is None else {ANNOTATION_STORE_PROBLEM: problem},
    }
    return {"metadata": meta, "spec": {"leaseDurationSeconds": seconds}}


# --- sources of the problem -------------------------------------------------------------------


class FakeStore:
    """A store that can be unavailable."""

    away = False

    async def ping(self) -> None:
        if self.away:
            raise StoreUnavailable("the store does not answer: gone")


class World:
    """A store, recorders' Leases and a clock."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.leases = ObjectCache("leases")
        self.now = 100.0
        self.store_health = StoreHealth(self.store, self.leases, clock=lambda: self.now)  # type: ignore[arg-type]
        self._version = 0

    def renew(self, name: str, problem: str | None) -> None:
        self._version += 1
        self.leases.put(lease(name, self._version, problem))


@pytest.fixture
def world() -> World:
    return World()


async def test_nobody_says_anything(world: World) -> None:
    await world.store_health.check()
    assert await world.store_health.problem() is None


async def test_the_only_recorder_cannot_write(world: World) -> None:
    world.renew("a", FULL)
    assert await world.store_health.problem() == FULL
    with pytest.raises(ApiError, match=FULL) as caught:
        await world.store_health.check()
    assert (caught.value.status, int(caught.value.headers["Retry-After"]) > 0) == (503, True)
    world.renew("a", None)
    await world.store_health.check()


async def test_one_that_can_write_is_enough(world: World) -> None:
    world.renew("a", FULL)
    world.renew("b", None)
    await world.store_health.check()
    world.renew("b", FULL)
    with pytest.raises(ApiError):
        await world.store_health.check()


async def test_the_words_of_one_that_is_dead_do_not_count(world: World) -> None:
    world.renew("a", FULL)
    world.now += 5.0
    assert await world.store_health.problem() == FULL
    world.now += 0.1
    await world.store_health.check()
    # A recorder whose Lease has expired does not count as one that can write.
    world.renew("b", FULL)
    with pytest.raises(ApiError):
        await world.store_health.check()


async def test_the_words_go_with_the_lease(world: World) -> None:
    world.renew("a", FULL)
    world.leases.drop(lease("a", 1000, FULL))
    await world.store_health.check()


async def test_a_store_that_is_away(world: World) -> None:
    world.store.away = True
    assert await world.store_health.problem() == "the store does not answer: gone"
    with pytest.raises(StoreUnavailable):
        await world.store_health.check()


# --- responses to clients ---------------------------------------------------------------------


async def tell(api: RunningApi, kube: FakeApiServer, problem: str | None) -> None:
    """Write the recorder's problem into its Lease; return when the API's cache has it."""
    # It counts for all requests of a test, however long they take.
    body = kube.put("leases", lease(LEASE, 0, problem, seconds=1000))
    version = body["metadata"]["resourceVersion"]

    def heard() -> bool:
        known = api.service.recorders.get(LEASE)
        return known is not None and known["metadata"]["resourceVersion"] == version

    await api.until(heard)


def check_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert FULL in answer.json()["error"]


async def test_an_order_is_refused_and_nothing_is_made_of_it(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    await tell(api, kube, FULL)
    body = {"qual_name": DUMMY, "args": {"n": 1}}
    check_refused(await client.post("job", json={**body, "follow": False}))
    check_refused(await client.post("job", json=body))
    assert kube.objects["corejobs"] == {}
    assert list(kube.objects["leases"]) == [LEASE]
    await tell(api, kube, None)
    await enqueue(client, {"n": 1})


async def test_readiness_tells(api: RunningApi, kube: FakeApiServer) -> None:
    await tell(api, kube, FULL)
    answer = await api.probe("/readyz")
    assert (answer.status_code, answer.text) == (503, f"{FULL}\n")
    assert (await api.probe("/readyz?without=store")).text == "ok\n"
    await tell(api, kube, None)
    assert (await api.probe("/readyz")).text == "ok\n"


async def test_requests_that_make_no_job_go_on_while_the_store_is_full(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    kept, stopped = await enqueue(client, {"n": 1}), await enqueue(client, {"n": 2})
    await tell(api, kube, FULL)
    for job_id in (kept, stopped):
        assert (await client.get(f"job/{job_id}")).status_code == 200
        assert (await client.get(f"job/log/{job_id}")).status_code == 200
        assert (await client.put(f"job/kill/{job_id}")).json()["data"] is True
    assert (await client.get("job")).json()["total_count"] == 2
    # A restart would make another job.
    check_refused(await client.put(f"job/restart/{stopped}", json={"follow": False}))
    assert "childId" not in kube.objects["corejobs"][stopped]["spec"]
    assert (await client.put(f"job/remove/{kept}")).json()["data"] is True
    await tell(api, kube, None)
    answer = await client.put(f"job/restart/{stopped}", json={"follow": False})
    assert answer.json()["data"] in kube.objects["corejobs"]


async def test_another_trial_of_a_waiting_job_keeps_its_id(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await enqueue(client)
    await api.status(job_id, state="failed", trial=1)
    await tell(api, kube, FULL)
    answer = await client.put(f"job/restart/{job_id}", json={"follow": False})
    assert answer.json()["data"] == job_id
