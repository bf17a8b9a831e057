"""The values of args: numbers, NUL, size limits of args and of messages that quote them."""

from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, enqueue

from corejob.identity import identity

CONTAINER = "a.Container"


async def post(client: httpx.AsyncClient, args: Any, qual_name: str = DUMMY) -> httpx.Response:
    return await client.post("job", json={"qual_name": qual_name, "args": args, "follow": False})


@pytest.fixture
async def containers(api: RunningApi, kube: FakeApiServer) -> None:
    kube.template(CONTAINER, runtime="container", template={"spec": {"containers": []}})
    await api.until(lambda: api.service.catalogue.get(CONTAINER))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**30, -(10**400)])
@pytest.mark.parametrize(
    ("where", "path"), [("{%d}", "n"), ("[0, {%d}]", "n[1]"), ('{"a b": {%d}}', 'n["a b"]')]
)
async def test_integers_beyond_64_bits(
    client: httpx.AsyncClient, kube: FakeApiServer, number: int, where: str, path: str
) -> None:
    args = '{"n": ' + where.replace("{%d}", str(number)) + "}"
    body = f'{{"qual_name": "{DUMMY}", "follow": false, "args": {args}}}'
    asked = {"qual_name": DUMMY, "follow": "false", "args": args}
    for answer in (
        await client.post("job", content=body),
        await client.post("job", data=asked),
        await client.post("job", params=asked),
        await client.post("job", json={**asked, "follow": False}),
    ):
        assert answer.status_code == 400
        said = answer.json()["error"]
        assert said.startswith(f"parameter [args]: [args.{path}] is ")
        assert "at most 64 bits" in said
        assert "send it as text" in said
    assert kube.objects["corejobs"] == {}
    assert kube.objects["leases"] == {}


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "9" * 5000])
async def test_numbers_that_json_has_not(
    client: httpx.AsyncClient, kube: FakeApiServer, number: str
) -> None:
    args = '{"n": [' + number + "]}"
    body = f'{{"qual_name": "{DUMMY}", "follow": false, "args": {args}}}'
    asked = {"qual_name": DUMMY, "follow": "false", "args": args}
    for answer in (
        await client.post("job", content=body),
        await client.post("job", data=asked),
        await client.post("job", params=asked),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(
            "parameter [args]: [args.n[0]] is not a finite number"
        )
    assert kube.objects["corejobs"] == {}


@pytest.mark.parametrize("name", ["priority", "attempts", "trial", "wall_time"])
async def test_such_numbers_in_properties(client: httpx.AsyncClient, name: str) -> None:
    for number in ("1e400", "NaN", str(10**30), "9" * 5000, "1.0"):
        body = f'{{"qual_name": "{DUMMY}", "follow": false, "args": {{"{name}": {number}}}}}'
        answer = await client.post("job", content=body)
        assert answer.status_code == 400
        assert name in answer.json()["error"]


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), 1.7976931348623157e308, 1e30, True, "1e400"]
)
async def test_the_largest_that_are_taken(client: httpx.AsyncClient, value: Any) -> None:
    job_id = await enqueue(client, {"n": value})
    assert (await client.get(f"job/{job_id}")).json()["data"]["args"] == {"n": value}


async def test_a_float_stays_a_float(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    args = {"x": 1.0, "y": 1, "z": [-0.0, {"big": 1e20}], "t": "1.0"}
    job_id = await enqueue(client, args)
    spec = kube.objects["corejobs"][job_id]["spec"]
    # The API server's version of it.
    spec["args"] = {"x": 1, "y": 1, "z": [0, {"big": 10**20}], "t": "1.0"}
    await api.status(job_id, state="error", trial=1)
    text = (await client.get(f"job/{job_id}")).text
    assert '"args":{"x":1.0,"y":1,"z":[-0.0,{"big":1e20}],"t":"1.0"}' in text
    child = (await client.put(f"job/restart/{job_id}", json={"follow": False})).json()["data"]
    again = kube.objects["corejobs"][child]["spec"]
    assert again["argsJson"] == spec["argsJson"]
    assert repr(again["args"]) == repr(args)
    # Enqueuing the args that were read gives a duplicate.
    assert (
        await post(client, {"x": 1, "y": 1.0, "z": [0, {"big": 1e20}], "t": "1.0"})
    ).status_code == 400
    assert identity(DUMMY, args) == identity(DUMMY, {**args, "z": [0, {"big": 10**20}]})


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"t": "a\0b"}, "args.t"),
        ({"t": [1, {"u": "\0"}]}, "args.t[1].u"),
        ({"a\0": 1}, "args"),
    ],
)
async def test_nul_is_nothing_for_a_container(
    client: httpx.AsyncClient, kube: FakeApiServer, args: Any, path: str
) -> None:
    answer = await post(client, args, CONTAINER)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"parameter [args]: [{path}] has a NUL character")
    assert kube.objects["corejobs"] == {}
    # A core4 class receives JSON, which may have NUL.
    assert (await post(client, args)).status_code == 200


async def test_args_of_200_kib_are_taken_and_what_quotes_them_is_cut(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    args = {"text": "ä" * (100 * 1024 - 9), "x": 1}
    assert (await post(client, {**args, "y": 1.0})).status_code == 400
    assert (await post(client, args)).status_code == 200
    again = await post(client, args)
    assert again.status_code == 400
    said = again.json()["error"]
    assert said.startswith(f'job [{DUMMY}] exists with args {{"text":"ää')
    assert said.endswith('ä","x":1}')
    assert len(said) < 1200
    whole = {"list": [1.0] * 51_000}
    assert (await post(client, whole)).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"args": {"attempts": "x" * 100_000}},
        {"args": {"attempts": ["x" * 100_000]}},
        {"args": {"worker": {"x": "x" * 100_000}}},
        {"qual_name": "x" * 100_000},
        {"qual_name": DUMMY, "level": "x" * 100_000},
        {"qual_name": DUMMY, "grep": "(" + "x" * 100_000},
        {"qual_name": DUMMY, "since": "x" * 100_000},
        {"qual_name": DUMMY, "last_event_id": "x" * 100_000},
    ],
)
async def test_no_error_is_longer_than_people_read(client: httpx.AsyncClient, asked: Any) -> None:
    answer = await client.post("job", json={"qual_name": DUMMY, **asked})
    assert answer.status_code in {400, 404}
    assert 0 < len(answer.json()["error"]) < 5100


@pytest.mark.parametrize("name", ["filter", "sort", "search", "page", "per_page", "order"])
async def test_the_same_of_listings(client: httpx.AsyncClient, name: str) -> None:
    long = "x" * 100_000
    for value in (
        long,
        {"$" + long: 1},
        {"a": {"$" + long: 1}},
        [[long, 3]],
        {"a": {"$regex": "(" + long}},
    ):
        for path in ("job/queue",):
            answer = await client.post(path, json={name: value})
            assert answer.status_code in {200, 400}
            assert len(answer.json().get("error", "")) < 5100
