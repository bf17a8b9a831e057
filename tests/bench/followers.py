"""``python -m tests.bench.followers``: many followers of one job, with and without a slow one.

The API is a process of its own, as it is in its pod; Kubernetes is a small fake, the store
is SQLite in a file. The clients are in this process, on the same machine: what they take of it is
in the figures.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop
from tests.bench.figures import percentile
from tests.support.kubeapi import NAMESPACE, KubeApi
from tests.unit.api.conftest import DUMMY, USERS, Recorder

from corejob_journal.store import Writer
from corejob_journal.store.records import Source

_BASE = "/core4/api/v1"
_TICKS = os.sysconf("SC_CLK_TCK")
_DEADLINE_S = 120.0
_AT_ONCE = 100
_MESSAGE = b'"message":"'
_LOG_FRAMES = 'core4_api_frames_total{event="log"}'
_HISTORY = 50_000
"""Lines that are there before: more than the buffers of the slow one's connection take."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each number of followers."""
    options = _parser().parse_args(argv)
    most = max(options.followers) * 2 + 200
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard), hard))
    figures = [uvloop.run(_measure(count, options)) for count in options.followers]
    if options.output is not None:
        options.output.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.followers", description=__doc__)
    parser.add_argument("--followers", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--commits", type=int, default=20, help="of each part")
    parser.add_argument("--lines", type=int, default=20, help="of a commit")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between commits")
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    return parser


@dataclass(slots=True)
class Arrivals:
    """When which commit was there for a follower, of all followers."""

    began: dict[int, float]
    found: list[tuple[int, float]]
    clients: int = 0


class Quick(asyncio.Protocol):
    """A follower that notes when a commit has come, and throws the rest away."""

    def __init__(self, request: bytes, arrivals: Arrivals) -> None:
        self._request = request
        self._arrivals = arrivals
        self._last = 0

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)
        self._arrivals.clients += 1

    def data_received(self, data: bytes) -> None:
        at = data.rfind(_MESSAGE)
        if at < 0:
            return
        number = int(data[at + len(_MESSAGE) : data.index(b" ", at)])
        now = time.monotonic()
        self._arrivals.found.extend((one, now) for one in range(self._last + 1, number + 1))
        self._last = number

    def connection_lost(self, _error: Exception | None) -> None:
        self._arrivals.clients -= 1


class Bench:
    """A job, who writes its log, and the API's process."""

    def __init__(self, recorder: Recorder, pid: int, port: int, headers: str) -> None:
        self.recorder = recorder
        self.pid = pid
        self.port = port
        self._headers = headers
        self.commits = 0

    def request(self, arguments: str = "") -> bytes:
        """Of a follower."""
        path = f"{_BASE}/job/follow/{self.recorder.job_id}{arguments}"
        return f"GET {path} HTTP/1.1\r\nHost: x\r\n{self._headers}\r\n".encode()

    async def connect(self, count: int, arrivals: Arrivals) -> list[asyncio.BaseTransport]:
        """So many quick followers."""
        loop = asyncio.get_running_loop()
        request = self.request("?tail=0")
        made: list[asyncio.BaseTransport] = []
        for start in range(0, count, _AT_ONCE):
            some = [
                loop.create_connection(lambda: Quick(request, arrivals), "127.0.0.1", self.port)
                for _ in range(min(_AT_ONCE, count - start))
            ]
            made += [transport for transport, _ in await asyncio.gather(*some)]
            await self.streams(len(made))
        return made

    async def streams(self, count: int) -> None:
        """Wait until so many are open."""
        async with asyncio.timeout(_DEADLINE_S), httpx.AsyncClient(trust_env=False) as client:
            while True:
                page = await client.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30)
                if f"core4_api_streams {count}.0" in page.text:
                    return
                await asyncio.sleep(0.05)

    async def stuck(self) -> None:
        """Wait until no frame is sent any more: the slow one's buffers are full."""
        before = ""
        async with asyncio.timeout(_DEADLINE_S), httpx.AsyncClient(trust_env=False) as client:
            while True:
                page = await client.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30)
                now = next(line for line in page.text.splitlines() if _LOG_FRAMES in line)
                if now == before:
                    return
                before = now
                await asyncio.sleep(1)

    async def write(self, arrivals: Arrivals, options: argparse.Namespace) -> dict[str, Any]:
        """Commits at a pace; what it took until all quick followers had them."""
        arrivals.found.clear()
        arrivals.began.clear()
        cpu, began = self._cpu(), time.monotonic()
        for _ in range(options.commits):
            self.commits += 1
            texts = [f"{self.commits} {'x' * 150}"] * options.lines
            await self.recorder.log(*texts)
            arrivals.began[self.commits] = time.monotonic()
            await asyncio.sleep(options.pause)
        expected = options.commits * arrivals.clients
        async with asyncio.timeout(_DEADLINE_S):
            while len(arrivals.found) < expected:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(0.01)
        seconds = time.monotonic() - began
        took = [max(0.0, at - arrivals.began[number]) for number, at in arrivals.found]
        return {
            **{f"p{share * 100:g}_ms": _ms(percentile(took, share)) for share in (0.5, 0.99, 1.0)},
            "cpu": round((self._cpu() - cpu) / seconds, 3),
            "mib": round(self.memory() / 2**20, 1),
        }

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def memory(self) -> int:
        """Bytes of the API's process that are in memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


async def _measure(count: int, options: argparse.Namespace) -> dict[str, Any]:
    arrivals = Arrivals({}, [])
    with tempfile.TemporaryDirectory() as folder:
        async with _started(Path(folder)) as bench:
            before = bench.memory()
            transports = await bench.connect(count, arrivals)
            each = (bench.memory() - before) / count / 1024
            alone = await bench.write(arrivals, options)
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.connect(("127.0.0.1", bench.port))
                slow.sendall(bench.request())
                await bench.streams(count + 1)
                await bench.stuck()
                beside = await bench.write(arrivals, options)
            await bench.streams(count)
            again = await bench.write(arrivals, options)
            for transport in transports:
                transport.close()
            await bench.streams(0)
    figures = {
        "followers": count,
        "kib_each": round(each, 1),
        "alone": alone,
        "beside_a_slow_one": beside,
        "alone_again": again,
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return figures


@contextlib.asynccontextmanager
async def _started(folder: Path) -> AsyncIterator[Bench]:
    kube = KubeApi()
    await kube.start()
    await kube.template(DUMMY)
    store_url = f"sqlite:///{folder}/journal.db"
    writer = await Writer.open(store_url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "corejob_api.main",
        env={**os.environ, **_environment(folder, kube.url, store_url, port)},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            await _ready(client)
            answer = await client.get(f"{_BASE}/login", auth=("admin", "hans"))
            headers = {"Authorization": f"Bearer {answer.json()['data']['token']}"}
            body = {"qual_name": DUMMY, "follow": False}
            answer = await client.post(f"{_BASE}/job", json=body, headers=headers)
            job_id = answer.json()["data"]
        source = Source(job_id, DUMMY, "admin", 1, "uid-1", "pod-1", "node-1")
        recorder = Recorder(writer, job_id, await writer.open_stream(source))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        for _ in range(_HISTORY // 1000):
            await recorder.log(*[f"0 {'x' * 150}"] * 1000)
        yield Bench(recorder, process.pid, port, head)
    finally:
        process.terminate()
        await process.wait()
        await writer.close()
        await kube.stop()


def _environment(folder: Path, kube: str, store: str, port: int) -> dict[str, str]:
    users, config = folder / "users.json", folder / "kubeconfig"
    users.write_text(json.dumps(USERS), encoding="utf-8")
    entry = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": kube}}],
        "users": [{"name": "x", "user": {}}],
    }
    config.write_text(json.dumps(entry), encoding="utf-8")
    return {
        "KUBECONFIG": str(config),
        "CORE4_NAMESPACE": NAMESPACE,
        "CORE4_STORE_URL": store,
        "CORE4_USERS_FILE": str(users),
        "CORE4_HOST": "127.0.0.1",
        "CORE4_PORT": str(port),
        "CORE4_LOG_LEVEL": "WARNING",
    }


async def _ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


if __name__ == "__main__":
    sys.exit(main())
