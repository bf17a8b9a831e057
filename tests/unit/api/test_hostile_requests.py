"""Requests that nobody sends who means well, against the service on a port."""

import asyncio
import logging
from urllib.parse import urlsplit

import httpx
import pytest
from tests.unit.api.conftest import DEADLINE, DUMMY, SECRET, RunningApi

JOB = "/core4/api/v1/job"


async def raw(api: RunningApi, request: bytes) -> bytes:
    """What is answered to these bytes until the server closes the connection."""
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
    async with served.client(None) as client:
        text = (await client.get("/metrics")).text
    assert "BBBB" not in text
    assert 'method="other"' in text


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"9.9"])
async def test_a_version_of_http_that_is_not_spoken(
    served: RunningApi, version: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(served, b"GET /healthz HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    assert answer.split(b"\r\n")[0].split()[1] in {b"505", b"400"}
    assert b"500" not in answer.split(b"\r\n")[0]
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["/healthz", f"{JOB}/list", "/nowhere", "/core4/api/v1/login"])
async def test_browsers_are_told_neither_to_frame_nor_to_guess_nor_to_keep(
    api: RunningApi, path: str
) -> None:
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
