"""The whole API on a loopback port, between a fake API server and a real SQLite store."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE, poll

from corejob import document, model, timestamps
from corejob_api import main
from corejob_api.app import Api, create_app
from corejob_api.commands.sole_replica import USUAL_TIMING, ReplicaTiming
from corejob_api.http import connections
from corejob_api.settings import ApiSettings
from corejob_api.streams.hub import KEEP_ALIVE_S
from corejob_journal.store import Store, Writer
from corejob_journal.store.records import (
    Append,
    Finalise,
    LogPosition,
    LogSource,
    NewGap,
    NewRecord,
    PutDocument,
    StreamState,
)
from corejob_process.clock import Clock, system_clock
from corejob_process.health import HealthServer

DUMMY = "core4.queue.helper.job.example.DummyJob"
SECRET = "other.team.SecretJob"
STARTED = {"state": "running", "trial": 1, "startTime": "2026-11-24T00:00:01Z"}
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
USERS = [
    {"name": "admin", "passwordHash": CHEAP.hash("hans"), "role": ["admin"]},
    {
        "name": "dev",
        "passwordHash": CHEAP.hash("dev"),
        "perm": ["api://core4", "job://core4.queue/x"],
    },
    {
        "name": "reader",
        "passwordHash": CHEAP.hash("reader"),
        "perm": ["api://core4/r", "job://core4.queue/r"],
    },
]


class RunningApi:
    """A running API, its fakes, and shorthands."""

    def __init__(self, app: Api, kube: FakeApiServer, url: str | None, health_url: str) -> None:
        self.app = app
        self.kube = kube
        self.url = url
        self.health_url = health_url

    @property
    def service(self) -> Any:
        return self.app.service

    @asynccontextmanager
    async def client(self, user: str | None = "admin") -> AsyncIterator[httpx.AsyncClient]:
        """Return a client; without a user it starts at the root and does not sign in."""
        transport = None
        if self.url is None:
            app: Any = self.app
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            base_url=(self.url or "http://test") + ("/core4/api/v1/" if user else ""),
            auth=(user, "hans" if user == "admin" else user) if user else None,
            transport=transport,
            trust_env=False,
            timeout=DEADLINE,
        ) as made:
            yield made

    async def probe(self, path: str) -> httpx.Response:
        """Return the response of the port for the kubelet and Prometheus."""
        async with httpx.AsyncClient(base_url=self.health_url, trust_env=False) as made:
            return await made.get(path, timeout=DEADLINE)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition on the API's caches holds."""
        await poll(condition, every=0.002)

    async def until_live(self, job_id: str, count: int = 1) -> None:
        """Wait until so many streams of a job have sent everything, so that the next record is new.

        A client can't see that: the headers of a stream precede the start of its tail.
        """
        feeds = self.service.hub._feeds
        followers = lambda: feeds[job_id].subscribers if job_id in feeds else ()  # noqa: E731
        await self.until(lambda: sum(one._idle_at is not None for one in followers()) == count)

    async def status(self, job_id: str, **status: Any) -> None:
        """Write a status as the operator does; return when the API has received it."""
        body = self.kube.change("corejobs", job_id, {"status": status})
        version = body["metadata"]["resourceVersion"]
        await self.until(lambda: self.seen(job_id) == version)

    def seen(self, job_id: str) -> str | None:
        entry = self.service.queue.get(job_id)
        return entry.job.resource_version if entry else None

    async def log_complete(self, job_id: str, trial: int = 1) -> None:
        """Report a complete log as the recorder does."""
        await self.status(job_id, log={"trial": trial, "complete": True})


class Recorder:
    """Writes log records as the recorder does."""

    def __init__(self, writer: Writer, job_id: str, stream: StreamState) -> None:
        self.writer = writer
        self.job_id = job_id
        self.stream = stream
        self.token = stream.fencing_token

    async def log(self, *messages: str, level: int = 20, gap: NewGap | None = None) -> None:
        records = [NewRecord(None, 1.5, level, message) for message in messages]
        expect, self.token = self.token, self.token + 1
        append = Append(
            self.stream,
            expect,
            self.token,
            LogPosition(),
            records=records,
            gaps=[gap] if gap else [],
            lines=len(messages),
        )
        (stored,) = await self.writer.commit([append])
        assert not stored.stale

    async def settle(self) -> None:
        await self.writer.commit([Finalise(self.stream, self.token)])


Record = Callable[..., Awaitable[Recorder]]


@pytest.fixture
async def kube() -> AsyncIterator[FakeApiServer]:
    fake = FakeApiServer("api")
    await fake.start()
    fake.template(DUMMY, doc="just sleeps", tag=["demo"])
    fake.template(SECRET)
    yield fake
    await fake.stop()


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """URL of a store with empty tables, created by the first test that needs it."""
    return tmp_path_factory.mktemp("store") / "journal.db"


@pytest.fixture
async def writer(store_url: str, empty_store: Path) -> AsyncIterator[Writer]:
    # Copied, because creating the tables takes longer than most of the tests.
    if not empty_store.exists():  # noqa: ASYNC240  # a file of this machine
        await (await Writer.open(f"sqlite:///{empty_store}")).close()
    shutil.copyfile(empty_store, store_url.removeprefix("sqlite:///"))
    opened = await Writer.open(store_url)
    yield opened
    await opened.close()


@asynccontextmanager
async def running(
    kube: FakeApiServer,
    store_url: str,
    folder: Path,
    *,
    loopback: bool = False,
    port: int = 0,
    most_connections: int | None = None,
    keep_alive: float = KEEP_ALIVE_S,
    now: Clock = system_clock,
    timing: ReplicaTiming = USUAL_TIMING,
    **more: Any,
) -> AsyncIterator[RunningApi]:
    """Run the API, synced with its API server; on a port of its own for tests of streams."""
    users = folder / "users.json"
    users.write_text(json.dumps(USERS))
    settings = ApiSettings(
        namespace=NAMESPACE,
        jwt_secret=b"s" * 32,
        store_url=store_url,
        users_file=users,
        **more,
    )
    async with AsyncExitStack() as stack:
        store = await Store.open(store_url)
        stack.push_async_callback(store.close)
        client = await stack.enter_async_context(kube_client(kube.url, quota_pauses=(0.001,) * 4))
        app = create_app(settings, client, store, now=now, keep_alive=keep_alive, timing=timing)
        serving = _on_a_port(app, most_connections, port) if loopback else _in_process(app)
        url = await stack.enter_async_context(serving)
        health = HealthServer(app.service.health, "127.0.0.1", 0)
        await health.start()
        stack.push_async_callback(health.stop)
        async with asyncio.timeout(DEADLINE):
            for informer in app.service.informers:
                await informer.synced()
        yield RunningApi(app, kube, url, f"http://127.0.0.1:{health.port}")


@asynccontextmanager
async def _in_process(app: Api) -> AsyncIterator[None]:
    await app.service.process_startup({}, {})
    yield
    await app.service.process_shutdown({}, {})


@asynccontextmanager
async def _on_a_port(app: Api, most_connections: int | None, port: int) -> AsyncIterator[str]:
    with connections.listen("127.0.0.1", port) as sock:
        limits = {} if most_connections is None else {"most_connections": most_connections}
        server = main.server(app, **limits)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.stop()
            await serving


@pytest.fixture
async def api(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> AsyncIterator[RunningApi]:
    async with running(kube, store_url, tmp_path) as made:
        yield made


@pytest.fixture
async def served(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> AsyncIterator[RunningApi]:
    """The API on a port."""
    async with running(kube, store_url, tmp_path, loopback=True) as made:
        yield made


@pytest.fixture
async def caller(served: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on a port."""
    async with served.client() as made:
        yield made


Replicas = tuple[httpx.AsyncClient, httpx.AsyncClient]


@pytest.fixture
async def replicas(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> AsyncIterator[Replicas]:
    """Clients of two APIs in front of one cluster and one store."""
    async with (
        running(kube, store_url, tmp_path) as one,
        running(kube, store_url, tmp_path) as two,
        one.client() as first,
        two.client() as second,
    ):
        yield first, second


@pytest.fixture
async def client(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client() as made:
        yield made


@pytest.fixture
def record(writer: Writer) -> Record:
    async def make(job_id: str, trial: int = 1, pod: str = "pod-1") -> Recorder:
        source = LogSource(job_id, DUMMY, "admin", trial, f"uid-{trial}-{pod}", pod, "node-1")
        return Recorder(writer, job_id, await writer.open_stream(source))

    return make


@pytest.fixture
def journal(writer: Writer, kube: FakeApiServer) -> Callable[[str], Awaitable[None]]:
    """Store a CoreJob as a past job, and delete the resource."""

    async def take(job_id: str) -> None:
        job = model.parse(kube.objects["corejobs"][job_id])
        row = document.document(job, timestamps.from_epoch(1_800_000_000))
        await writer.commit([PutDocument(job_id, row, trials=job.status.trials)])
        kube.remove("corejobs", job_id)

    return take


async def enqueue(client: httpx.AsyncClient, args: Any = None, **more: Any) -> str:
    """Enqueue a DummyJob, and return its id."""
    body = {"qual_name": DUMMY, "args": args or {}, "follow": False, **more}
    answer = await client.post("job", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"])


class Frames:
    """An open stream, read frame by frame."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        # Once a frame has had an id, httpx-sse turns each keep-alive into an event without data.
        self._frames = (frame async for frame in EventSource(response).aiter_sse() if frame.data)
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        async with asyncio.timeout(DEADLINE):
            frame: ServerSentEvent = await anext(self._frames)
        self.last_id = frame.id
        return frame.event, frame.json()

    async def take(self, count: int) -> list[tuple[str, Any]]:
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[tuple[str, Any]]:
        """Return all frames until the end."""
        found = []
        async with asyncio.timeout(DEADLINE):
            async for frame in self._frames:
                self.last_id = frame.id
                found.append((frame.event, frame.json()))
        return found


@asynccontextmanager
async def stream(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Frames]:
    """Open a stream for a client that supports ids, as browsers do."""
    headers = {"Accept": "text/event-stream", **(headers or {})}
    async with client.stream(method, path, headers=headers, **more) as response:
        if response.status_code != 200:
            await response.aread()
        assert response.status_code == 200, response.text
        yield Frames(response)


LEVELS_OF_100 = (10, 20, 30, 40, 50)


@pytest.fixture
async def log_of_100(client: httpx.AsyncClient, record: Record) -> str:
    """A job with records 1 to 100: levels in turn, one each second, `number % 7` in the text."""
    made = await enqueue(client)
    recorder = await record(made)
    records = [
        NewRecord(None, float(number), LEVELS_OF_100[number % 5], f"{number} rest {number % 7}")
        for number in range(1, 101)
    ]
    stream, token = recorder.stream, recorder.token
    append = Append(stream, token, token + 1, LogPosition(), records=records, gaps=[], lines=100)
    await recorder.writer.commit([append])
    return made
