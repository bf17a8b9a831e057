"""Each long-lived task of the API, and the effect of an exception that ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.killable import Killable, unsupervised
from tests.support.signals import DEADLINE

from corejob_api import main
from corejob_api.app import create_app
from corejob_api.http import connections
from corejob_api.settings import ApiSettings
from corejob_journal.store import Store, Writer
from corejob_process import json_logs
from corejob_process.health import HealthServer
from corejob_process.supervision import Supervision, TaskEndedError

LIBRARY = ("Task-",)
"""Tasks without a name are uvicorn's: of its lifespan and of each connection."""


class Process:
    """The API's process without its signal handlers."""

    def __init__(
        self, server: main.Server, task: "asyncio.Task[None]", probes: httpx.AsyncClient
    ) -> None:
        self.server = server
        self.task = task
        self._probes = probes

    async def get(self, path: str) -> tuple[int, str]:
        answer = await self._probes.get(path)
        return answer.status_code, answer.text

    async def until(self, path: str, status: int) -> str:
        """Request the path until the response has that status."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found, text = await self.get(path)
                if found == status:
                    return text


@asynccontextmanager
async def process(
    kube: FakeApiServer, store_url: str, supervision: Supervision
) -> AsyncIterator[Process]:
    settings = ApiSettings(NAMESPACE, b"k" * 32, store_url=store_url)
    store = await Store.open(store_url)
    async with kube_client(kube.url) as client:
        app = create_app(settings, client, store, supervision=supervision)
        with connections.listen("127.0.0.1", 0) as sock:
            server = main.server(app)
            health = HealthServer(app.service.health, "127.0.0.1", 0)
            await health.start()
            task = asyncio.create_task(main.run(server, sock), name="serve")
            url = f"http://127.0.0.1:{health.port}"
            probes = httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE)
            made = Process(server, task, probes)
            try:
                await made.until("/readyz", 200)
                yield made
            finally:
                await probes.aclose()
                server.stop()
                await asyncio.gather(task, return_exceptions=True)
                await health.stop()
    await store.close()


async def test_each_task_that_ends_is_reported_and_restarted(
    kube: FakeApiServer, writer: Writer, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    supervision = Killable()
    async with process(kube, store_url, supervision) as made:
        names = supervision.restarted
        assert len(names) >= 5
        assert supervision.essential == []  # those of uvicorn end the process by themselves
        for name in names:
            await supervision.kill(name)
            words = f"the task [{name}] has ended: KilledError: the test has ended {name}\n"
            assert await made.until("/healthz", 503) == words
            await made.until("/readyz", 503)
            supervision.restart(name)
            await supervision.begun(name, 2)
            assert await made.until("/healthz", 200) == "ok\n"
            await made.until("/readyz", 200)
            assert f"the task [{name}] has ended" in caplog.text


async def test_the_end_of_an_essential_task_ends_the_process(
    kube: FakeApiServer, writer: Writer, store_url: str
) -> None:
    supervision = Killable()

    async def for_ever() -> None:
        await asyncio.Event().wait()

    async with process(kube, store_url, supervision) as made:
        supervision.start("new task", for_ever)
        await supervision.begun("new task", 1)
        await supervision.kill("new task")
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(TaskEndedError, match="new task"):
                await made.task


async def test_an_unexpected_end_of_the_server_is_an_error(
    kube: FakeApiServer, writer: Writer, store_url: str
) -> None:
    async with process(kube, store_url, Supervision()) as made:
        made.server.should_exit = True
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(TaskEndedError, match="HTTP server"):
                await made.task


async def test_no_task_runs_unsupervised(
    kube: FakeApiServer, writer: Writer, store_url: str
) -> None:
    before, supervision = asyncio.all_tasks(), Supervision()
    async with process(kube, store_url, supervision):
        found = unsupervised(supervision, before)
        assert {name for name in found if not name.startswith(LIBRARY)} == {"serve", "failing"}


def test_the_process_ends_with_1_so_that_the_kubelet_starts_it_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_settings: Any) -> None:
        raise TaskEndedError("the task [x] has ended")

    monkeypatch.setattr(main, "serve", fail)
    monkeypatch.setattr(main, "load", lambda *_: ApiSettings(NAMESPACE, b"k" * 32))
    monkeypatch.setattr(json_logs, "configure", lambda _: None)
    assert main.main() == 1
    assert "the task [x] has ended" in caplog.text
