"""The work queue: a key is handled once at a time, never forgotten, and may be delayed."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from tests.support.loops import run
from tests.support.signals import DEADLINE

from corejob_kube.workqueue import WorkQueue


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


async def next_of(queue: WorkQueue) -> str:
    async with asyncio.timeout(DEADLINE):
        return await queue.get()


async def nothing(queue: WorkQueue) -> None:
    """Check that no key is due within a minute of the loop's time."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await queue.get()


@pytest.fixture(autouse=True)
def _no_default_loop() -> Iterator[None]:
    yield
    asyncio.set_event_loop(None)


def test_in_order_and_without_doubles(queue: WorkQueue) -> None:
    async def check() -> None:
        for key in ("b", "a", "b", "c", "a"):
            queue.add(key)
        assert [await next_of(queue) for _ in range(3)] == ["b", "a", "c"]
        await nothing(queue)

    run(check())


def test_a_key_in_work_comes_again_only_afterwards(queue: WorkQueue) -> None:
    async def check() -> None:
        queue.add("a")
        assert await next_of(queue) == "a"
        queue.add("a")
        queue.add("a")
        await nothing(queue)
        queue.done("a")
        assert await next_of(queue) == "a"
        queue.done("a")
        await nothing(queue)
        assert len(queue) == 0

    run(check())


def test_a_waiting_worker_is_woken(queue: WorkQueue) -> None:
    async def check() -> None:
        workers = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        for key in "abc":
            queue.add(key)
        async with asyncio.timeout(DEADLINE):
            assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]
        assert len(queue) == 3

    run(check())


def test_later_is_not_now_and_not_much_later(queue: WorkQueue) -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        queue.add_in("a", 30)
        queue.add_in("b", 20)
        assert await queue.get() == "b"
        assert loop.time() == pytest.approx(start + 20)
        assert await queue.get() == "a"
        assert loop.time() == pytest.approx(start + 30)

    run(check())


def test_the_earlier_time_wins(queue: WorkQueue) -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for seconds in (30, 10, 20):
            queue.add_in("a", seconds)
        assert await queue.get() == "a"
        assert loop.time() == pytest.approx(start + 10)
        queue.done("a")
        await nothing(queue)

    run(check())


def test_a_worker_that_waits_for_a_late_key_is_woken_by_an_earlier_one(queue: WorkQueue) -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        queue.add_in("late", 1000)
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add_in("early", 5)
        assert await worker == "early"
        assert loop.time() == pytest.approx(start + 5)

    run(check())


def test_news_do_not_take_back_a_due_time(queue: WorkQueue) -> None:
    async def check() -> None:
        queue.add_in("a", 10)
        queue.add("a")
        assert await next_of(queue) == "a"
        queue.done("a")
        assert await queue.get() == "a"

    run(check())


def test_a_time_that_is_past_is_now(queue: WorkQueue) -> None:
    async def check() -> None:
        queue.add_in("a", -5)
        assert await next_of(queue) == "a"

    run(check())


def test_a_key_that_falls_due_in_work_comes_again(queue: WorkQueue) -> None:
    async def check() -> None:
        queue.add("a")
        assert await next_of(queue) == "a"
        queue.add_in("a", 10)
        queue.add_in("b", 20)
        assert await queue.get() == "b"
        queue.done("a")
        assert await next_of(queue) == "a"

    run(check())


def test_many_workers_lose_and_double_nothing(queue: WorkQueue) -> None:
    async def check() -> None:
        busy: set[str] = set()
        seen: dict[str, int] = {}
        newest: dict[str, int] = {}

        async def work() -> None:
            while True:
                key = await queue.get()
                assert key not in busy
                busy.add(key)
                seen[key] = newest[key]
                await asyncio.sleep(0.01)
                busy.discard(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        for version in range(200):
            key = f"k{version % 7}"
            newest[key] = version
            queue.add(key)
            if version % 5 == 0:
                await asyncio.sleep(0.004)
        await asyncio.sleep(60)  # of the loop's time: everything ends long before
        assert (seen, len(queue)) == (newest, 0)
        for worker in workers:
            worker.cancel()
        found = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)

    run(check())


@pytest.mark.parametrize("woken", [True, False])
def test_a_worker_that_ends_while_it_is_woken_leaves_the_key_to_another(
    queue: WorkQueue, woken: bool
) -> None:
    async def check() -> None:
        leaving, staying = (asyncio.create_task(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        if woken:
            queue.add("a")
            leaving.cancel()
        else:
            leaving.cancel()
            queue.add("a")
        async with asyncio.timeout(DEADLINE):
            assert await staying == "a"
        assert leaving.cancelled() or leaving.done()
        await nothing(queue)

    run(check())


def test_a_key_wakes_one_worker_only(queue: WorkQueue) -> None:
    async def check() -> None:
        woken: list[int] = []

        async def work(number: int) -> None:
            while True:
                key = await queue.get()
                woken.append(number)
                queue.done(key)

        workers = [asyncio.create_task(work(number)) for number in range(64)]
        await asyncio.sleep(0)
        before = len(asyncio.all_tasks())
        for _ in range(3):
            queue.add("a")
            await asyncio.sleep(1)
        assert woken == [0, 1, 2]
        assert len(asyncio.all_tasks()) == before
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    run(check())


def test_reconciles_without_requests_leave_turns_to_other_tasks(queue: WorkQueue) -> None:
    async def check() -> None:
        turns: list[int] = []
        reconciled: list[str] = []

        async def other() -> None:
            while len(reconciled) < 1000:
                turns.append(len(reconciled))
                await asyncio.sleep(0)

        async def reconcile(key: str) -> None:
            reconciled.append(key)

        def failed(_key: str, _error: Exception, _count: int) -> None:
            raise AssertionError

        for number in range(1000):
            queue.add(str(number))
        workers = [asyncio.create_task(queue.work(reconcile, failed)) for _ in range(16)]
        await other()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert max(after - before for before, after in itertools.pairwise(turns)) <= 16

    run(check())
