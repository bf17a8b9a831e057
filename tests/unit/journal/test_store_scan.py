"""Reading parts of a log: by level and time, by number, and in bounded pieces."""

from collections import Counter
from typing import Any

import pytest
from tests.unit.journal.conftest import JOB, OTHER, Feeder, source

from corejob_journal.store import LogSelection, Store, Writer, slices
from corejob_journal.store.records import Finalise, NewRecord


@pytest.fixture
async def filled(writer: Writer, feeder: Feeder) -> None:
    """Records 1 to 40: levels of 10 to 50, one each second; and a log of another job."""
    await feeder.feed(
        records=[NewRecord(None, float(n), 10 * (n % 5 + 1), f"text {n}") for n in range(1, 41)]
    )
    other = Feeder(writer, await writer.open_stream(source(OTHER, uid="uid-9")))
    await writer.commit([other.append("not this")])


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"after": 0, "last": 5}, [1, 2, 3, 4, 5]),
        ({"after": 38, "last": 99}, [39, 40]),
        ({"after": 10, "last": 20, "level": 50}, [14, 19]),
        ({"after": 0, "last": 40, "since": 38.5}, [39, 40]),
        ({"after": 0, "last": 40, "level": 40, "since": 33.0}, [33, 34, 38, 39]),
        ({"after": 0, "last": 40, "level": 51}, []),
        ({"after": 40, "last": 40}, []),
    ],
)
async def test_a_range_by_level_and_time(
    store: Store, asked: dict[str, Any], numbers: list[int]
) -> None:
    wanted = LogSelection(JOB, **asked)
    assert [record.seq for record in await store.log_scan(wanted)] == numbers
    assert await store.log_numbers(wanted) == numbers
    for part in (1, 7, 1000):
        counted = Counter((number - 1) // part for number in numbers)
        assert await store.log_counts(wanted, part) == counted
    some = await store.log_scan(wanted, limit=2)
    assert [record.seq for record in some] == numbers[:2]


async def test_the_records_of_a_trial_and_their_place(writer: Writer, store: Store) -> None:
    """A late record of the first trial is among those of the second."""
    first = Feeder(writer, await writer.open_stream(source()))
    second = Feeder(writer, await writer.open_stream(source(trial=2, uid="uid-2")))
    silent = Feeder(writer, await writer.open_stream(source(trial=3, uid="uid-3")))
    other = Feeder(writer, await writer.open_stream(source(OTHER, trial=2, uid="uid-9")))
    for feeder in (first, other, second, first, second):
        await feeder.feed("a", "b")
    await silent.feed()
    await writer.commit([Finalise(first.stream, first.token)])

    wanted = LogSelection(JOB, 0, 99, trial=1)
    assert [record.seq for record in await store.log_scan(wanted)] == [1, 2, 5, 6]
    assert await store.log_numbers(wanted) == [1, 2, 5, 6]
    assert [seq for seq, _, _ in await store.log_texts(wanted)] == [1, 2, 5, 6]
    assert await store.log_counts(wanted, part=4) == {0: 2, 1: 2}
    assert await store.log_levels(wanted) == {20: 4}
    assert [(log.trial, log.first_seq, log.last_seq) for log in await store.trial_logs(JOB)] == [
        (1, 1, 6),
        (2, 3, 8),
        (3, None, None),
    ]
    assert [log.finalised for log in await store.trial_logs(JOB)] == [True, False, False]
    assert await store.trial_logs("f" * 24) == []


@pytest.mark.usefixtures("filled")
async def test_records_by_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_LENGTH", 3)
    numbers = [40, 1, 7, 8, 3, 99, 2, 20]
    found = await store.log_rows(JOB, numbers)
    assert [record.seq for record in found] == [40, 1, 7, 8, 3, 2, 20]
    assert [record.message for record in found][:2] == ["text 40", "text 1"]
    assert await store.log_rows(JOB, []) == []


async def test_long_messages_come_in_several_reads(store: Store, feeder: Feeder) -> None:
    text = "x" * 2**20
    await feeder.feed(*[text] * 5)
    seq, reads = 0, []
    while part := (await store.log_after(JOB, seq)).records:
        reads.append(len(part))
        seq = part[-1].seq
    assert reads == [2, 2, 1]
    assert len(await store.log_scan(LogSelection(JOB, 1, 5))) == 2
    assert len(await store.log_page(JOB, offset=0, limit=5)) == 5


async def test_one_record_at_least(store: Store, feeder: Feeder) -> None:
    await feeder.feed("x" * (2**21 + 1), "y")
    assert [record.seq for record in (await store.log_after(JOB, 0)).records] == [1]
