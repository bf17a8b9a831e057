"""Clients that disconnect before their request has arrived, or before they are answered."""

import asyncio
import base64
import logging
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import poll
from tests.unit.api.conftest import DUMMY, Record, RunningApi, enqueue

from corejob_api.logs import pages
from corejob_api.queue.listing import QueueListing
from corejob_api.queue.log_barrier import LogBarrier

BASE = "/core4/api/v1"
BASIC = b"Authorization: Basic " + base64.b64encode(b"admin:hans") + b"\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def head(method: str, path: str, *headers: bytes) -> bytes:
    return f"{method} {BASE}{path} HTTP/1.1\r\nHost: x\r\n".encode() + BASIC + b"".join(headers)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def cut_off(served: RunningApi, request: bytes) -> None:
    """Send the beginning of a request, disconnect, and wait until the service has noticed it."""
    before = await gone(served)
    parts = urlsplit(served.url or "")
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    await writer.drain()
    writer.close()

    async def counted() -> bool:
        return await gone(served) > before

    await poll(counted)


async def gone(served: RunningApi) -> float:
    """Return the number of requests whose client has disconnected, by the metrics."""
    lines = (await served.probe("/metrics")).text.splitlines()
    counts = [
        line for line in lines if line.startswith("core4_api_request") and 'status="499"' in line
    ]
    return sum(float(line.split()[-1]) for line in counts if "_count" in line)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(
            b"Content-Length: 200\r\n\r\n" + b'{"args": {"day": "2026-01-01"', id="length"
        ),
        pytest.param(CHUNKED + b"\r\n" + chunk(b'{"args": {}}'), id="whole JSON without the end"),
        pytest.param(FORM + CHUNKED + b"\r\n" + chunk(b'args={"day"'), id="chunked"),
        pytest.param(FORM + CHUNKED + b"\r\n" + chunk(b"a=1&") + b"20\r\nb=", id="in a chunk"),
        pytest.param(FORM + b"Content-Length: 30\r\n\r\na=1&b", id="form"),
    ],
)
async def test_a_job_is_not_enqueued_with_a_part_of_its_args(
    served: RunningApi, kube: FakeApiServer, caplog: pytest.LogCaptureFixture, rest: bytes
) -> None:
    await cut_off(served, head("POST", f"/job?qual_name={DUMMY}&follow=no", rest))
    assert kube.objects["corejobs"] == {}
    assert errors(caplog) == []


@pytest.mark.parametrize("action", ["kill", "remove", "restart"])
@pytest.mark.parametrize(
    "rest", [b'Content-Length: 100\r\n\r\n{"a":', CHUNKED + b"\r\n" + chunk(b'{"a":')]
)
async def test_a_command_whose_body_is_cut_off_changes_nothing(
    served: RunningApi, caller: httpx.AsyncClient, kube: FakeApiServer, action: str, rest: bytes
) -> None:
    job_id = await enqueue(caller)
    await served.status(job_id, state="error", trial=1)
    before = kube.objects["corejobs"][job_id]["spec"]
    await cut_off(served, head("PUT", f"/job/{action}/{job_id}", rest))
    assert kube.objects["corejobs"][job_id]["spec"] == before
    assert list(kube.objects["corejobs"]) == [job_id]


async def test_a_whole_chunked_body_is_read(served: RunningApi, caller: httpx.AsyncClient) -> None:
    async def parts() -> Any:
        for part in (b'{"qual_name": "%s", ' % DUMMY.encode(), b'"args": {"x": 1}, "follow": 0}'):
            yield part.replace(b"0}", b"false}")

    job_id = (await caller.post("job", content=parts())).json()["data"]
    assert (await caller.get(f"job/{job_id}")).json()["data"]["args"] == {"x": 1}


@pytest.mark.parametrize("place", ["list", "log", "detail"])
async def test_a_client_that_leaves_a_slow_answer_is_counted_and_no_error(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    job_id = await enqueue(caller)
    await (await record(job_id)).log("one")

    async def endless(*_args: Any, **_more: Any) -> None:
        await asyncio.Event().wait()

    if place == "list":
        monkeypatch.setattr(QueueListing, "page", endless)
    elif place == "log":
        monkeypatch.setattr(pages, "page_of", endless)
    else:
        monkeypatch.setattr(LogBarrier, "holds", lambda *_: True)
        monkeypatch.setattr(LogBarrier, "passed", endless)
    path = {"list": "/job", "log": f"/job/log/{job_id}", "detail": f"/job/{job_id}"}[place]
    await cut_off(served, head("GET", path, b"\r\n"))
    assert errors(caplog) == []
