"""Responses to the probes of the kubelet and to Prometheus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from corejob_process.health import HealthServer


class FakeHealth:
    def __init__(self) -> None:
        self.liveness: str | None = None
        self.readiness: str | None = None
        self.metrics = CollectorRegistry()

    def liveness_problem(self) -> str | None:
        return self.liveness

    async def readiness_problem(self, _without: str = "", /) -> str | None:
        return self.readiness

    def registry(self) -> CollectorRegistry:
        return self.metrics


@pytest.fixture
def health() -> FakeHealth:
    return FakeHealth()


@pytest.fixture
async def http(health: FakeHealth) -> AsyncIterator[aiohttp.ClientSession]:
    server = HealthServer(health, "127.0.0.1", 0)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session
    await server.stop()


async def answer(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as response:
        return response.status, await response.text()


async def test_a_process_can_be_alive_without_being_ready(
    health: FakeHealth, http: aiohttp.ClientSession
) -> None:
    health.readiness = "waiting for the store"
    assert await answer(http, "/healthz") == (200, "ok\n")
    assert await answer(http, "/readyz") == (503, "waiting for the store\n")
    health.readiness = None
    assert await answer(http, "/readyz") == (200, "ok\n")


async def test_a_liveness_problem_fails_the_liveness_probe(
    health: FakeHealth, http: aiohttp.ClientSession
) -> None:
    health.liveness = "a watch is silent"
    assert await answer(http, "/healthz") == (503, "a watch is silent\n")


async def test_metrics(health: FakeHealth, http: aiohttp.ClientSession) -> None:
    assert await answer(http, "/metrics") == (200, "")
    Counter("beats", "Beats.", registry=health.metrics).inc()
    status, text = await answer(http, "/metrics")
    assert status == 200
    assert "beats_total 1.0" in text


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1"])
async def test_probes_are_answered_over_ipv4_and_ipv6(health: FakeHealth, host: str) -> None:
    server = HealthServer(health, "::", 0)
    await server.start()
    async with aiohttp.ClientSession(f"http://{host}:{server.port}") as session:
        assert await answer(session, "/healthz") == (200, "ok\n")
    await server.stop()


async def test_a_probe_gets_through_however_many_connections_are_held_open() -> None:
    server = HealthServer(FakeHealth(), "127.0.0.1", 0)
    await server.start()
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
    for _, writer in held:
        writer.write(b"GET /healthz HT")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        for _ in range(5):
            assert await answer(session, "/healthz") == (200, "ok\n")
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionResetError):
            assert await held[0][0].read() == b""  # the oldest is closed
    assert not held[-1][0].at_eof()
    for _, writer in held:
        writer.close()
    await server.stop()
