"""Malicious requests to the service on a port."""

import asyncio
import base64
import logging
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import DUMMY, SECRET, RunningApi, running

from corejob_api.http import connections
from corejob_api.http.body import Budget
from corejob_api.http.errors import ApiError
from corejob_journal.store import Writer

JOB = "/core4/api/v1/job"


async def raw(api: RunningApi, request: bytes) -> bytes:
    """Send these bytes, and return everything until the server closes the connection."""
    parts = urlsplit(api.url or "")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    finally:
        writer.close()


async def test_methods_that_there_are_not_add_nothing_to_the_metrics(served: RunningApi) -> None:
    for number in range(20):
        method = b"Q%d" % number + b"B" * 5000
        await raw(served, method + b" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    text = (await served.probe("/metrics")).text
    assert "BBBB" not in text
    assert 'method="other"' in text


async def test_probes_are_answered_while_the_api_has_all_the_connections_that_it_takes(
    kube: FakeApiServer,
    writer: Writer,
    store_url: str,
    tmp_path: Path,
) -> None:
    async with running(kube, store_url, tmp_path, loopback=True, most_connections=3) as api:
        parts = urlsplit(api.url or "")
        held = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(3)]
        async with api.client(None) as client:
            answer = await client.get("/core4/api/v1/openapi.json")
        assert answer.status_code == 503
        for path in ("/healthz", "/readyz"):
            assert (await api.probe(path)).text == "ok\n"
        assert "core4_api_queue" in (await api.probe("/metrics")).text
        for _, writing in held:
            writing.close()


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"9.9"])
async def test_an_unsupported_http_version(
    served: RunningApi, version: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(served, b"GET /nowhere HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    assert answer.split(b"\r\n")[0].split()[1] in {b"505", b"400"}
    assert b"500" not in answer.split(b"\r\n")[0]
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("method", [b"WEBSOCKET", b"BREW"])
async def test_a_method_that_falcon_reserves_is_unknown_as_any_other(
    served: RunningApi, method: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    basic = b"Authorization: Basic " + base64.b64encode(b"admin:hans") + b"\r\n"
    head = b" %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % JOB.encode()
    answer = await raw(served, method + head + basic + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 405")
    assert b"unknown action " in answer
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["/", f"{JOB}/list", "/nowhere", "/core4/api/v1/login"])
async def test_headers_forbid_framing_sniffing_and_caching(api: RunningApi, path: str) -> None:
    async with api.client(None) as client:
        headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


async def test_a_refusal_does_not_tell_what_a_masked_row_hides(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    body = {"qual_name": SECRET, "follow": False}
    job_id = (await client.post("job", json=body)).json()["data"]
    async with api.client("dev") as dev:
        for method, path in (
            ("GET", ""), ("GET", "detail/"), ("GET", "log/"), ("GET", "follow/"),
            ("PUT", "kill/"), ("PUT", "restart/"), ("PUT", "remove/"),
        ):  # fmt: skip
            answer = await dev.request(method, f"job/{path}{job_id}")
            assert answer.status_code == 403
            assert SECRET not in answer.text
            assert job_id in answer.json()["error"]


async def test_each_order_is_in_the_log_with_its_user(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "corejob_api")
    body = {"qual_name": DUMMY, "follow": False}
    job_id = (await client.post("job", json=body)).json()["data"]
    for action in ("kill", "remove"):
        assert (await client.put(f"job/{action}/{job_id}")).status_code == 200
    assert f"user admin enqueued job {job_id} [{DUMMY}]" in caplog.text
    assert f"user admin killed job {job_id}" in caplog.text
    assert f"user admin removed job {job_id}" in caplog.text


class _Protocol(SimpleNamespace):
    """The part of uvicorn's protocol object that our code uses."""

    __hash__ = object.__hash__  # type: ignore[assignment]


UPLOAD = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 1048576\r\n\r\n" + b"x" * 1000


@pytest.mark.parametrize(
    "headers", [b"", b"Authorization: Bearer x\r\n", b"Cookie: token=x\r\n", b"Cookie: a=b\r\n"]
)
async def test_a_long_unauthenticated_body_is_refused_before_it_is_read(
    served: RunningApi, headers: bytes
) -> None:
    answer = await raw(served, UPLOAD % (JOB.encode(), headers + b"Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("taken", "sender", "size"),
    [
        pytest.param({"b": 50, "c": 30}, "a", 21, id="none left for all"),
        pytest.param({"a": 30}, "a", 21, id="more than the sender's half"),
    ],
)
async def test_bodies_in_flight_have_a_budget(
    taken: dict[str, int], sender: str, size: int
) -> None:
    budget = Budget(100)
    with ExitStack() as open_bodies:
        for other, bytes_of_it in taken.items():
            open_bodies.enter_context(budget.reserved(bytes_of_it, other))
        with pytest.raises(ApiError) as caught, budget.reserved(size, sender):
            pass
        assert caught.value.status == 503
        assert {"Retry-After", "Connection"} <= set(caught.value.headers)
        with budget.reserved(size - 1, sender):
            pass
    with budget.reserved(50, sender):
        pass


async def test_open_uploads_of_one_user_leave_room_for_the_others(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    parts = urlsplit(served.url or "")
    basic = base64.b64encode(b"admin:hans")
    head = b"Authorization: Basic " + basic + b"\r\n"
    request = f"POST {JOB} HTTP/1.1\r\nHost: x\r\n".encode() + head
    request += b"Content-Length: 1048576\r\n\r\nx"
    # From now on the password is cached, so the uploads are read in order.
    assert (await caller.get("job")).status_code == 200
    opened = []
    for _ in range(40):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        opened.append(writer)
    try:
        async with asyncio.timeout(DEADLINE):
            while b"503" not in (await raw(served, request)):
                pass
        # The same user's small requests still pass, and so do large ones of others.
        small = {"qual_name": DUMMY, "args": {"x": 1}, "follow": False}
        assert (await caller.post("job", json=small)).status_code == 200
        async with served.client("dev") as other:
            long = {"qual_name": DUMMY, "args": {"x": "y" * 100_000}, "follow": False}
            assert (await other.post("job", json=long)).status_code == 200
    finally:
        for writer in opened:
            writer.close()


async def test_unauthenticated_uploads_are_limited_apart_from_others(
    served: RunningApi, caller: httpx.AsyncClient
) -> None:
    parts = urlsplit(served.url or "")
    request = f"POST {JOB} HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\nx".encode()
    opened = []
    for _ in range(128):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        opened.append((reader, writer))
    try:
        async with asyncio.timeout(DEADLINE):
            while b"503" not in (await raw(served, request)):
                pass
        body = {"qual_name": DUMMY, "args": {"x": "y" * 100_000}, "follow": False}
        assert (await caller.post("job", json=body)).status_code == 200
    finally:
        for _, writer in opened:
            writer.close()


async def test_a_user_can_sign_in_by_a_small_body(api: RunningApi) -> None:
    async with api.client(None) as client:
        body = {"username": "admin", "password": "hans", "qual_name": DUMMY, "follow": False}
        assert (await client.post(JOB, json=body)).status_code == 200
        assert (await client.request("GET", JOB, data=body)).status_code == 200


@pytest.mark.parametrize(
    "credentials",
    [
        r'{"token": "\ud83d"}',
        r'{"username": "\ud83d", "password": "x"}',
        r'{"username": "admin", "password": "\ud83d"}',
    ],
)
async def test_credentials_that_are_not_unicode_are_wrong(
    api: RunningApi, caplog: pytest.LogCaptureFixture, credentials: str
) -> None:
    async with api.client(None) as client:
        answer = await client.post("/core4/api/v1/login", content=credentials)
    assert answer.status_code == 401
    assert not [entry for entry in caplog.records if entry.levelno >= logging.ERROR]


def test_a_connection_that_sends_its_head_slowly_is_closed() -> None:
    slow = _Protocol(cycle=None, timeout_keep_alive_task=None, transport=Mock())
    busy = _Protocol(
        cycle=SimpleNamespace(response_complete=False),
        timeout_keep_alive_task=None,
        transport=Mock(),
    )
    idle = _Protocol(
        cycle=SimpleNamespace(response_complete=True),
        timeout_keep_alive_task=object(),
        transport=Mock(),
    )
    protocols = [slow, busy, idle]
    deadline = connections.HeaderDeadline(30.0)
    for now in (0.0, 29.0, 30.0):
        assert not slow.transport.abort.called
        for number in range(connections.SLICES):
            deadline.close_slow(protocols, number, now)
    assert slow.transport.abort.called
    assert not busy.transport.abort.called
    assert not idle.transport.abort.called
