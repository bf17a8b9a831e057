"""The process `core4-api` between a fake API server and a real store, for blocking clients.

A minimal operator ends each job at once, so that every stream ends.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import requests
from tests.support.documented import Corpus
from tests.support.fake_apiserver.http import write_kubeconfig
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.ports import free_port
from tests.support.signals import DEADLINE
from tests.support.waiting import until
from tests.unit.api.conftest import DUMMY, SECRET, USERS

from corejob import document, model, timestamps
from corejob_api.http.routing import BASE
from corejob_journal.store import Writer
from corejob_journal.store.records import (
    Append,
    Finalise,
    LogPosition,
    LogSource,
    NewRecord,
    PutDocument,
)

T = TypeVar("T")

NAMES = (DUMMY, SECRET, "core4.Checked", "core4.Unknown")
ENDS = ("complete", "error", "killed", "inactive")
_PAUSE_S = 0.02
# A busy machine may take long to import everything.
_START_SECONDS = 200.0


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake API server")

    def __enter__(self) -> "Loop":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Awaitable[T]) -> T:
        """Return the result of some work."""

        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(DEADLINE)

    def start(self, work: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Start some work, and return a function that ends it."""

        async def begin() -> "asyncio.Task[None]":
            return asyncio.ensure_future(work())

        task = self.run(begin())

        def end() -> None:
            async def cancel() -> None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            self.run(cancel())

        return end


async def put_templates(kube: FakeApiServer) -> None:
    """Create the job classes."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    for name, more in ((DUMMY, {}), (SECRET, {}), ("core4.Checked", {"argsSchema": schema})):
        kube.template(name, doc="just sleeps", tag=["demo"], **more)


async def operate(kube: FakeApiServer) -> None:
    """End each job, in each final state in turn; those with a negative `n` as errors."""
    ended = 0
    while True:
        for name, body in list(kube.objects["corejobs"].items()):
            if "state" not in body.get("status", {}):
                state = "error" if _fails(body) else ENDS[ended % len(ENDS)]
                status = {
                    "state": state,
                    "trial": 1,
                    "trials": [{"trial": 1, "state": state, "exitCode": 1, "pod": "pod-1"}],
                    "log": {"trial": 1, "complete": True},
                }
                kube.change("corejobs", name, {"status": status})
                ended += 1
        await asyncio.sleep(_PAUSE_S)


def _fails(body: Mapping[str, Any]) -> bool:
    number = body["spec"]["args"].get("n")
    return isinstance(number, int) and number < 0


async def record(writer: Writer, job_id: str) -> None:
    """Write a log of some records."""
    stream = await writer.open_stream(
        LogSource(job_id, DUMMY, "admin", 1, "uid", "pod-1", "node-1")
    )
    records = [NewRecord(None, 1.5 + n, 20, f"line {n}") for n in range(30)]
    append = Append(
        stream,
        stream.fencing_token,
        stream.fencing_token + 1,
        LogPosition(),
        records=records,
        gaps=[],
        lines=30,
    )
    await writer.commit([append])
    await writer.commit([Finalise(stream, append.next_token)])


async def take_over(kube: FakeApiServer, writer: Writer, job_id: str) -> None:
    """Turn a job into a past job."""
    job = model.parse(kube.objects["corejobs"][job_id])
    row = document.document(job, timestamps.from_epoch(1_800_000_000))
    await writer.commit([PutDocument(job_id, row, trials=job.status.trials)])
    kube.remove("corejobs", job_id)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Corpus]:
    """Run the service, with some jobs in its queue and its journal."""
    with Loop() as loop, contextlib.ExitStack() as stack:
        kube = FakeApiServer("api")
        loop.run(kube.start())
        stack.callback(lambda: loop.run(kube.stop()))
        loop.run(put_templates(kube))
        store = f"sqlite:///{folder}/journal.db"
        writer = loop.run(Writer.open(store))
        stack.callback(lambda: loop.run(writer.close()))
        stack.callback(loop.start(lambda: operate(kube)))
        url = stack.enter_context(_process(folder, kube.url, store))
        tokens = {name: _token(url, name) for name in ("admin", "reader")}
        numbers, bearer = count(1), f"Bearer {tokens['admin']}"

        def made(name: str, number: int) -> str:
            job_id = _enqueued(url, tokens["admin"], name, number)
            path, headers = f"{url}{BASE}/job/{job_id}", {"Authorization": bearer}
            until(
                lambda: _get(path, headers=headers).json()["data"]["state"],
                lambda state: state in ENDS,
                what="the API has seen the job end",
            )
            return job_id

        def fresh() -> str:
            return made(DUMMY, -next(numbers))

        ids = [made(name, number) for number in range(len(ENDS)) for name in (DUMMY, SECRET)]
        for job_id in ids[:2]:
            loop.run(record(writer, job_id))
        loop.run(take_over(kube, writer, ids[0]))
        yield Corpus(url, tuple(ids), NAMES, tokens, fresh)


@contextlib.contextmanager
def _process(folder: Path, kube: str, store: str) -> Iterator[str]:
    users = folder / "users.json"
    users.write_text(json.dumps(USERS))
    port, health = free_port(), free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(write_kubeconfig(folder, kube)),
        "CORE4_NAMESPACE": NAMESPACE,
        "CORE4_STORE_URL": store,
        "CORE4_USERS_FILE": str(users),
        "CORE4_HOST": "127.0.0.1",
        "CORE4_PORT": str(port),
        "CORE4_HEALTH_PORT": str(health),
        "CORE4_LOG_LEVEL": "WARNING",
    }
    argv = [sys.executable, "-m", "corejob_api.main"]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stderr=log)
    try:
        until(
            lambda: _is_ready(process, f"http://127.0.0.1:{health}/readyz", folder / "api.log"),
            what="the API is ready",
            seconds=_START_SECONDS,
            ignoring=(requests.ConnectionError, requests.Timeout),
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DEADLINE)
    assert process.returncode == 0
    assert b'"level":"ERROR"' not in (folder / "api.log").read_bytes().replace(b" ", b"")


def _is_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return _get(url).status_code == 200


def _get(url: str, **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=DEADLINE, **options)


def _token(url: str, user: str) -> str:
    password = "hans" if user == "admin" else user
    answer = _get(f"{url}{BASE}/login", auth=(user, password))
    return str(answer.json()["data"]["token"])


def _enqueued(url: str, token: str, name: str, number: int) -> str:
    body = {"qual_name": name, "args": {"n": number}, "follow": False, "token": token}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{url}{BASE}/job", json=body, timeout=DEADLINE)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"])
