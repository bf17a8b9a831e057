"""Waiting with a time limit, and ending tasks."""

import asyncio

from tests.support.signals import DEADLINE

from corejob_process import tasks


async def test_an_event_that_is_set_is_not_waited_for() -> None:
    event = asyncio.Event()
    event.set()
    await tasks.wait(event, 0.0)
    assert event.is_set()


async def test_waiting_ends_when_the_event_is_set() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(tasks.wait(event, DEADLINE * 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    async with asyncio.timeout(DEADLINE):
        await waiting


async def test_waiting_ends_when_the_time_is_over() -> None:
    event = asyncio.Event()
    async with asyncio.timeout(DEADLINE):
        await tasks.wait(event, 0.01)
    assert not event.is_set()


async def test_cancelled_tasks_have_ended_whatever_they_say() -> None:
    cleaned = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")
            raise ValueError("not even now")

    async def patient() -> None:
        await asyncio.Event().wait()

    both = [asyncio.create_task(stubborn()), asyncio.create_task(patient())]
    await asyncio.sleep(0)
    await tasks.cancel(*both)
    assert cleaned == ["up"]
    assert [task.done() for task in both] == [True, True]


async def test_nothing_to_cancel_is_fine() -> None:
    await tasks.cancel()


async def test_a_task_may_come_to_its_end_but_only_in_time() -> None:
    ended = []

    async def quick() -> None:
        await asyncio.sleep(0)
        ended.append("quick")

    both = [asyncio.create_task(quick()), asyncio.create_task(asyncio.sleep(DEADLINE * 10))]
    async with asyncio.timeout(DEADLINE):
        await tasks.finish(*both, within=0.05)
    assert ended == ["quick"]
    assert [task.cancelled() for task in both] == [False, True]
