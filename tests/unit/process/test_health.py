"""What the kubelet's probes and Prometheus are answered."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from corejob_process.health import HealthServer


class Patient:
    def __init__(self) -> None:
        self.dying: str | None = None
        self.unwell: str | None = None
        self.metrics = CollectorRegistry()

    def deadly(self) -> str | None:
        return self.dying

    async def trouble(self, _without: str = "", /) -> str | None:
        return self.unwell

    def registry(self) -> CollectorRegistry:
        return self.metrics


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
async def http(patient: Patient) -> AsyncIterator[aiohttp.ClientSession]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = HealthServer(patient, "127.0.0.1", port)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await server.stop()


async def answer(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as response:
        return response.status, await response.text()


async def test_who_lives_need_not_be_ready(patient: Patient, http: aiohttp.ClientSession) -> None:
    patient.unwell = "waiting for the store"
    assert await answer(http, "/healthz") == (200, "ok\n")
    assert await answer(http, "/readyz") == (503, "waiting for the store\n")
    patient.unwell = None
    assert await answer(http, "/readyz") == (200, "ok\n")


async def test_what_only_a_restart_mends(patient: Patient, http: aiohttp.ClientSession) -> None:
    patient.dying = "a watch is silent"
    assert await answer(http, "/healthz") == (503, "a watch is silent\n")


async def test_metrics(patient: Patient, http: aiohttp.ClientSession) -> None:
    assert await answer(http, "/metrics") == (200, "")
    Counter("beats", "Beats.", registry=patient.metrics).inc()
    status, text = await answer(http, "/metrics")
    assert status == 200
    assert "beats_total 1.0" in text


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1"])
async def test_probes_come_by_either_family(patient: Patient, host: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = HealthServer(patient, "::", port)
    await server.start()
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        assert await answer(session, "/healthz") == (200, "ok\n")
    await server.stop()


async def test_a_probe_gets_through_however_many_connections_are_held_open() -> None:
    server = HealthServer(Patient(), "127.0.0.1", 0)
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
