"""Enqueuing: refusals, duplicates, Idempotency-Key, and the life of a claim."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.faults import Request
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.fake_apiserver.statuses import refuse
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import DUMMY, Replicas, RunningApi, enqueue, running

from corejob import ids, timestamps
from corejob.identity import identity
from corejob_api.queue import args_schema
from corejob_journal.store import Writer


async def post(client: httpx.AsyncClient, args: Any = None, **more: Any) -> httpx.Response:
    body = {"qual_name": DUMMY, "args": args or {}, "follow": False}
    return await client.post("job", json=body, **more)


async def test_an_enqueue_makes_a_corejob_with_args_and_properties(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    args = {"sleep": 5, "priority": 3, "error_time": 7, "worker": None, "text": "ä"}
    job_id = await enqueue(client, args)
    body = kube.objects["corejobs"][job_id]
    assert body["spec"] == {
        "qualName": DUMMY,
        "args": {"sleep": 5, "text": "ä"},
        "priority": 3,
        "errorTimeSeconds": 7,
        "username": "admin",
        "hostname": "127.0.0.1",
    }
    row = (await client.get(f"job/{job_id}")).json()["data"]
    assert (row["priority"], row["args"]) == (3, {"sleep": 5, "text": "ä"})
    assert row["enqueued"]["username"] == "admin"


async def test_the_client_behind_a_proxy(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path
) -> None:
    async with (
        running(kube, store_url, tmp_path, trusted_proxies=1) as api,
        api.client() as client,
    ):
        body = {"qual_name": DUMMY, "follow": False}
        header = {"X-Forwarded-For": "6.6.6.6, 10.1.2.3"}
        job_id = (await client.post("job", json=body, headers=header)).json()["data"]
    assert kube.objects["corejobs"][job_id]["spec"]["hostname"] == "10.1.2.3"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"attempts": 0}, "property [attempts] expected [int > 0]"),
        ({"force": 1}, "property [force] expected [bool]"),
        ({"priority": "high"}, "property [priority]"),
        *(
            ({"worker": name}, "property [worker] expected [a node's name or null], got [")
            for name in ("a b", "ä", "a\0b", "-a", "a.", "a\n", "n" * 64, 5)
        ),
        ({"worker": "a b"}, "begins and ends with a letter or digit; `kubectl get nodes`"),
        ({"trial": -1}, "property [trial] expected [int >= 0], got [-1]"),
        ({"trial": True}, "property [trial] expected [int >= 0]"),
        ({str(i): i for i in range(257)}, "257 names"),
        ({"text": "x" * 300_000}, "at most 204800"),
    ],
)
async def test_bad_args(
    client: httpx.AsyncClient, kube: FakeApiServer, args: dict[str, Any], words: str
) -> None:
    answer = await post(client, args)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert kube.objects["corejobs"] == {}
    assert kube.objects["leases"] == {}


HALF = "has half of a surrogate pair, which is not valid Unicode; leave it out"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (r'{"args": {"day": "x\ud83d"}}', f"parameter [args]: [args.day] {HALF}"),
        (r'{"args": "{\"day\": \"x\\ud83d\"}"}', f"parameter [args]: [args.day] {HALF}"),
        (r'{"qual_name": "x\ud83d"}', f"parameter [qual_name]: [qual_name] {HALF}"),
        ('{"args": {"day": ' + "[" * 1000 + "]" * 1000 + "}}", "the body is nested too deep"),
    ],
)
async def test_a_body_that_can_not_be_used_whole_enqueues_nothing(
    client: httpx.AsyncClient, kube: FakeApiServer, body: str, words: str
) -> None:
    answer = await client.post("job", params={"qual_name": DUMMY, "follow": "no"}, content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert kube.objects["corejobs"] == {}


async def test_args_that_are_nested_too_deep(client: httpx.AsyncClient) -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    answer = await post(client, {"deep": deep})
    assert "nested deeper than 64 levels" in answer.json()["error"]


async def test_args_must_fit_the_schema(
    api: RunningApi,
    client: httpx.AsyncClient,
    kube: FakeApiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(args_schema, "_LIMIT_S", DEADLINE)
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    kube.template("a.Strict", argsSchema=schema)
    kube.template("a.Broken", argsSchema={"type": "nonsense"})
    await api.until(lambda: api.service.catalogue.get("a.Broken"))

    async def answer(name: str, args: dict[str, Any]) -> httpx.Response:
        return await client.post("job", json={"qual_name": name, "args": args, "follow": False})

    assert (await answer("a.Strict", {"n": 1, "priority": 5})).status_code == 200
    bad = await answer("a.Strict", {"n": "x"})
    assert (bad.status_code, bad.json()["error"]) == (
        400,
        "args of job [a.Strict]: [n] 'x' is not of type 'integer'",
    )
    broken = await answer("a.Broken", {})
    assert broken.status_code == 400
    assert "argsSchema of CoreJobTemplate [a.broken] can't be used" in broken.json()["error"]


async def test_the_words_of_the_api_server(client: httpx.AsyncClient, kube: FakeApiServer) -> None:
    kube.refuse("POST", "corejobs", 422, "a rule says no")
    answer = await post(client)
    assert (answer.status_code, answer.json()["error"]) == (400, "a rule says no")
    assert kube.objects["leases"] == {}  # the claim is released
    assert (await post(client)).status_code == 200


async def test_the_queue_is_full(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path
) -> None:
    async with running(kube, store_url, tmp_path, queue_limit=1) as api, api.client() as client:
        await enqueue(client, {"n": 1})
        answer = await post(client, {"n": 2})
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0


async def test_duplicates(client: httpx.AsyncClient) -> None:
    first = await enqueue(client, {"a": 1, "b": [2]})
    again = await post(client, {"b": [2], "a": 1, "priority": 3})
    assert again.status_code == 400
    assert again.json()["error"] == f'job [{DUMMY}] exists with args {{"b":[2],"a":1}}'
    assert (await post(client, {"a": "1", "b": [2]})).status_code == 200
    assert (await post(client)).status_code == 200
    assert (await post(client)).status_code == 400
    # A killed job in the queue counts, a removed one does not.
    await client.put(f"job/kill/{first}")
    assert (await post(client, {"a": 1, "b": [2]})).status_code == 400
    await client.put(f"job/remove/{first}")
    assert (await post(client, {"a": 1, "b": [2]})).status_code == 200


async def test_a_trial_is_where_the_count_begins_and_no_argument(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    job_id = await enqueue(client, {"n": 1, "trial": 5})
    spec = kube.objects["corejobs"][job_id]["spec"]
    assert (spec["carriedTrials"], spec["args"]) == (5, {"n": 1})
    row = (await client.get(f"job/{job_id}")).json()["data"]
    assert (row["trial"], row["args"]) == (5, {"n": 1})
    answer = await post(client, {"n": 1, "trial": 6})
    assert answer.json()["error"] == f'job [{DUMMY}] exists with args {{"n":1}}'


async def test_one_of_racing_enqueues_wins(client: httpx.AsyncClient, kube: FakeApiServer) -> None:
    answers = await asyncio.gather(*(post(client, {"n": 1}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert len(kube.objects["corejobs"]) == 1


async def test_one_of_racing_enqueues_at_two_replicas_wins(
    kube: FakeApiServer, replicas: Replicas
) -> None:
    first, second = replicas
    # Neither replica has the other's job in its cache while both decide.
    gate = kube.hold("POST", "corejobs")
    tasks = [asyncio.create_task(post(client, {"n": 1})) for client in (first, second)]
    await kube.until_held()
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=45)
    assert [task.result().status_code for task in done] == [400]
    gate.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert len(kube.objects["corejobs"]) == 1


async def test_a_claim_belongs_to_its_job(client: httpx.AsyncClient, kube: FakeApiServer) -> None:
    job_id = await enqueue(client, {"n": 1})
    name = f"core4-job-{identity(DUMMY, {'n': 1})[:40]}"
    await kube.until(lambda: kube.objects["leases"][name]["metadata"].get("ownerReferences"))
    lease = kube.objects["leases"][name]
    assert lease["spec"]["holderIdentity"] == job_id
    (owner,) = lease["metadata"]["ownerReferences"]
    assert owner["uid"] == kube.objects["corejobs"][job_id]["metadata"]["uid"]


def claim(kube: FakeApiServer, holder: str, age: float) -> dict[str, Any]:
    renewed = timestamps.from_epoch(clock_now() - age)
    return {
        "metadata": {
            "name": f"core4-job-{identity(DUMMY, {'n': 1})[:40]}",
            "labels": {"core4.io/claim": "job"},
        },
        "spec": {"holderIdentity": holder, "renewTime": timestamps.render(renewed)},
    }


def clock_now() -> float:
    from time import time

    return time()


async def test_a_claim_without_a_job_expires_within_seconds(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    other = ids.new_id(timestamps.from_epoch(1_700_000_000))
    kube.put("leases", claim(kube, other, age=-60))
    assert (await post(client, {"n": 1})).status_code == 400
    kube.put("leases", claim(kube, other, age=11))
    assert (await post(client, {"n": 1})).status_code == 200


async def test_a_claim_that_changes_while_it_is_taken_over_is_looked_at_again(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    """The CoreJob becomes its owner in the background, maybe after another job took it over."""
    kube.put("leases", claim(kube, ids.new_id(timestamps.from_epoch(1_700_000_000)), age=11))
    changed: list[str] = []

    def change(request: Request) -> None:
        if (request.method, request.plural) == ("PUT", "leases") and not changed:
            kube.objects["leases"][request.name]["metadata"]["resourceVersion"] = "7"
            changed.append(request.name)

    kube.intercept = change
    assert (await post(client, {"n": 1})).status_code == 200
    assert changed


async def test_the_sweep_deletes_obsolete_claims(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    await post(client, {"n": 2}, headers={"Idempotency-Key": "k"})
    kept = set(kube.objects["leases"])
    kube.put("leases", claim(kube, "0" * 24, age=300))
    await api.service.claims.sweep()
    assert set(kube.objects["leases"]) == kept


async def test_the_sweep_continues_after_a_claim_that_cannot_be_deleted(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    for number in range(3):
        lease = claim(kube, "0" * 24, age=300)
        lease["metadata"]["name"] = f"core4-job-{number}"
        kube.put("leases", lease)
    kube.intercept = lambda request: (
        refuse(500, "no") if request.line == "DELETE leases/core4-job-0" else None
    )
    await api.service.claims.sweep()
    assert set(kube.objects["leases"]) == {"core4-job-0"}


async def test_a_claim_of_times_to_come_is_as_old_as_its_lease(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    lease = claim(kube, "0" * 24, age=-10_000_000)
    kube.put("leases", lease)
    kube.objects["leases"][lease["metadata"]["name"]]["metadata"]["creationTimestamp"] = (
        "2026-01-01T00:00:00Z"
    )
    await api.service.claims.sweep()
    assert kube.objects["leases"] == {}


def keys(kube: FakeApiServer) -> list[str]:
    return [name for name in kube.objects["leases"] if name.startswith("core4-key-")]


async def test_a_refused_job_leaves_no_key_behind(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    assert (await post(client, {"n": 1})).status_code == 200
    for number in range(10):
        refused = await post(client, {"n": 1}, headers={"Idempotency-Key": str(number)})
        assert refused.status_code == 400
    assert keys(kube) == []
    api.service.resources.commands._enqueue._limit = 1
    full = await post(client, {"n": 2}, headers={"Idempotency-Key": "k"})
    assert full.status_code == 429
    kube.refuse("POST", "corejobs", 422)
    api.service.resources.commands._enqueue._limit = 2
    assert (await post(client, {"n": 2}, headers={"Idempotency-Key": "k"})).status_code == 400
    assert keys(kube) == []
    assert (await post(client, {"n": 2}, headers={"Idempotency-Key": "k"})).status_code == 200
    assert len(keys(kube)) == 1


async def test_the_key_of_a_job_that_may_be_there_is_kept(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    kube.refuse("POST", "corejobs", 503)
    assert (await post(client, {"n": 1}, headers={"Idempotency-Key": "k"})).status_code == 503
    assert len(keys(kube)) == 1


async def test_a_key_that_another_replica_goes_on_with_is_not_deleted(
    kube: FakeApiServer, replicas: Replicas
) -> None:
    first, second = replicas
    header = {"Idempotency-Key": "k"}
    gate = kube.hold("POST", "corejobs")
    task = asyncio.create_task(post(first, {"n": 1}, headers=header))
    await kube.until_held(1)
    retry = asyncio.create_task(post(second, {"n": 1}, headers=header))
    await kube.until_held(2)
    kube.refuse("POST", "corejobs", 422)
    gate.set()
    statuses = {(await one_task).status_code for one_task in (task, retry)}
    assert statuses == {200, 400}
    assert len(keys(kube)) == 1
    assert (await post(first, {"n": 1}, headers=header)).status_code == 200
    assert len(kube.objects["corejobs"]) == 1


async def test_a_user_has_a_limited_number_of_keys(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path
) -> None:
    async def enqueued(client: httpx.AsyncClient, number: int) -> int:
        headers = {"Idempotency-Key": str(number)}
        return (await post(client, {"n": number}, headers=headers)).status_code

    async with running(kube, store_url, tmp_path, key_limit=2) as api, api.client() as client:
        assert [await enqueued(client, number) for number in range(3)] == [200, 200, 429]
        assert await enqueued(client, 0) == 200  # a retry
        assert (await post(client, {"n": 3})).status_code == 200
        async with api.client("dev") as dev:
            assert await enqueued(dev, 4) == 200
    assert len(keys(kube)) == 3
    async with running(kube, store_url, tmp_path, key_limit=2) as api, api.client() as client:
        await api.service.claims.sweep()
        assert await enqueued(client, 5) == 429
        name = keys(kube)[0]
        kube.objects["leases"][name]["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
        await api.service.claims.sweep()
        assert await enqueued(client, 5) == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_bad_idempotency_key(client: httpx.AsyncClient, key: str) -> None:
    answer = await post(client, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]


async def test_the_same_key_gets_the_same_job(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer, journal: Any
) -> None:
    header = {"Idempotency-Key": "key 1"}
    answers = await asyncio.gather(*(post(client, {"n": 1}, headers=header) for _ in range(4)))
    (job_id,) = {answer.json()["data"] for answer in answers}
    assert len(kube.objects["corejobs"]) == 1
    other = await post(client, {"n": 2}, headers=header)
    assert other.status_code == 409
    assert "Idempotency-Key" in other.json()["error"]
    async with api.client("dev") as dev:  # keys are per user
        assert (await post(dev, {"n": 3}, headers=header)).json()["data"] != job_id
    await api.status(job_id, state="complete")
    await journal(job_id)
    await api.until(lambda: not api.service.queue.get(job_id))
    assert (await post(client, {"n": 1}, headers=header)).json()["data"] == job_id
    assert (await post(client, {"n": 1})).json()["data"] != job_id


async def test_a_retry_at_another_replica_while_the_first_is_under_way(
    kube: FakeApiServer, replicas: Replicas
) -> None:
    first, second = replicas
    header = {"Idempotency-Key": "k"}
    gate = kube.hold("POST", "corejobs")
    tasks = [asyncio.create_task(post(c, {"n": 1}, headers=header)) for c in (first, second)]
    await kube.until_held(2)
    gate.set()
    answers = await asyncio.gather(*tasks)
    assert len({answer.json()["data"] for answer in answers}) == 1
    assert len(kube.objects["corejobs"]) == 1


async def test_a_retry_after_a_failure_with_the_same_key(
    client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    kube.refuse("POST", "corejobs", 503)
    header = {"Idempotency-Key": "k"}
    assert (await post(client, {"n": 1}, headers=header)).status_code == 503
    assert (await post(client, {"n": 1}, headers=header)).status_code == 200
    assert len(kube.objects["corejobs"]) == 1


async def test_while_the_store_is_away_nothing_is_taken(
    kube: FakeApiServer, tmp_path: Path
) -> None:
    """A job whose log can't be stored must not start."""
    url = f"sqlite:///{tmp_path}/away.db"
    async with running(kube, url, tmp_path) as api, api.client() as client:
        answer = await post(client)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert kube.objects["corejobs"] == {}
        writer = await Writer.open(url)
        await writer.close()
        assert (await post(client)).status_code == 200


async def test_a_job_has_the_properties_of_its_template_from_the_beginning(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    """The operator may not have reconciled it yet."""
    kube.template("a.Stubborn", properties={"attempts": 3, "errorTimeSeconds": 7})
    await api.until(lambda: api.service.catalogue.get("a.Stubborn"))
    body = {"qual_name": "a.Stubborn", "args": {"error_time": 8}, "follow": False}
    job_id = (await client.post("job", json=body)).json()["data"]
    row = (await client.get(f"job/{job_id}")).json()["data"]
    assert (row["attempts"], row["attempts_left"], row["error_time"]) == (3, 3, 8)
    # The same holds for the restart of a job that was killed before that.
    await client.put(f"job/kill/{job_id}")
    child = (await client.put(f"job/restart/{job_id}", json={"follow": False})).json()["data"]
    row = (await client.get(f"job/{child}")).json()["data"]
    assert (row["attempts"], row["attempts_left"], row["error_time"]) == (3, 3, 8)


async def test_a_template_that_comes_after_the_job_counts_until_the_operator_has_seen_it(
    api: RunningApi, client: httpx.AsyncClient, kube: FakeApiServer
) -> None:
    """At the start of the API either list may arrive first."""
    for number in (1, 2):
        spec = {"qualName": "a.Late", "args": {"n": number}}
        kube.put("corejobs", {"metadata": {"name": f"late-{number}"}, "spec": spec})
    kube.change("corejobs", "late-2", {"status": {"state": "pending", "attemptsLeft": 1}})
    await api.until(lambda: (api.service.corejobs.get("late-2") or {}).get("status"))
    kube.template("a.Late", properties={"attempts": 3})
    await api.until(lambda: api.service.catalogue.get("a.Late"))
    rows = (await client.get("job", params={"sort": "args.n"})).json()["data"]
    assert [row["attempts_left"] for row in rows] == [3, 1]
