"""`can` and `cannot` of a job and of a profile, `/meta`, and the defaults of the catalogue."""

from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue

from corejob.properties import TABLE

ALL = {"kill", "restart", "remove", "enqueue"}


async def detail(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    return dict((await client.get(f"job/{job_id}")).json()["data"])


@pytest.mark.parametrize(
    ("state", "not_now"),
    [
        ("pending", {"restart"}),
        ("running", {"restart"}),
        ("failed", set()),
        ("deferred", set()),
        ("killed", {"kill"}),
        ("inactive", {"kill"}),
        ("error", {"kill"}),
        ("complete", {"kill", "restart", "remove"}),
    ],
)
async def test_the_commands_do_as_the_detail_says(
    api: RunningApi, client: httpx.AsyncClient, state: str, not_now: set[str]
) -> None:
    job_id = await enqueue(client)
    if state != "pending":
        await api.status(job_id, state=state, trial=1)
    document = await detail(client, job_id)
    assert document["can"] == {name: name not in not_now for name in ALL}
    assert set(document["cannot"]) == not_now
    if "restart" in not_now:
        answer = await client.put(f"job/restart/{job_id}", json={"follow": False})
        assert answer.status_code in {404, 409}
        if answer.status_code == 409:
            assert document["cannot"]["restart"] in answer.json()["error"]


@pytest.mark.parametrize(
    ("user", "can"),
    [
        ("admin", ALL - {"restart"}),
        ("dev", ALL - {"restart"}),
        ("reader", set()),
    ],
)
async def test_rights_count(
    api: RunningApi, client: httpx.AsyncClient, user: str, can: set[str]
) -> None:
    job_id = await enqueue(client)
    async with api.client(user) as other:
        document = await detail(other, job_id)
    assert {name for name, may in document["can"].items() if may} == can
    if user == "reader":
        assert document["cannot"]["kill"] == "no permission to call the API with PUT"


@pytest.mark.parametrize(
    ("user", "can"),
    [
        ("dev", {"read", "log", "enqueue", "steer"}),
        ("reader", {"read", "log"}),
    ],
)
async def test_the_profile(api: RunningApi, user: str, can: set[str]) -> None:
    async with api.client(user) as client:
        profile = (await client.get("profile")).json()["data"]
    assert {name for name, may in profile["can"].items() if may} == can


async def test_meta_needs_no_sign_in(api: RunningApi) -> None:
    async with api.client(None) as client:
        answer = await client.get("/core4/api/v1/meta")
    data = answer.json()["data"]
    assert answer.status_code == 200
    assert answer.json()["version"] == f"core4/{data['version']}"
    assert data["sign_in"] == ["basic", "login", "token"]
    assert data["limits"]["queue"] == 20_000
    assert data["api_level"] == 1


async def test_the_catalogue_has_schema_and_defaults(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    kube.template("a.Job", argsSchema=schema, properties={"attempts": 3, "worker": "node-1"})
    rows = {}
    while "a.Job" not in rows:
        answer = await client.get("job/list", params={"per_page": 100})
        rows = {row["qual_name"]: row for row in answer.json()["data"]}
    defaults = {prop.rest: prop.default for prop in TABLE}
    assert rows["a.Job"]["args_schema"] == schema
    assert rows["a.Job"]["properties"] == {**defaults, "attempts": 3, "worker": "node-1"}
    assert rows[DUMMY]["args_schema"] is None
    assert rows[DUMMY]["properties"] == defaults
