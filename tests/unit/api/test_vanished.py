"""Connections of vanished clients are closed; that of a live client that does not read is kept."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import Recorder, RunningApi, enqueue, running

from corejob_api.http import connections

NOTICED_S = 20
STARTED = {"state": "running", "trial": 1, "startTime": "2026-11-24T00:00:01Z"}


def assert_options() -> None:
    with (
        connections.listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as sock,
    ):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, every, probes = (sock.getsockopt(socket.IPPROTO_TCP, option) for option in options)
        assert idle + every * probes < NOTICED_S
        assert not connections.has_vanished(sock)


def test_connections_have_the_options_of_the_listening_socket() -> None:
    assert_options()


class Sock:
    """A socket with this TCP state."""

    def __init__(self, *, silent_ms: int = 0, retransmits: int = 0, probes: int = 0) -> None:
        self._info = bytearray(64)
        self._info[2:4] = retransmits, probes
        self._info[56:60] = silent_ms.to_bytes(4, sys.byteorder)

    def getsockopt(self, *_: int) -> bytes:
        return bytes(self._info)


@pytest.mark.parametrize(
    ("state", "vanished"),
    [
        ({}, False),
        ({"silent_ms": 60_000}, False),  # no probe was sent
        ({"silent_ms": 60_000, "probes": 1}, False),  # a probe was sent just now
        ({"silent_ms": 3_000, "retransmits": 4}, False),  # a lossy connection
        ({"silent_ms": 12_000, "retransmits": 5}, True),
        ({"silent_ms": 12_000, "probes": 2}, True),
        ({"silent_ms": 12_000, "retransmits": 1, "probes": 1}, True),
    ],
)
def test_a_client_has_vanished_if_probes_or_retransmits_stay_unanswered(
    state: dict[str, int], vanished: bool
) -> None:
    assert connections.has_vanished(Sock(**state)) is vanished


class Transport:
    def __init__(self, sock: Sock) -> None:
        self.sock = sock
        self.aborted = False

    def get_extra_info(self, name: str) -> Sock:
        assert name == "socket"
        return self.sock

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Protocol:
    def __init__(self, sock: Sock) -> None:
        self.transport = Transport(sock)


def test_a_sweep_looks_at_every_connection() -> None:
    gone = [Protocol(Sock(silent_ms=20_000, probes=3)) for _ in range(100)]
    here = [Protocol(Sock(silent_ms=20_000)) for _ in range(100)]
    for number in range(connections.SLICES):
        connections.drop_vanished([*gone, *here], number)
    assert all(one.transport.aborted for one in gone)
    assert not any(one.transport.aborted for one in here)


class Client:
    """A client that requests a stream and does not read it."""

    def __init__(self, api: RunningApi, job_id: str) -> None:
        assert api.url is not None
        host, port = api.url.removeprefix("http://").split(":")
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect((host, int(port)))
        path = f"/core4/api/v1/job/follow/{job_id}?username=admin&password=hans"
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.ports = (self.sock.getsockname()[1], int(port))


def can_unplug() -> bool:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        return False
    look = ["iptables", "-w", "-n", "-L", "INPUT"]
    return subprocess.run(look, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def unplugged(*clients: Client) -> Iterator[None]:
    """Drop all packets between these clients and the service."""
    rules = []
    for near, far in (client.ports for client in clients):
        for source, target in ((near, far), (far, near)):
            ports = ["--sport", str(source), "--dport", str(target)]
            rules.append(["INPUT", "-i", "lo", "-p", "tcp", *ports, "-j", "DROP"])
    with contextlib.ExitStack() as stack:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", *rule], check=True)
            stack.callback(subprocess.run, ["iptables", "-w", "-D", *rule], check=True)
        yield


async def let_go(api: RunningApi, left: int) -> None:
    """Wait until only `left` streams are open; the kernel's own limit is a quarter of an hour."""
    async with asyncio.timeout(DEADLINE):
        while len(api.service.hub) > left:  # noqa: ASYNC110  # nothing tells when
            await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_the_unplugged_are_let_go_and_the_stalled_are_not(
    kube: FakeApiServer,
    writer: Any,
    store_url: str,
    tmp_path: Path,
    record: Callable[..., Awaitable[Recorder]],
) -> None:
    """Three ways to vanish: on an idle stream, with a comment in flight, and with full buffers."""
    if not can_unplug():
        assert_options()
        return
    async with (
        running(kube, store_url, tmp_path, loopback=True, keep_alive=60) as silent,
        running(kube, store_url, tmp_path, loopback=True, keep_alive=2) as talking,
        talking.client() as caller,
    ):
        quiet, busy = await enqueue(caller, {"n": 1}), await enqueue(caller, {"n": 2})
        await silent.until(lambda: silent.seen(busy))
        for job_id in (quiet, busy):
            await talking.status(job_id, **STARTED)
        await (await record(busy)).log(*["x" * 100_000] * 200)
        with contextlib.ExitStack() as stack:
            idle = Client(silent, quiet)
            commented, full, stalled = (Client(talking, job_id) for job_id in (quiet, busy, busy))
            for client in (idle, commented, full, stalled):
                stack.enter_context(client.sock)
            await silent.until(lambda: len(silent.service.hub) == 1)
            await talking.until(lambda: len(talking.service.hub) == 3)
            with unplugged(idle, commented, full):
                await asyncio.gather(let_go(silent, 0), let_go(talking, 1))
            assert len(talking.service.hub) == 1
            await talking.status(busy, state="complete")
            await talking.log_complete(busy)
            whole = await asyncio.to_thread(_rest, stalled.sock)
            assert whole.count(b"event: log\n") == 200
            assert whole.count(b"event: close\n") == 1


def _rest(sock: socket.socket) -> bytes:
    """Return everything until the stream's end."""
    sock.settimeout(45)
    found = bytearray()
    while b"event: close\n" not in found[-1000:]:
        found += sock.recv(2**20)
    return bytes(found)
