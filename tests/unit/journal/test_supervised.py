"""Each long-lived task of the recorder, and the effect of an exception that ends it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.fake_apiserver.http import use_kubeconfig, write_kubeconfig
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.killable import Killable, unsupervised
from tests.support.ports import free_port
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import LONE
from tests.unit.journal.fake_cluster import FakeCluster

from corejob_journal.recorder import main
from corejob_journal.recorder.retention_policy import RetentionPolicy
from corejob_journal.recorder.settings import RecorderSettings
from corejob_journal.recorder.supervisor import Supervisor
from corejob_process import json_logs
from corejob_process.supervision import Supervision, TaskEndedError

BODY = {"serve", "record", "stop"}
"""The process's own tasks: `serve` awaits them, and raises their exceptions."""


class Process:
    """The recorder's process without its signal handlers."""

    def __init__(self, task: "asyncio.Task[None]", http: aiohttp.ClientSession) -> None:
        self.task = task
        self._http = http

    async def until(self, path: str, status: int) -> str:
        """Request the path until the response has that status."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    async with self._http.get(path) as answer:
                        if answer.status == status:
                            return await answer.text()
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.01)


@asynccontextmanager
async def process(
    cluster: FakeCluster, url: str, supervision: Supervision
) -> AsyncIterator[Process]:
    port = free_port()
    settings = RecorderSettings(
        NAMESPACE,
        store_url=url,
        identity=LONE,
        host="127.0.0.1",
        port=port,
        retention=RetentionPolicy(max_age_days=1),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(main.serve(settings, stop, supervision), name="serve")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        made = Process(task, http)
        try:
            await made.until("/readyz", 200)
            yield made
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def url(
    cluster: FakeCluster, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    use_kubeconfig(write_kubeconfig(tmp_path, cluster.url), monkeypatch)
    return sqlite_url


async def test_each_task_that_may_be_is_told_at_once_and_started_again(
    cluster: FakeCluster, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    supervision = Killable()
    async with process(cluster, url, supervision) as made:
        await supervision.begun("resync", 1)
        await supervision.begun("retention", 1)
        names = supervision.restarted
        assert {"informer corejobs", "informer pods", "queue counts", "retention"} <= set(names)
        for name in names:
            await supervision.kill(name)
            words = f"the task [{name}] has ended: KilledError: the test has ended {name}\n"
            assert await made.until("/healthz", 503) == words
            supervision.restart(name)
            await supervision.begun(name, 2)
            assert await made.until("/healthz", 200) == "ok\n"
            await made.until("/readyz", 200)
            assert f"the task [{name}] has ended" in caplog.text


async def test_each_other_task_ends_the_process(
    cluster: FakeCluster, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    names: list[str] = []
    ended = 0
    while not names or ended < len(names):
        supervision = Killable()
        async with process(cluster, url, supervision) as made:
            # The task that starts the others ends by itself, so it is not among them.
            await supervision.returned("start")
            names = names or supervision.essential
            await supervision.kill(names[ended])
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(TaskEndedError, match=names[ended]):
                    await made.task
            assert f"the task [{names[ended]}] has ended" in caplog.text
        ended += 1
    assert {"group commit", "membership", "worker 63"} <= set(names)


async def test_a_recorder_that_can_not_start_ends(
    cluster: FakeCluster, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_self: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(Supervisor, "start", fail)
    settings = RecorderSettings(NAMESPACE, store_url=url, identity=LONE, host="127.0.0.1", port=0)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(TaskEndedError, match=r"start.*ValueError: no"):
            await main.serve(settings, asyncio.Event())


async def test_nobody_runs_whom_nobody_looks_after(cluster: FakeCluster, url: str) -> None:
    before, supervision = asyncio.all_tasks(), Supervision()
    async with process(cluster, url, supervision):
        async with asyncio.timeout(DEADLINE):
            while "resync" not in {task.get_name() for task in supervision}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        found = unsupervised(supervision, before)
        # Connections of the fake server and of ours run in tasks without names.
        assert {name for name in found if not name.startswith("Task-")} == BODY


def test_the_process_ends_with_1_so_that_the_kubelet_starts_it_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_settings: Any) -> None:
        raise TaskEndedError("the task [x] has ended")

    monkeypatch.setattr(main, "_main", fail)
    monkeypatch.setattr(main, "load", lambda *_: RecorderSettings(NAMESPACE))
    monkeypatch.setattr(json_logs, "configure", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["core4-recorder"])
    assert main.main() == 1
    assert "the task [x] has ended" in caplog.text
