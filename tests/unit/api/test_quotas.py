"""A ResourceQuota that is exceeded or contended: never an id without a job."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.fake_apiserver.statuses import quota_contended, quota_exceeded
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue

Answer = Callable[[], web.Response]


async def post(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await client.post("job", json={"qual_name": DUMMY, "follow": False}, **more)


def refusing(kube: FakeApiServer, plural: str, answer: Answer, times: int = 10**9) -> None:
    """Refuse the next creates of a kind."""
    kube.refuse_with("POST", plural, answer, times=times)


@pytest.mark.parametrize("plural", ["corejobs", "leases"])
async def test_a_contended_quota_is_tried_again(
    client: httpx.AsyncClient, kube: FakeApiServer, plural: str
) -> None:
    refusing(kube, plural, quota_contended, times=4)
    answer = await post(client)
    assert answer.status_code == 200
    assert list(kube.objects["corejobs"]) == [answer.json()["data"]]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["no key", "key"])
@pytest.mark.parametrize("plural", ["corejobs", "leases"])
@pytest.mark.parametrize(
    ("answer", "status"), [(quota_contended, 503), (quota_exceeded, 429)], ids=["409", "403"]
)
async def test_a_job_that_cannot_be_created_has_no_id(
    client: httpx.AsyncClient,
    kube: FakeApiServer,
    answer: Any,
    status: int,
    plural: str,
    headers: dict[str, str],
) -> None:
    refusing(kube, plural, lambda: answer(plural) if answer is quota_exceeded else answer())
    refused = await post(client, headers=headers)
    assert refused.status_code == status
    assert int(refused.headers["Retry-After"]) > 0
    assert "quota" in refused.json()["error"]
    assert kube.objects["corejobs"] == {}
    kube.allow_all()
    # The first request has left nothing that interferes.
    assert (await post(client, headers=headers)).status_code == 200
    assert len(kube.objects["corejobs"]) == 1


async def test_a_webhook_that_answers_409_does_not_say_that_there_is_such_a_job(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    kube.refuse("POST", "corejobs", 409, "a webhook says no")
    refused = await post(client)
    assert (refused.status_code, refused.json()["error"]) == (409, "a webhook says no")
    assert (await post(client)).status_code == 200


@pytest.mark.parametrize("by_operator", [False, True])
async def test_a_restart_that_a_quota_refuses_is_carried_out_later(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, by_operator: bool
) -> None:
    job_id = await enqueue(client)
    await api.status(job_id, state="error", trial=1)
    path, body = f"job/restart/{job_id}", {"follow": False}
    refusing(kube, "corejobs", lambda: quota_exceeded("corejobs"))
    for _ in range(2):
        refused = await client.put(path, json=body)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        child = kube.objects["corejobs"][job_id]["spec"]["childId"]
        assert (
            f"job [{child}], the restart of job [{job_id}], is created as soon"
            in refused.json()["error"]
        )
        assert "exceeded quota" in refused.json()["error"]
    async with api.client("reader") as reader:
        assert (await reader.put(path, json=body)).status_code == 403
    kube.allow_all()
    if by_operator:
        spec = {"qualName": DUMMY, "parentId": job_id}
        kube.put("corejobs", {"metadata": {"name": child}, "spec": spec})
        await api.until(lambda: api.service.queue.get(child))
    else:
        answer = await client.put(path, json=body)
        assert (answer.status_code, answer.json()["data"]) == (200, child)
    assert (await client.put(path, json=body)).status_code == 404
    assert list(kube.objects["corejobs"]) == [job_id, child]
