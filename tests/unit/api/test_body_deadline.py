"""Requests that announce a body and never send it."""

import base64
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import RunningApi, running
from tests.unit.api.test_hostile_requests import JOB, raw

from corejob_api import main
from corejob_api.http.body_deadline import BodyDeadline
from corejob_journal.store import Writer

BASIC = f"Authorization: Basic {base64.b64encode(b'admin:hans').decode()}\r\n"


@pytest.fixture
async def impatient(
    kube: FakeApiServer,
    writer: Writer,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RunningApi]:
    """An API that waits a tenth of a second for the beginning of a body."""
    monkeypatch.setattr(main, "BodyDeadline", partial(BodyDeadline, seconds=0.1))
    async with running(kube, store_url, tmp_path, loopback=True) as api:
        yield api


@pytest.mark.parametrize("length", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_a_408(impatient: RunningApi, length: str) -> None:
    request = f"POST {JOB} HTTP/1.1\r\nHost: x\r\n{BASIC}{length}\r\n\r\n"
    answer = await raw(impatient, request.encode())

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive within 30 s" in answer
    assert b"connection: close" in answer.lower()
    assert not impatient.kube.objects["corejobs"]


async def test_the_head_alone_is_enough_for_a_refusal(impatient: RunningApi) -> None:
    head = "POST /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

    answer = await raw(impatient, f"{head}Content-Length: 10\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_body_that_comes_is_read_whole(impatient: RunningApi) -> None:
    body = b'{"qual_name": "no.Such"}'
    head = f"POST {JOB} HTTP/1.1\r\nHost: x\r\n{BASIC}Content-Length: {len(body)}\r\n"
    answer = await raw(impatient, head.encode() + b"Connection: close\r\n\r\n" + body)

    assert b"no.Such" in answer
