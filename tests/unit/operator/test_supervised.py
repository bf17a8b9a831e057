"""Each long-lived task of the operator, also kopf's, and the effect of its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.killable import Killable, unsupervised
from tests.support.signals import DEADLINE

from corejob_operator.health import OperatorHealth
from corejob_operator.process import Operator
from corejob_operator.settings import OperatorSettings
from corejob_process.supervision import Supervision, TaskEndedError

SETTINGS = OperatorSettings(NAMESPACE, job_image="x")
WATCHES = "watcher for "
KOPF = (
    "admission ",
    "cleaner of ",
    "credentials retriever",
    "daemon killer",
    "insights revision waiter",
    "multidimensional multitasker",
    "namespace observer",
    "pause-waiter for ",
    "poster of events",
    "resource observer",
    "spawner of ",
    "startup/cleanup activities",
    "stop-flag ",
    "ultimate termination",
)
"""kopf's own tasks besides the watches: the end of one ends kopf, and so the process."""
BODY = {"run", "kopf", "stop"}
"""The process's own tasks: `run` awaits the others, and raises their exceptions."""
CHILDREN = ("templates ", "validator ")
"""Children of the supervised task `templates`, which is a task group."""


class Process:
    """The operator's process without its web server and its signal handlers."""

    def __init__(self, operator: Operator, task: "asyncio.Task[None]") -> None:
        self.operator = operator
        self.task = task
        self._health = OperatorHealth(operator, 60.0)

    async def until_told(self, words: str | None) -> None:
        """Wait until liveness and readiness report this problem."""
        async with asyncio.timeout(DEADLINE):
            while self._health.liveness_problem() != words:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(0.005)
            assert await self._health.readiness_problem() == words

    async def ended(self, words: str) -> None:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(TaskEndedError, match=words):
                await self.task


def watches() -> dict[str, "asyncio.Task[Any]"]:
    named = {task.get_name(): task for task in asyncio.all_tasks()}
    return {name: task for name, task in named.items() if name.startswith(WATCHES)}


@asynccontextmanager
async def process(api: FakeApiServer, supervision: Supervision) -> AsyncIterator[Process]:
    stop = asyncio.Event()
    async with kube_client(api.url) as kube:
        operator = Operator(kube, SETTINGS, instance="one", supervision=supervision)
        task = asyncio.create_task(operator.run(stop), name="run")
        try:
            async with asyncio.timeout(DEADLINE):
                await operator.watches.complete.wait()
                while "templates" not in {one.get_name() for one in supervision}:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            yield Process(operator, task)
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)


async def test_each_restartable_task_is_reported_at_once_and_restarted(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    supervision = Killable()
    async with process(api, supervision) as made:
        names = supervision.restarted
        assert set(names) == {"informer jobs", "informer pods", "resync", "templates", "events 3"}
        for name in names:
            await supervision.kill(name)
            await made.until_told(
                f"the task [{name}] has ended: KilledError: the test has ended {name}"
            )
            supervision.restart(name)
            await supervision.begun(name, 2)
            await made.until_told(None)
            assert f"the task [{name}] has ended" in caplog.text


async def test_each_other_task_ends_the_process(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    names: list[str] = []
    ended = 0
    while not names or ended < len(names):
        supervision = Killable()
        async with process(api, supervision) as made:
            names = names or supervision.essential
            await supervision.kill(names[ended])
            await made.ended(names[ended])
            assert f"the task [{names[ended]}] has ended" in caplog.text
        ended += 1
    assert set(names) == {"leader election", "lead", "worker 15", "kopf's watches"}


async def test_the_end_of_each_of_kopfs_watches_ends_the_process(api: FakeApiServer) -> None:
    for number in range(2):
        async with process(api, Supervision()) as made:
            name, task = sorted(watches().items())[number]
            task.cancel()
            await made.ended(r"kopf's watches.*watcher for")
            assert name.startswith(WATCHES)


@pytest.mark.parametrize("name", ["resource observer", "poster of events", "daemon killer"])
async def test_the_end_of_kopf_itself_ends_the_process(api: FakeApiServer, name: str) -> None:
    async with process(api, Supervision()) as made:
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
        task.cancel()
        async with asyncio.timeout(DEADLINE):
            with pytest.raises((TaskEndedError, asyncio.CancelledError)):
                await made.task


async def test_no_task_runs_unsupervised(api: FakeApiServer) -> None:
    before, supervision = asyncio.all_tasks(), Supervision()
    async with process(api, supervision):
        task_names = unsupervised(supervision, before)
        others = ("Task-", WATCHES, *CHILDREN, *KOPF)
        assert {name for name in task_names if not name.startswith(others)} == BODY
