"""Requests, pages, errors and streams over real HTTP."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.scripted import PATH, ScriptedApiServer, item, refusal
from tests.support.fake_apiserver.statuses import quota_contended, quota_exceeded, refuse
from tests.support.signals import DEADLINE

from corejob_kube import resources
from corejob_kube.client import Kube
from corejob_kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    QuotaContendedError,
    QuotaExceededError,
    UnavailableError,
)
from corejob_kube.resources import COREJOBS, EVENTS, PODS
from corejob_process import sockets


def always(response: dict[str, Any]) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(response)

    return answer


def refusing(*refusals: web.Response) -> Any:
    left = list(refusals)

    async def answer(request: web.Request) -> web.Response:
        return left.pop(0)

    return answer


# --- paths ----------------------------------------------------------------------------------


def test_paths() -> None:
    assert PODS.path("jobs", "a", "log") == "/api/v1/namespaces/jobs/pods/a/log"
    assert COREJOBS.path("jobs") == PATH
    assert EVENTS.path() == "/apis/events.k8s.io/v1/events"
    assert resources.JOBS.path(None, "a") == "/apis/batch/v1/jobs/a"


# --- requests -------------------------------------------------------------------------------


async def test_get(server: ScriptedApiServer, kube: Kube) -> None:
    server.answer = always(item("a", 1))

    assert await kube.get(COREJOBS, "jobs", "a") == item("a", 1)
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", f"{PATH}/a")
    assert request.headers["User-Agent"] == "test"
    assert "Authorization" not in request.headers


async def test_create_says_who_writes(server: ScriptedApiServer, kube: Kube) -> None:
    server.answer = always(item("a", 1))
    await kube.create(COREJOBS, "jobs", {"kind": "CoreJob"}, manager="core4-api")

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", PATH)
    assert dict(request.query) == {"fieldManager": "core4-api"}
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(await request.read()) == {"kind": "CoreJob"}


async def test_a_dry_run_stores_nothing_and_a_strict_one_drops_no_field(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.answer = always(item("a", 1))
    await kube.create(COREJOBS, "jobs", {}, manager="core4-api", strict=True, dry_run=True)

    (request,) = server.requests
    expected = {"fieldManager": "core4-api", "fieldValidation": "Strict", "dryRun": "All"}
    assert dict(request.query) == expected


@pytest.mark.parametrize("details", [{"causes": [{"field": "spec"}]}, None, "odd"])
async def test_a_refusal_keeps_its_details(
    server: ScriptedApiServer, kube: Kube, details: Any
) -> None:
    body = {"kind": "Status", "reason": "Invalid", "message": "no", "details": details}
    server.answer = refusing(web.json_response(body, status=422))
    with pytest.raises(InvalidError) as refused:
        await kube.create(COREJOBS, "jobs", {}, manager="core4-api")

    assert refused.value.details == (details if isinstance(details, dict) else {})


async def test_patch_merges_a_subresource(server: ScriptedApiServer, kube: Kube) -> None:
    server.answer = always(item("a", 2))
    body = {"status": {"state": "running", "queryTime": None}}
    answer = await kube.patch(COREJOBS, "jobs", "a", body, manager="m", sub="status")

    assert answer == item("a", 2)
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", f"{PATH}/a/status")
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert json.loads(await request.read()) == body


async def test_delete_only_that_very_object(server: ScriptedApiServer, kube: Kube) -> None:
    server.answer = always({})
    await kube.delete(PODS, "jobs", "a", grace=0, uid="u")

    (request,) = server.requests
    assert request.method == "DELETE"
    assert json.loads(await request.read()) == {
        "propagationPolicy": "Background",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
    }


async def test_the_answer_to_a_deletion_is_the_object_if_it_stays(
    server: ScriptedApiServer, kube: Kube
) -> None:
    deleted = {"name": "a", "deletionTimestamp": "2026-11-24T12:00:00Z"}
    staying = {"metadata": {**deleted, "resourceVersion": "7"}}
    server.answer = always(staying)
    assert await kube.delete(PODS, "jobs", "a") == staying
    for other in ({"kind": "Status", "metadata": {}, "status": "Success"}, {"metadata": deleted}):
        server.answer = always(other)
        assert await kube.delete(PODS, "jobs", "a") is None


@pytest.mark.parametrize("status", [404, 409])
async def test_deleting_what_is_gone_or_another_is_done(
    server: ScriptedApiServer, kube: Kube, status: int
) -> None:
    server.answer = refusing(refusal(status))
    await kube.delete(PODS, "jobs", "a", uid="u")

    assert len(server.requests) == 1


async def test_other_refusals_of_a_deletion_are_errors(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.answer = refusing(refusal(403))
    with pytest.raises(KubeError, match="403"):
        await kube.delete(PODS, "jobs", "a")


async def test_the_token_is_asked_for_with_each_request(server: ScriptedApiServer) -> None:
    server.answer = always({})
    kube = kube_client(server.url)
    tokens = ["first"]

    async def refresh(loaded: Any) -> None:
        loaded.api_key["BearerToken"] = f"Bearer {tokens[-1]}"

    configuration: Any = kube._configuration
    configuration.refresh_api_key_hook = refresh
    async with kube:
        await kube.request("GET", "/version")
        tokens.append("second")
        await kube.request("GET", "/version")

    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second"]


async def test_a_client_that_is_not_open(server: ScriptedApiServer) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await kube_client(server.url).request("GET", "/version")


# --- pages ----------------------------------------------------------------------------------


async def test_a_list_is_fetched_in_pages(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7, item("a", 1), item("b", 2), more="token")
    server.listing(7, item("c", 3))
    items, version = await kube.list(COREJOBS, "jobs", selector="core4.io/trial=1", page=2)

    assert [body["metadata"]["name"] for body in items] == ["a", "b", "c"]
    assert version == "7"
    first = {"limit": "2", "labelSelector": "core4.io/trial=1"}
    assert server.listed == [first, {**first, "continue": "token"}]


async def test_a_list_without_items(server: ScriptedApiServer, kube: Kube) -> None:
    server.lists.append({"items": None, "metadata": {"resourceVersion": "3"}})

    assert await kube.list(COREJOBS, "jobs") == ([], "3")


async def test_a_page_that_came_too_late(server: ScriptedApiServer, kube: Kube) -> None:
    server.listing(7, item("a", 1), more="token")
    server.lists.append(refusal(410, "Expired"))
    with pytest.raises(GoneError):
        await kube.list(COREJOBS, "jobs")


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (401, KubeError),
        (403, KubeError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, GoneError),
        (422, InvalidError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
    ],
)
async def test_errors_by_status(
    server: ScriptedApiServer, kube: Kube, status: int, kind: type[KubeError]
) -> None:
    server.answer = refusing(refusal(status, "Because"))
    with pytest.raises(KubeError) as caught:
        await kube.get(COREJOBS, "jobs", "a")

    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.reason) == (status, "Because")
    assert caught.value.message == "no: Because"
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refuse(409, 'leases "a" already exists', "AlreadyExists"), AlreadyExistsError),
        (refuse(409, "the object has been modified", "Conflict"), ConflictError),
        # A webhook may respond with any status and any message.
        (refuse(409, 'admission webhook "a" denied the request: already exists'), ConflictError),
        (quota_contended(), QuotaContendedError),
        (quota_exceeded("leases"), QuotaExceededError),
        (refuse(403, "is forbidden: status unknown for quota: a", "Forbidden"), QuotaExceededError),
        (refuse(403, 'User "a" cannot create resource "leases"', "Forbidden"), KubeError),
    ],
)
async def test_conflicts_and_quotas_are_told_apart(
    server: ScriptedApiServer, kube: Kube, answer: web.Response, kind: type[KubeError]
) -> None:
    server.answer = refusing(answer)
    with pytest.raises(KubeError) as caught:
        await kube.get(COREJOBS, "jobs", "a")
    assert type(caught.value) is kind


async def test_a_create_is_tried_again_while_a_quota_is_contended(
    server: ScriptedApiServer,
) -> None:
    made = web.json_response(item("a", 1), status=201)
    server.answer = refusing(quota_contended(), quota_contended(), made)
    async with kube_client(server.url, quota_pauses=(0.001, 0.001)) as kube:
        assert await kube.create(COREJOBS, "jobs", {}, manager="test") == item("a", 1)
        assert len(server.requests) == 3
        server.answer = refusing(*(quota_contended() for _ in range(4)))
        with pytest.raises(QuotaContendedError):
            await kube.create(COREJOBS, "jobs", {}, manager="test")
    assert len(server.requests) == 6


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("tomorrow", None)])
async def test_the_time_to_wait(
    server: ScriptedApiServer, kube: Kube, header: str, seconds: float | None
) -> None:
    server.answer = refusing(refusal(429, **{"Retry-After": header}))
    with pytest.raises(UnavailableError) as caught:
        await kube.get(COREJOBS, "jobs", "a")

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("body", [b"upstream is away", b'["a"]', b"\xff\xfe", b""])
async def test_an_error_that_is_no_status_object(
    server: ScriptedApiServer, kube: Kube, body: bytes
) -> None:
    server.answer = refusing(web.Response(status=502, body=body))
    with pytest.raises(UnavailableError) as caught:
        await kube.get(COREJOBS, "jobs", "a")

    assert caught.value.reason == "Bad Gateway"


async def test_an_answer_that_is_no_json_is_no_answer(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.answer = refusing(web.Response(text="<html>sign in</html>"))
    with pytest.raises(UnavailableError, match="no JSON"):
        await kube.get(COREJOBS, "jobs", "a")


async def test_a_server_that_is_away() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with kube_client(f"http://127.0.0.1:{free.getsockname()[1]}") as kube:
            with pytest.raises(UnavailableError, match="no answer from Kubernetes"):
                await kube.get(COREJOBS, "jobs", "a")


async def test_a_server_that_hangs(server: ScriptedApiServer) -> None:
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await released.wait()
        return web.json_response({})

    server.answer = hang
    async with kube_client(server.url, request_timeout=0.1) as kube:
        # Time-outs have no message of their own.
        with pytest.raises(UnavailableError, match=r"no answer from Kubernetes: [A-Za-z]"):
            await kube.get(COREJOBS, "jobs", "a")
    released.set()


async def test_a_server_that_breaks_off(server: ScriptedApiServer, kube: Kube) -> None:
    async def abort(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.answer = abort
    with pytest.raises(UnavailableError):
        await kube.get(COREJOBS, "jobs", "a")


# --- streams --------------------------------------------------------------------------------


async def test_a_stream_is_read_by_lines_however_long(
    server: ScriptedApiServer, kube: Kube
) -> None:
    server.lists.append({})
    long = b"x" * (2**21)
    async with kube.stream(PATH, params={"watch": "true"}, idle=DEADLINE) as lines:
        watch = await server.next_watch()
        watch.raw(b"first\n" + long + b"\n")
        watch.end()
        read = [line async for line in lines]

    assert read == [b"first\n", long + b"\n"]


async def test_a_silent_stream_counts_as_dead(
    server: ScriptedApiServer, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    loop = asyncio.get_running_loop()
    real = loop.time

    async def follow() -> None:
        async with kube.stream(PATH, params={"watch": "true"}, idle=DEADLINE) as lines:
            (await server.next_watch()).raw(b"first\n")
            read.append(await lines.readline())
            monkeypatch.setattr(loop, "time", lambda: real() + 2 * DEADLINE)
            await lines.readline()

    with pytest.raises(UnavailableError):
        await follow()

    assert read == [b"first\n"]


@pytest.mark.parametrize("ends", [True, False])
async def test_a_stream_that_ends_soon_after_its_reader_left_leaves_its_connection(
    server: ScriptedApiServer, kube: Kube, ends: bool
) -> None:
    params = {"watch": "true"}
    linger = DEADLINE if ends else 0.01
    async with kube.stream(PATH, params=params, idle=DEADLINE, linger=linger) as lines:
        watch = await server.next_watch()
        watch.raw(b"first\n")
        await lines.readline()
        first = watch.connection
    if ends:
        watch.raw(b"second\n")
        watch.end()
    await asyncio.gather(*kube.draining)
    async with kube.stream(PATH, params=params, idle=DEADLINE):
        assert ((await server.next_watch()).connection is first) is ends


async def test_a_stream_that_is_refused(server: ScriptedApiServer, kube: Kube) -> None:
    server.watch_refusals.append(refusal(410, "Expired"))
    with pytest.raises(GoneError):
        async with kube.stream(PATH, params={"watch": "true"}, idle=DEADLINE):
            pass


async def test_an_api_server_is_reached_by_ipv6() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "a"}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    with sockets.listening("::1", 0) as sock:
        await web.SockSite(runner, sock).start()
        async with kube_client(f"http://[::1]:{sock.getsockname()[1]}") as kube:
            assert await kube.get(COREJOBS, "jobs", "a") == {"metadata": {"name": "a"}}
        await runner.cleanup()


def _serve_a_line(server: socket.socket, context: ssl.SSLContext) -> None:
    """Answer one request with one line of an endless stream; never answer the end of TLS."""
    raw, _ = server.accept()
    with raw, context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False) as connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n")
        with socket.socket(fileno=os.dup(connection.fileno())) as tcp:
            tcp.settimeout(10)  # asyncio ends TLS without the server after 30 s
            with suppress(ConnectionResetError):
                while tcp.recv(65536):
                    pass


async def test_a_stream_that_is_left_is_closed_without_the_server(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    made = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    settings = Configuration()
    settings.verify_ssl = False
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = asyncio.create_task(asyncio.to_thread(_serve_a_line, server, context))
        settings.host = f"https://127.0.0.1:{server.getsockname()[1]}"
        async with Kube(settings, user_agent="test") as kube:
            async with kube.stream("/log", params={}, idle=DEADLINE) as lines:
                assert await anext(aiter(lines)) == b"a\n"
            await serving
