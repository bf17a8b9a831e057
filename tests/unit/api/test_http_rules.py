"""Envelope, errors, arguments, CORS and methods (docs/rest.md), through the whole service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.faults import ALWAYS, ANY
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, SECRET, RunningApi, enqueue, running

UNKNOWN = "0123456789abcdef01234567"
LOGIN = ("admin", "hans")


@pytest.fixture
async def anonymous(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client(user=None) as made:
        yield made


async def test_the_envelope(client: httpx.AsyncClient) -> None:
    body = (await client.get("profile")).json()
    assert set(body) == {"_id", "version", "timestamp", "message", "code", "data"}
    assert len(body["_id"]) == 24
    assert (body["message"], body["code"]) == ("OK", 200)
    assert body["version"].startswith("core4/")
    assert "+" not in body["timestamp"]
    assert "Z" not in body["timestamp"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "URL [/nowhere] not found"),
        ("GET", "/core4/api/v1/job/list/x", 404, "not found"),
        ("GET", "/core4/api/v1/job/a/b/c", 404, "not found"),
        ("GET", "/core4/api/v1/job/foo", 405, "unknown action GET [foo]"),
        ("GET", f"/core4/api/v1/job/kill/{UNKNOWN}", 405, "unknown action GET [kill]"),
        ("POST", "/core4/api/v1/job/list", 405, "unknown action POST [list]"),
        ("POST", f"/core4/api/v1/job/{UNKNOWN}", 405, f"unknown action POST [{UNKNOWN}]"),
        ("PUT", "/core4/api/v1/job", 405, "unknown action PUT []"),
        ("DELETE", "/core4/api/v1/job", 405, "unknown action DELETE []"),
        ("DELETE", f"/core4/api/v1/job/{UNKNOWN}", 405, "unknown action DELETE"),
        ("PATCH", "/core4/api/v1/job/queue", 405, "unknown action PATCH [queue]"),
        ("GET", "/core4/api/v1/job/{job_id}", 405, "unknown action GET [{job_id}]"),
        ("DELETE", "/core4/api/v1/profile", 405, "unknown action DELETE [profile]"),
        *(
            (method, f"/core4/api/v1/job/{action}{end}", 400, "missing job _id")
            for method, actions in (
                ("GET", ("detail", "follow", "log")),
                ("PUT", ("kill", "remove", "restart")),
            )
            for action in actions
            for end in ("", "/", "/?follow=true")
        ),
        ("GET", "/core4/api/v1/job/detail/abc", 400, "job id [abc] is malformed"),
        ("PUT", "/core4/api/v1/job/kill/abc", 400, "job id [abc] is malformed"),
        ("GET", f"/core4/api/v1/job/{UNKNOWN}", 404, f"job [{UNKNOWN}] not found"),
        ("GET", f"/core4/api/v1/job/{UNKNOWN.upper()}", 404, f"job [{UNKNOWN}] not found"),
        ("GET", f"/core4/api/v1/job/follow/{UNKNOWN}", 404, f"job [{UNKNOWN}] not found"),
        ("GET", f"/core4/api/v1/job/log/{UNKNOWN}", 404, f"job [{UNKNOWN}] not found"),
        ("PUT", f"/core4/api/v1/job/remove/{UNKNOWN}", 404, f"job [{UNKNOWN}] not found"),
        ("GET", "/core4/api/v1/job?per_page=0", 400, "parameter [per_page]"),
        ("GET", "/core4/api/v1/job?page=x", 400, "parameter [page] expected as_type [int]"),
        ("GET", "/core4/api/v1/job?filter=[]", 400, "parameter [filter] expected as_type [dict]"),
        ("GET", '/core4/api/v1/job?filter={"a":{"$foo":1}}', 400, "unknown operator [$foo]"),
        ("GET", '/core4/api/v1/job?filter={"a":{"$regex":"("}}', 400, "regex"),
        *(
            (
                "GET",
                f"/core4/api/v1/job?sort={text}",
                400,
                "parameter [sort] expected as_type [list]",
            )
            for text in ("[1]", "{}", "5", "true", '"_id"', "", "[", '[["a",2.5]]')
        ),
        ("GET", f"/core4/api/v1/job/follow/{UNKNOWN}?last_event_id=x", 400, "Last-Event-ID"),
        ("POST", "/core4/api/v1/job", 400, "Missing argument qual_name"),
        ("POST", f"/core4/api/v1/job?qual_name={DUMMY}&args=1", 400, "parameter [args]"),
        ("POST", f"/core4/api/v1/job?qual_name={DUMMY}&follow=maybe", 400, "parameter [follow]"),
        ("POST", "/core4/api/v1/job?qual_name=nodot", 404, "job [nodot] not found"),
    ],
)
async def test_errors(
    anonymous: httpx.AsyncClient, method: str, path: str, status: int, words: str
) -> None:
    answer = await anonymous.request(method, path, auth=LOGIN)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, status)
    assert words in body["error"]
    assert "data" not in body
    assert "Traceback" not in answer.text


async def test_sign_in_comes_before_everything_but_unknown_urls(
    anonymous: httpx.AsyncClient,
) -> None:
    for method, path in (
        ("GET", "job"),
        ("DELETE", "job"),
        ("GET", "job/foo"),
        ("GET", f"job/{UNKNOWN}"),
        ("GET", "profile"),
    ):
        answer = await anonymous.request(method, f"/core4/api/v1/{path}")
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="core4"'
    assert (await anonymous.get("/core4/api/v1/nowhere")).status_code == 404


async def test_errors_take_the_form_that_the_client_accepts(client: httpx.AsyncClient) -> None:
    page = await client.get("job/foo", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>405" in page.text
    text = await client.get("job/<b>", headers={"Accept": "text/html"})
    assert "<b>" not in text.text
    plain = await client.get("job/foo", headers={"Accept": "text/plain"})
    assert plain.text == "405 Method Not Allowed: unknown action GET [foo]\n"


async def test_arguments_come_from_anywhere_and_the_later_wins(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await enqueue(client, {"n": number})
    answer = await client.request("GET", "job?per_page=1&per_page=3", json={"page": 1})
    assert (answer.json()["per_page"], answer.json()["count"]) == (3, 0)
    answer = await client.request("GET", "job?per_page=1", json={"per_page": 2, "page": -1})
    assert (answer.json()["page"], answer.json()["count"]) == (1, 1)
    answer = await client.post("job/queue?per_page=1", data={"per_page": "2"})
    assert answer.json()["per_page"] == 2
    answer = await client.post("job/queue", content=b"{not json")
    assert answer.json()["per_page"] == 10
    answer = await client.post("job/queue", content=b"\xff", headers={"Content-Type": "text/csv"})
    assert answer.json()["per_page"] == 10


async def test_trailing_slashes_are_tolerated(client: httpx.AsyncClient) -> None:
    for path in ("job/", "job/list/", "job/queue/", "profile/"):
        assert (await client.get(path)).status_code == 200, path


async def test_options_needs_no_sign_in(anonymous: httpx.AsyncClient) -> None:
    for path in ("/core4/api/v1/job", "/core4/api/v1/job/kill/1", "/nowhere"):
        answer = await anonymous.options(path, headers={"Origin": "https://app.example.com"})
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        # A page may read the methods even of requests that were refused.
        asked = "GET" if path.endswith("/job") else "PUT"
        assert asked in answer.headers["Access-Control-Allow-Methods"]
    assert (await anonymous.get("/core4/api/v1/job")).headers["Access-Control-Allow-Origin"] == "*"


async def test_a_body_that_is_too_long(client: httpx.AsyncClient) -> None:
    answer = await client.post("job", content=b"x" * (2**20 + 1))
    assert answer.status_code == 413
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", "job", 2**20),
        ("POST", "job/enqueue", 2**20),
        ("GET", "job", 2**19),
        ("POST", "job/queue", 2**19),
        ("GET", "job/list", 2**19),
        ("GET", f"job/log/{'0' * 24}", 2**19),
        ("GET", f"job/{'0' * 24}", 2**16),
        ("PUT", f"job/kill/{'0' * 24}", 2**16),
        ("PUT", f"job/restart/{'0' * 24}", 2**16),
        ("PUT", f"job/remove/{'0' * 24}", 2**16),
        ("DELETE", "job/nothing", 2**16),
        ("GET", "profile", 2**16),
        ("POST", "login", 2**16),
        ("GET", "queue/history", 2**16),
    ],
)
async def test_a_body_may_be_as_long_as_what_it_is_for(
    client: httpx.AsyncClient, method: str, path: str, most: int
) -> None:
    answer = await client.request(method, path, content=b"x" * most)
    assert answer.status_code != 413
    answer = await client.request(method, path, content=b"x" * (most + 1))
    assert answer.status_code == 413
    assert answer.json()["error"].startswith(f"the body is longer than {most} bytes")


async def test_the_longest_list_of_a_filter_fits_into_a_body(client: httpx.AsyncClient) -> None:
    body = {"filter": {"_id": {"$in": ["0" * 24] * 10_000}}}
    assert (await client.request("GET", "job", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("path", "name", "most"),
    [
        ("job", "per_page", 10_000),
        ("job/list", "per_page", 10_000),
        ("job/log/", "per_page", 10_000),
        ("jobs/history", "per_page", 10_000),
        ("queue/history", "perPage", 10_000),
        ("job/journal", "per_page", 1000),
    ],
)
async def test_a_page_has_an_end(
    client: httpx.AsyncClient, path: str, name: str, most: int
) -> None:
    if path.endswith("/"):
        path += await enqueue(client)
    assert (await client.get(path, params={name: most})).status_code == 200
    for size in (most + 1, 2**63 - 1):
        answer = await client.request("GET", path, json={name: size})
        assert answer.status_code == 400
        assert f"parameter [{name}] must be at most {most}, got [" in answer.json()["error"]
        assert "[page]" in answer.json()["error"]


async def test_kubernetes_away(client: httpx.AsyncClient, kube: FakeApiServer) -> None:
    job_id = await enqueue(client)
    kube.refuse(ANY, ANY, 503, times=ALWAYS)
    answer = await client.put(f"job/kill/{job_id}")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    body = {"qual_name": DUMMY, "args": {"n": 1}}
    assert (await client.post("job", json=body)).status_code == 503
    # Requests that the cache can answer still succeed.
    assert (await client.get(f"job/{job_id}")).json()["data"]["_id"] == job_id
    assert (await client.get("job")).json()["total_count"] == 1


async def test_an_unexpected_error_tells_nothing(
    api: RunningApi, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_job_id: str) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(api.service.queue, "get", broken)
    answer = await client.get(f"job/{UNKNOWN}")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["_id"] in answer.json()["error"]


async def test_permissions(api: RunningApi, client: httpx.AsyncClient) -> None:
    mine = await enqueue(client)
    secret = (await client.post("job", json={"qual_name": SECRET, "follow": False})).json()["data"]
    async with api.client("reader") as reader:
        assert (await reader.post("job/queue")).status_code == 403
        assert (await reader.put(f"job/kill/{mine}")).status_code == 403
        assert (await reader.get(f"job/{mine}")).status_code == 200
        assert (await reader.get(f"job/{secret}")).status_code == 403
        assert (await reader.get(f"job/log/{secret}")).status_code == 403
        assert (await reader.get(f"job/follow/{secret}")).status_code == 403
        assert (await reader.get("job/list")).json()["data"] == []
    async with api.client("dev") as dev:
        assert [row["_id"] for row in (await dev.get("job/list")).json()["data"]] == [DUMMY]
        assert (await dev.put(f"job/kill/{secret}")).status_code == 403
        assert (await dev.put(f"job/kill/{UNKNOWN}")).status_code == 404
        assert (await dev.post("job", json={"qual_name": SECRET})).status_code == 403
        assert (await dev.put(f"job/kill/{mine}")).status_code == 200


async def test_unreadable_rows_are_masked_and_cannot_be_probed(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    await enqueue(client, {"pin": 1})
    await client.post("job", json={"qual_name": SECRET, "args": {"pin": 1}, "follow": False})
    async with api.client("reader") as reader:
        rows = (await reader.get("job")).json()["data"]
        assert [(row["qual_name"], row["args"]) for row in rows] == [
            (DUMMY, {"pin": 1}),
            ("UnauthorizedJob", None),
        ]
        assert rows[1]["name"] == "UnauthorizedJob"
        found = await reader.request("GET", "job", json={"filter": {"args.pin": 1}})
        assert found.json()["total_count"] == 1
        found = await reader.get("job", params={"search": "secret"})
        assert found.json()["total_count"] == 0


async def test_health(api: RunningApi) -> None:
    assert (await api.probe("/healthz")).text == "ok\n"
    assert (await api.probe("/readyz")).text == "ok\n"
    text = (await api.probe("/metrics")).text
    assert "core4_api_queue 0.0" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_are_not_served_to_clients(
    api: RunningApi, anonymous: httpx.AsyncClient, path: str
) -> None:
    answers = [await anonymous.get(one) for one in (path, "/core4/api/v1" + path, "/nowhere")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert 'route="none",status="404"' in (await api.probe("/metrics")).text


async def test_readiness_with_and_without_the_store(kube: FakeApiServer, tmp_path: Path) -> None:
    """Otherwise all pods with the same store would leave their Service when it fails."""
    url = f"sqlite:///{tmp_path}/away.db"
    async with running(kube, url, tmp_path) as api:
        assert (await api.probe("/readyz")).status_code == 503
        assert (await api.probe("/readyz?without=store")).text == "ok\n"


ALLOWED = [
    ("/job", "GET, POST, OPTIONS"),
    ("/job/", "GET, POST, OPTIONS"),
    ("/job/queue", "GET, POST, OPTIONS"),
    ("/job/list", "GET, OPTIONS"),
    ("/job/enqueue", "POST, OPTIONS"),
    ("/job/kill", "PUT, OPTIONS"),
    (f"/job/kill/{UNKNOWN}", "PUT, OPTIONS"),
    (f"/job/log/{UNKNOWN}", "GET, OPTIONS"),
    (f"/job/{UNKNOWN}", "GET, OPTIONS"),
    ("/job/foo", "OPTIONS"),
    (f"/job/{UNKNOWN}/x", "OPTIONS"),
    ("/job/{job_id}", "OPTIONS"),
    ("/login", "GET, POST, OPTIONS"),
    ("/profile", "GET, OPTIONS"),
    ("/openapi.json", "GET, OPTIONS"),
]


async def test_a_405_says_the_methods_of_its_url(client: httpx.AsyncClient) -> None:
    for path, allowed in ALLOWED:
        for method in {"DELETE", "PATCH", "PUT", "POST", "HEAD", "TRACE", "BREW"}.difference(
            allowed.split(", ")
        ):
            answer = await client.request(method, path[1:])
            found = (answer.status_code, answer.headers.get("Allow"))
            assert found == (405, allowed), (method, path)


async def test_options_says_the_methods_of_its_url(anonymous: httpx.AsyncClient) -> None:
    for path, allowed in [*ALLOWED, ("/nowhere", "OPTIONS"), ("/job/log/a/b", "OPTIONS")]:
        answer = await anonymous.options("/core4/api/v1" + path)
        assert (answer.status_code, answer.headers["Allow"]) == (200, allowed), path
        cors = answer.headers["Access-Control-Allow-Methods"]
        assert cors == (allowed if allowed != "OPTIONS" else "GET, POST, PUT, OPTIONS"), path


@pytest.mark.parametrize("sort", [None, "state", '[["state", 1]]', [["state", 1]], []])
async def test_an_order_is_checked_whatever_the_sort_is(
    client: httpx.AsyncClient, sort: Any
) -> None:
    for path in ("job", "job/list", "job/journal"):
        for order in (0, 2, "x"):
            answer = await client.request("GET", path, json={"sort": sort, "order": order})
            assert answer.status_code == 400
            assert "parameter [order]" in answer.json()["error"]
        answer = await client.request("GET", path, json={"sort": sort, "order": -1})
        takes_none = isinstance(sort, str | list) and "[" in str(sort) and sort != []
        assert answer.status_code == (400 if takes_none else 200)
        if takes_none:
            assert "[order] goes with a field's name in [sort]" in answer.json()["error"]


@pytest.mark.parametrize("arguments", [{"order": -1}, {"order": "-1", "sort": []}])
async def test_an_order_without_a_sort_is_that_of_the_ids(
    api: RunningApi,
    client: httpx.AsyncClient,
    log_of_100: str,
    journal: Callable[[str], Awaitable[None]],
    arguments: Any,
) -> None:
    past = [await enqueue(client, {"past": number}) for number in range(2)]
    for job_id in past:
        await journal(job_id)
    await enqueue(client, {"more": 1})
    await api.until(lambda: len(api.service.queue) == 2)
    for path in ("job", "job/list", "job/journal", f"job/log/{log_of_100}"):
        up = (await client.request("GET", path, json={"order": 1, "per_page": 100})).json()["data"]
        down = await client.request("GET", path, json={**arguments, "per_page": 100})
        ids = [row["_id"] for row in up]
        assert len(ids) > 1
        assert ids == sorted(ids), path
        assert [row["_id"] for row in down.json()["data"]] == ids[::-1], path


@pytest.mark.parametrize("levels", [63, 65, 300, 900, 2000])
async def test_a_filter_is_not_nested_too_deep(client: httpx.AsyncClient, levels: int) -> None:
    value = "[" * levels + "1" + "]" * levels
    filters = [
        f'{{"args.n": {value}}}', f'{{"args.n": {{"$in": [{value}]}}}}',
        f'{{"args": {{"a": {{"b": {value}}}}}}}',
    ]  # fmt: skip
    for path in ("job", "job/list", "job/journal", "jobs/history"):
        for query in filters:
            answer = await client.get(path, params={"filter": query})
            if levels < 64 and query == filters[0]:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 400
                said = answer.json()["error"]
                assert said.startswith("parameter [filter]")
                assert said.endswith("is nested deeper than 64 levels")


async def test_a_filter_that_is_not_unicode_is_refused(client: httpx.AsyncClient) -> None:
    body = rb'{"filter": {"args.t": "\ud83d"}}'
    answer = await client.request("GET", "job", content=body)
    assert answer.status_code == 400
    assert '[filter["args.t"]] has half of a surrogate pair' in answer.json()["error"]


async def test_a_huge_page_is_refused_everywhere(client: httpx.AsyncClient) -> None:
    for path in ("job", "job/list", "job/journal", "jobs/history", "queue/history"):
        answer = await client.request("GET", path, content=b'{"page": %s}' % (b"9" * 999))
        assert answer.status_code == 400
        assert "parameter [page] must be an integer of at most 64 bits" in answer.json()["error"]
        assert "99" not in answer.json()["error"].replace("9223372036854775807", "")


async def test_any_bad_time_has_the_same_error(client: httpx.AsyncClient) -> None:
    job_id = await enqueue(client)
    for path, name in (("queue/history", "endDate"), (f"job/log/{job_id}", "since")):
        values: list[Any] = [{}, [], "x", True]
        for value in values:
            answer = await client.request("GET", path, json={name: value})
            assert answer.json()["error"] == f"parameter [{name}] expected as_type [datetime]"
