"""No long-lived task ends silently: it is restarted, or it ends the process."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from tests.support.signals import DEADLINE

from corejob_process import tasks
from corejob_process.supervision import Supervision, TaskEndedError


class Work:
    """A task that ends when the test says so."""

    def __init__(self) -> None:
        self.starts = 0
        self.end: asyncio.Future[None] = asyncio.Future()
        self.started = asyncio.Event()

    async def __call__(self) -> None:
        self.starts += 1
        self.end = asyncio.Future()
        self.started.set()
        await self.end

    async def running(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.started.wait()
        self.started.clear()


@pytest.fixture
async def supervision() -> AsyncIterator[Supervision]:
    supervision = Supervision(restart_after=0.001)
    yield supervision
    await tasks.cancel(*supervision)


async def failed(supervision: Supervision) -> None:
    async with asyncio.timeout(DEADLINE):
        await supervision.failed.wait()


async def test_an_exception_ends_the_process_and_is_told_and_logged(
    supervision: Supervision, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    supervision.start("watch", work)
    await work.running()
    assert supervision.problem() is None
    supervision.check()
    work.end.set_exception(RecursionError("too deep"))
    await failed(supervision)
    assert supervision.problem() == "the task [watch] has ended: RecursionError: too deep"
    with pytest.raises(TaskEndedError, match="watch"):
        supervision.check()
    assert "the task [watch] has ended" in caplog.text
    assert "RecursionError: too deep" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_return_is_an_end_too(
    supervision: Supervision, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    supervision.start("watch", work)
    await work.running()
    work.end.set_result(None)
    await failed(supervision)
    assert supervision.problem() == "the task [watch] has ended: it returned"
    assert "it returned" in caplog.text


async def test_a_cancelled_future_that_it_waited_for_is_an_end_too(
    supervision: Supervision,
) -> None:
    work = Work()
    supervision.start("watch", work)
    await work.running()
    work.end.cancel()
    await failed(supervision)
    assert "cancelled" in str(supervision.problem())


async def test_a_task_that_may_restart_does_so_and_is_a_problem_meanwhile() -> None:
    supervision = Supervision(restart_after=0.2)
    work = Work()
    task = supervision.start("watch", work, restart=True)
    await work.running()
    work.end.set_exception(ValueError("no"))
    await asyncio.sleep(0)
    assert supervision.problem() == "the task [watch] has ended: ValueError: no"
    await work.running()
    assert (work.starts, supervision.problem(), task.done()) == (2, None, False)
    assert not supervision.failed.is_set()
    await tasks.cancel(task)


async def test_the_end_of_a_cancelled_task_is_not_a_problem(supervision: Supervision) -> None:
    work = Work()
    task = supervision.start("watch", work)
    await work.running()
    assert task in supervision
    await tasks.cancel(task)
    assert (list(supervision), supervision.problem()) == ([], None)
    assert not supervision.failed.is_set()
    supervision.start("watch", work)  # its name is free again


async def test_no_two_tasks_have_one_name(supervision: Supervision) -> None:
    supervision.start("watch", Work())
    with pytest.raises(ValueError, match="watch"):
        supervision.start("watch", Work())


async def test_the_body_of_the_process_is_cancelled_when_a_task_ends(
    supervision: Supervision,
) -> None:
    cleaned = []

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    work = Work()
    supervision.start("watch", work)
    guarded = asyncio.create_task(supervision.guard(body()))
    await work.running()
    work.end.set_exception(ValueError("no"))
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(TaskEndedError, match="ValueError: no"):
            await guarded
    assert cleaned == ["up"]


async def test_the_end_of_the_body_is_the_end_and_its_error_comes_through(
    supervision: Supervision,
) -> None:
    async def good() -> None:
        pass

    async def bad() -> None:
        raise OSError("the port is taken")

    await supervision.guard(good())
    with pytest.raises(OSError, match="port"):
        await supervision.guard(bad())


async def test_a_process_that_hangs_in_its_end_is_ended() -> None:
    ended = threading.Event()
    supervision = Supervision(last_resort=ended.set, end_within=0.01)
    work = Work()
    supervision.start("watch", work)
    await work.running()
    assert not ended.is_set()
    work.end.set_exception(ValueError("no"))
    await failed(supervision)
    assert await asyncio.to_thread(ended.wait, DEADLINE)
