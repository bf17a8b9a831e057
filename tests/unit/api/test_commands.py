"""Kill, restart and remove in every state, and their races."""

import asyncio

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue, running

from corejob.identity import identity


async def in_state(api: RunningApi, client: httpx.AsyncClient, state: str) -> str:
    job_id = await enqueue(client, {"n": 1})
    if state != "pending":
        await api.status(job_id, state=state, trial=1)
    return job_id


async def restart(client: httpx.AsyncClient, job_id: str) -> httpx.Response:
    return await client.put(f"job/restart/{job_id}", json={"follow": False})


@pytest.mark.parametrize("state", ["pending", "running", "failed", "deferred"])
async def test_kill(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, state: str
) -> None:
    job_id = await in_state(api, client, state)
    assert (await client.put(f"job/kill/{job_id}")).json()["data"] is True
    row = (await client.get(f"job/{job_id}")).json()["data"]
    assert (row["state"], row["flag"]["killed"], row["journal"]) == ("killed", True, False)
    assert kube.objects["corejobs"][job_id]["spec"]["kill"] is True


@pytest.mark.parametrize("state", ["error", "inactive", "killed"])
async def test_kill_of_what_has_ended_changes_nothing(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, state: str
) -> None:
    job_id = await in_state(api, client, state)
    assert (await client.put(f"job/kill/{job_id}")).json()["data"] is True
    assert kube.requested("PATCH", "corejobs") == []


@pytest.mark.parametrize("action", ["kill", "restart", "remove"])
async def test_a_complete_job_takes_no_command(
    api: RunningApi, client: httpx.AsyncClient, action: str
) -> None:
    job_id = await in_state(api, client, "complete")
    assert (await client.put(f"job/{action}/{job_id}")).status_code == 404


async def test_a_running_job_that_is_removed_stays_until_its_trial_ends(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    job_id = await in_state(api, client, "running")
    assert (await client.put(f"job/remove/{job_id}")).json()["data"] is True
    assert (await client.put(f"job/remove/{job_id}")).json()["data"] is True
    (row,) = (await client.get("job")).json()["data"]
    assert row["flag"]["removed"] is True
    await api.status(job_id, state="complete")
    assert (await client.put(f"job/remove/{job_id}")).status_code == 404


@pytest.mark.parametrize("state", ["failed", "deferred"])
async def test_restart_of_a_waiting_job_keeps_its_id(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, state: str
) -> None:
    job_id = await in_state(api, client, state)
    assert (await restart(client, job_id)).json()["data"] == job_id
    assert kube.objects["corejobs"][job_id]["spec"]["restartAt"]


@pytest.mark.parametrize("state", ["pending", "running"])
async def test_restart_of_a_pending_or_running_job(
    api: RunningApi, client: httpx.AsyncClient, state: str
) -> None:
    job_id = await in_state(api, client, state)
    answer = await restart(client, job_id)
    assert answer.status_code == 409
    assert state in answer.json()["error"]


@pytest.mark.parametrize("state", ["killed", "inactive", "error"])
async def test_restart_of_a_stopped_job_makes_a_child(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, state: str
) -> None:
    job_id = await in_state(api, client, state)
    child = (await restart(client, job_id)).json()["data"]
    assert child > job_id
    spec = kube.objects["corejobs"][child]["spec"]
    assert (spec["parentId"], spec["carriedTrials"], spec["args"]) == (job_id, 1, {"n": 1})
    assert (await restart(client, job_id)).status_code == 404
    assert [row["_id"] for row in (await client.get("job")).json()["data"]] == [child]
    # The claim moves too: now the child is in the queue.
    lease = kube.objects["leases"][f"core4-job-{identity(DUMMY, {'n': 1})[:40]}"]
    assert lease["spec"]["holderIdentity"] == child
    again = await client.post("job", json={"qual_name": DUMMY, "args": {"n": 1}})
    assert again.status_code == 400


async def test_a_restart_counts_on_from_the_trial_of_the_enqueue(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await enqueue(client, {"trial": 5})
    assert (await client.put(f"job/kill/{job_id}")).status_code == 200
    child = (await restart(client, job_id)).json()["data"]
    assert kube.objects["corejobs"][child]["spec"]["carriedTrials"] == 5
    assert (await client.get(f"job/{child}")).json()["data"]["trial"] == 5


async def test_ten_restarts_and_kills_without_a_pause(client: httpx.AsyncClient) -> None:
    job_id = await enqueue(client)
    for _ in range(10):
        assert (await client.put(f"job/kill/{job_id}")).status_code == 200
        job_id = (await restart(client, job_id)).json()["data"]
    assert [row["_id"] for row in (await client.get("job")).json()["data"]] == [job_id]


async def test_one_of_racing_restarts_wins(
    api: RunningApi,
    client: httpx.AsyncClient,
    kube: FakeApiServer,
    store_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    job_id = await in_state(api, client, "killed")
    folder = tmp_path_factory.mktemp("other")
    async with running(kube, store_url, folder) as other, other.client() as second:
        await other.until(lambda: other.service.queue.get(job_id))
        # Both have decided before either of them writes.
        gate = kube.hold("PATCH", "corejobs")
        clients = (client, second, client, second)
        asked = [asyncio.create_task(restart(one, job_id)) for one in clients]
        await kube.until_held(2)
        gate.set()
        answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert len(kube.objects["corejobs"]) == 2


@pytest.mark.parametrize("taken", [True, False])
async def test_a_job_that_changed_meanwhile_is_looked_at_again(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, taken: bool
) -> None:
    job_id = await in_state(api, client, "killed")
    gate = kube.hold("PATCH", "corejobs")
    asked = asyncio.create_task(restart(client, job_id))
    await kube.until_held()
    if taken:
        kube.change("corejobs", job_id, {"spec": {"remove": True}})
    else:
        kube.change("corejobs", job_id, {"status": {"message": "the operator wrote"}})
    gate.set()
    assert (await asked).status_code == (404 if taken else 200)


async def test_a_job_of_another_replica_is_found(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    """This replica's watch lags, so it asks the API server."""
    job_id = await enqueue(client)
    entry = api.service.queue.get(job_id)
    api.service.queue.forget(entry.job)
    assert (await client.put(f"job/kill/{job_id}")).json()["data"] is True


async def test_a_job_that_is_gone(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await enqueue(client)
    del kube.objects["corejobs"][job_id]
    assert (await client.put(f"job/kill/{job_id}")).status_code == 404
    assert (await client.get("job")).json()["total_count"] == 0


async def test_a_kill_takes_back_a_restart_that_was_not_followed_yet(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await in_state(api, client, "failed")
    assert (await restart(client, job_id)).json()["data"] == job_id
    assert kube.objects["corejobs"][job_id]["spec"]["restartAt"]
    assert (await client.put(f"job/kill/{job_id}")).json()["data"] is True
    assert "restartAt" not in kube.objects["corejobs"][job_id]["spec"]
