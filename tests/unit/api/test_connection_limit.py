"""Requests while the service has all the connections that it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import poll
from tests.unit.api.conftest import RunningApi, running
from tests.unit.api.test_hostile_requests import JOB, raw

from corejob_journal.store import Writer

ORIGIN = {"Origin": "https://app.example.com"}


@pytest.fixture
async def full(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> AsyncIterator[RunningApi]:
    """An API that takes two connections and has them."""
    async with (
        running(kube, store_url, tmp_path, loopback=True, most_connections=2) as api,
        held(api, 2),
    ):
        yield api


@asynccontextmanager
async def held(api: RunningApi, count: int) -> AsyncIterator[None]:
    parts = urlsplit(api.url or "")
    opened = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(count)]
    yield
    for _, writing in opened:
        writing.close()


async def test_the_refusal_is_an_error_like_all_others(full: RunningApi) -> None:
    async with full.client() as client:
        answer = await client.get("job", headers=ORIGIN)
    assert answer.status_code == 503
    body = answer.json()
    assert set(body) == {"_id", "version", "timestamp", "message", "code", "error"}
    assert "all of the 2 connections" in body["error"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert 'status="503"' in (await full.probe("/metrics")).text


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_its_connection_is_closed(full: RunningApi, method: str) -> None:
    # Without a body, for which Falcon would wait.
    request = f"{method} {JOB} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    answer = await raw(full, request.encode())
    assert answer.startswith(b"HTTP/1.1 200" if method == "OPTIONS" else b"HTTP/1.1 503")
    assert b"connection: close" in answer.lower()


async def test_as_many_connections_as_it_takes_are_served(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> None:
    async with running(kube, store_url, tmp_path, loopback=True, most_connections=2) as api:
        async with held(api, 1), api.client() as client:
            assert (await client.get("job")).status_code == 200
        async with held(api, 2), api.client() as client:
            assert (await client.get("job")).status_code == 503

        async def is_served() -> bool:
            async with api.client() as client:
                return (await client.get("job")).status_code == 200

        await poll(is_served)
