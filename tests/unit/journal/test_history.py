"""The history of the queue in the store, on both databases."""

import asyncio
from collections.abc import Sequence

from corejob_journal.store import QueueCount, Steps, Store, Writer
from corejob_journal.store.records import AddCount

DAY = 86_400.0


async def write(writer: Writer, *times: float) -> None:
    """Write a row at each of these times, each with one more job."""
    for number, created in enumerate(times, 1):
        await writer.commit([AddCount(created, {"pending": number})])


def times(rows: Sequence[QueueCount]) -> list[float]:
    return [row.created for row in rows]


async def test_rows_come_back_as_they_went(store: Store, writer: Writer) -> None:
    assert await store.history_count() == 0
    assert await store.history_page(offset=0, limit=10) == []
    states = {"pending": 2, "running": 1, "error": 3}
    await writer.commit([AddCount(1_795_500_000.123456, states)])
    (row,) = await store.history_page(offset=0, limit=10)
    assert (row.created, row.total, row.states) == (1_795_500_000.123456, 6, states)
    assert list(row.states) == list(states)


async def test_counts_equal_to_the_last_row_are_not_written(store: Store, writer: Writer) -> None:
    counts = [{}, {}, {"running": 1}, {"running": 1}, {}, {"running": 1}]
    await writer.commit([AddCount(float(at), counts[at]) for at in range(3)])
    for at in range(3, 6):
        await writer.commit([AddCount(float(at), counts[at])])
    rows = await store.history_page(offset=0, limit=10)
    assert [(row.created, row.total) for row in rows] == [(0, 0), (2, 1), (4, 0), (5, 1)]


async def test_two_writers_at_once_write_a_change_once(
    store: Store, store_url: str, writer: Writer
) -> None:
    second = await Writer.open(store_url)
    for number in range(20):
        count = AddCount(float(number), {"pending": number})
        await asyncio.gather(writer.commit([count]), second.commit([count]))
    await second.close()
    rows = await store.history_page(offset=0, limit=100)
    assert [row.total for row in rows] == list(range(20))


async def test_a_page_of_the_history_has_its_rows_in_either_order(
    store: Store, writer: Writer
) -> None:
    await write(writer, *(float(at) for at in range(25)))
    assert await store.history_count() == 25
    assert times(await store.history_page(offset=20, limit=10)) == [20, 21, 22, 23, 24]
    newest = await store.history_page(offset=20, limit=10, descending=True)
    assert times(newest) == [4, 3, 2, 1, 0]
    assert await store.history_page(offset=25, limit=10) == []


async def test_a_clock_that_was_set_back_does_not_mix_rows_up(store: Store, writer: Writer) -> None:
    await write(writer, 100.0, 50.0, 60.0)
    assert times(await store.history_page(offset=0, limit=2, descending=True)) == [60, 50]


async def test_all_rows_one_part_after_the_other(store: Store, writer: Writer) -> None:
    await write(writer, *(float(at) for at in range(7)))
    found: list[QueueCount] = []
    while part := await store.history_after(found[-1].no if found else 0, 3):
        assert len(part) <= 3
        found += part
    assert times(found) == [0, 1, 2, 3, 4, 5, 6]
    numbers = [row.no for row in found]
    assert times(await store.history_rows(numbers[::-2])) == [6, 4, 2, 0]
    assert await store.history_rows([]) == []
    assert await store.history_rows([numbers[-1] + 1]) == []


async def test_more_numbers_than_one_statement_takes(store: Store, writer: Writer) -> None:
    await writer.commit([AddCount(float(at), {"pending": at + 1}) for at in range(1201)])
    numbers = [row.no for row in await store.history_after(0, 2000)]
    assert times(await store.history_rows(numbers)) == list(range(1201))


async def test_the_last_row_of_each_step(store: Store, writer: Writer) -> None:
    await write(writer, 0.0, 9.999999, 10.0, 14.6, 19.5, 40.0, 49.9, 50.0)
    steps = Steps(0.0, 1000.0, 10)
    assert await store.history_step_count(steps) == 4
    assert times(await store.history_steps(steps, offset=0, limit=10)) == [
        9.999999,
        19.5,
        49.9,
        50.0,
    ]
    page = await store.history_steps(steps, offset=1, limit=2, descending=True)
    assert times(page) == [49.9, 19.5]
    assert await store.history_steps(steps, offset=4, limit=2) == []


async def test_the_ends_of_the_span_belong_to_it(store: Store, writer: Writer) -> None:
    await write(writer, 9.0, 10.0, 25.0, 30.0, 30.5)
    steps = Steps(10.0, 30.0, 10)
    assert await store.history_step_count(steps) == 3
    assert times(await store.history_steps(steps, offset=0, limit=10)) == [10, 25, 30]
    assert await store.history_step_count(Steps(11.0, 24.0, 10)) == 0


async def test_steps_of_a_day_begin_at_midnight(store: Store, writer: Writer) -> None:
    noon = 20_000 * DAY + DAY / 2
    await write(writer, noon, noon + DAY / 2 - 0.001, noon + DAY / 2, noon + DAY)
    steps = Steps(noon, noon + 2 * DAY, int(DAY))
    rows = await store.history_steps(steps, offset=0, limit=10)
    assert times(rows) == [noon + DAY / 2 - 0.001, noon + DAY]
