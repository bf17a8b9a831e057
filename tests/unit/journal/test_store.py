"""The store, on both databases."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.journal.conftest import JOB, OTHER, Feeder, outputs, source

from corejob_journal.store import LogState, Store, StoreUnavailable, Writer
from corejob_journal.store.records import (
    Finalise,
    LogPosition,
    NewGap,
    NewOutput,
    NewRecord,
    PutDocument,
)

ROOT = Path(__file__).resolve().parents[3]


def document(job_id: str = JOB, **more: Any) -> PutDocument:
    fields = {
        "_id": job_id,
        "qual_name": "a.Job",
        "state": "complete",
        "enqueued": {"at": "2026-11-24T01:00:00"},
        "finished_at": None,
        **more,
    }
    return PutDocument(job_id, fields, 7.0)


async def test_records_come_back_as_they_went(store: Store, feeder: Feeder) -> None:
    exception = {"info": "ValueError('ä')", "text": ["a\n", "nul \x00"]}
    text = "umlaut ä 😀 \r \x1b[31mred 'quote' %s :name"
    record = NewRecord(3, 1.25, 40, text, exception)
    await feeder.feed(records=[record])
    (found,) = (await store.log_after(JOB, 0)).records
    assert (found.job_id, found.seq, found.trial, found.epoch) == (JOB, 1, 1, 1.25)
    assert (found.levelno, found.message, found.exception) == (40, text, exception)
    assert (found.hostname, found.username, found.qual_name) == ("node-1", "hans", "a.Job")


async def test_numbers_have_no_gaps_over_trials_and_jobs(
    store: Store, writer: Writer, feeder: Feeder
) -> None:
    second = Feeder(writer, await writer.open_stream(source(trial=2, uid="uid-2")))
    other = Feeder(writer, await writer.open_stream(source(OTHER, uid="uid-3")))
    await writer.commit([feeder.append("a", "b"), other.append("x"), second.append("c")])
    await writer.commit([second.append("d"), other.append("y")])
    found = (await store.log_after(JOB, 0)).records
    assert [(record.seq, record.trial, record.message) for record in found] == [
        (1, 1, "a"),
        (2, 1, "b"),
        (3, 2, "c"),
        (4, 2, "d"),
    ]
    assert [record.seq for record in (await store.log_after(OTHER, 0)).records] == [1, 2]


async def test_a_page_of_a_log_has_its_records_in_order(store: Store, feeder: Feeder) -> None:
    await feeder.feed(*[str(number) for number in range(1, 26)])
    assert await store.log_count(JOB) == 25
    assert [r.seq for r in (await store.log_after(JOB, 23)).records] == [24, 25]
    assert [r.seq for r in (await store.log_after(JOB, 0, limit=3)).records] == [1, 2, 3]
    assert [r.seq for r in await store.log_page(JOB, offset=20, limit=10)] == [21, 22, 23, 24, 25]
    assert await store.log_page(JOB, offset=25, limit=10) == []
    assert await store.log_page(OTHER, offset=0, limit=10) == []


async def test_an_unknown_job_has_no_log_and_no_document(store: Store) -> None:
    assert (await store.log_after(OTHER, 0)).records == []
    assert await store.log_state(OTHER) is None
    assert await store.log_count(OTHER) == 0
    assert await store.document(OTHER) is None
    await store.ping()


async def test_append_twice_is_done_once(store: Store, writer: Writer, feeder: Feeder) -> None:
    append = feeder.append("a", cookies=[("k", 1)])
    (first,) = await writer.commit([append])
    (again,) = await writer.commit([append])
    assert not again.stale
    assert again.state == first.state
    assert await store.log_count(JOB) == 1


async def test_append_of_another_process_is_refused(store: Store, feeder: Feeder) -> None:
    rival = Feeder(feeder.writer, feeder.stream)
    rival.token = 1000
    rival_append = rival.append("rival")
    await feeder.feed("a")
    (answer,) = await feeder.writer.commit([rival_append])
    assert answer.stale
    assert [record.message for record in (await store.log_after(JOB, 0)).records] == ["a"]


async def test_append_after_the_end_is_refused(feeder: Feeder) -> None:
    await feeder.writer.commit([Finalise(feeder.stream, feeder.token)])
    assert (await feeder.feed("late")).stale


async def test_position_is_stored_with_the_lines(writer: Writer, feeder: Feeder) -> None:
    position = LogPosition(stamp=2**60, count=3, last_n=17, pieces=2, ahead=2**61)
    await feeder.feed("a", position=position, done=True, ended=True)
    state = await writer.open_stream(source())
    assert (state.position, state.fencing_token) == (position, feeder.token)
    assert (state.done, state.ended, state.finalised) == (True, True, False)
    assert await writer.streams(["uid-1", "no such"]) == {"uid-1": state}


async def test_all_or_nothing(store: Store, writer: Writer, feeder: Feeder) -> None:
    """A bad value in one operation leaves nothing of the transaction behind."""
    bad = feeder.append(records=[NewRecord(None, 1.0, 20, None)])  # type: ignore[arg-type]
    other = Feeder(writer, await writer.open_stream(source(OTHER, uid="uid-2")))
    with pytest.raises(Exception, match=r"(?i)not.null"):
        await writer.commit([other.append("x"), bad])
    assert await store.log_count(OTHER) == 0
    stream = await writer.open_stream(source(OTHER, uid="uid-2"))
    assert stream.fencing_token == 0


async def test_settle(store: Store, writer: Writer, feeder: Feeder) -> None:
    await feeder.feed("a", bytes=10)
    await writer.commit(
        [Finalise(feeder.stream, feeder.token), Finalise(feeder.stream, feeder.token)]
    )
    state = await store.log_state(JOB)
    assert state == LogState(1, 1, 1, 10, lost=False, reason=None, message=None)


async def test_a_log_is_not_finalised_by_a_process_behind_another(
    store: Store, writer: Writer, feeder: Feeder
) -> None:
    """A recorder that was declared dead comes back: its last lines are refused, and its end too."""
    rest = replace(Feeder(writer, feeder.stream).append("1", "2", "3", "4"), next_token=99)
    await feeder.feed("1", "2")
    answers = await writer.commit([rest, Finalise(feeder.stream, 99)])
    assert [answer.stale for answer in answers] == [True, True]
    assert not (await feeder.feed("3", "4")).stale
    end = Finalise(feeder.stream, feeder.token)
    for _ in range(2):  # again, as after a commit whose answer was lost
        assert not (await writer.commit([end]))[0].stale
    assert [record.message for record in (await store.log_after(JOB, 0)).records] == [
        "1",
        "2",
        "3",
        "4",
    ]
    assert (await writer.open_stream(source())).finalised


async def test_lines_and_end_may_be_submitted_again(writer: Writer, feeder: Feeder) -> None:
    append = feeder.append("a")
    operations = (append, Finalise(feeder.stream, feeder.token))
    for _ in range(2):
        assert [answer.stale for answer in await writer.commit(operations)] == [False, False]
    assert (await feeder.feed("late")).stale


async def test_a_run_that_follows_an_ended_one_has_not_ended(
    writer: Writer, feeder: Feeder
) -> None:
    await feeder.feed("a", ended=True)
    await feeder.feed("b")
    assert not (await writer.open_stream(source())).ended


async def test_new_pod_of_a_finalised_trial(store: Store, writer: Writer, feeder: Feeder) -> None:
    await writer.commit([Finalise(feeder.stream, feeder.token)])
    second = await writer.open_stream(source(uid="uid-2"))
    state = await store.log_state(JOB)
    assert state is not None
    assert state.finalised_trial == 0
    assert (await writer.open_stream(source())).finalised
    await writer.commit([Finalise(second, second.fencing_token)])
    state = await store.log_state(JOB)
    assert state is not None
    assert state.finalised_trial == 1


async def test_losses_add_up(store: Store, writer: Writer, feeder: Feeder) -> None:
    await feeder.feed("a")
    await feeder.feed("b", gaps=[NewGap(2, 4, "lines 2 to 4 are gone")])
    await feeder.feed(gaps=[NewGap(6, None, "the rest is gone", "PodGone")])
    await writer.commit(
        [Finalise(feeder.stream, feeder.token, lost=True, reason="X", message="the rest is gone")]
    )
    state = await store.log_state(JOB)
    assert state is not None
    assert (state.lost, state.reason) == (True, "LinesMissing")
    assert state.message == "lines 2 to 4 are gone; the rest is gone"
    gaps = await store.gaps(JOB)
    assert [(gap.trial, gap.after_seq, gap.first_n, gap.last_n) for gap in gaps] == [
        (1, 1, 2, 4),
        (1, 2, 6, None),
    ]


async def test_output_is_numbered_apart(store: Store, store_url: str, feeder: Feeder) -> None:
    await feeder.feed("a", outputs=[NewOutput(2, 1.0, "stdout", "p")])
    await feeder.feed("b", outputs=[NewOutput(4, 2.0, "stderr", "q")])
    assert await outputs(store_url, JOB) == [(1, "stdout", "p"), (2, "stderr", "q")]
    assert await store.log_count(JOB) == 2


async def test_documents(store: Store, writer: Writer) -> None:
    await writer.commit([document(args={"deep": {"a": [1, None, "\x00"]}})])
    found = await store.document(JOB)
    assert found is not None
    assert found["args"] == {"deep": {"a": [1, None, "\x00"]}}
    await writer.commit([document(state="killed"), document(OTHER)])
    found = await store.document(JOB)
    assert found is not None
    assert found["state"] == "killed"


async def test_cookies(store: Store, writer: Writer, feeder: Feeder) -> None:
    await feeder.feed(cookies=[("a", 1), ("b", {"x": [1]}), ("a", "two")])
    assert await store.cookies("a.Job") == {"a": "two", "b": {"x": [1]}}
    await feeder.feed(cookies=[("b", None), ("never", None)])
    assert await writer.cookies("a.Job") == {"a": "two"}
    assert await store.cookies("another.Job") == {}


async def test_large_batch(store: Store, feeder: Feeder) -> None:
    await feeder.feed(*["x" * 100] * 20_000)
    assert await store.log_count(JOB) == 20_000
    (last,) = (await store.log_after(JOB, 19_999)).records
    assert last.seq == 20_000


async def test_long_message(store: Store, feeder: Feeder) -> None:
    await feeder.feed("short", "x" * 2**20, "after")
    assert [len(record.message) for record in (await store.log_after(JOB, 0)).records] == [
        5,
        2**20,
        5,
    ]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////nowhere/at/all/journal.db",
        "postgresql+psycopg://core4@127.0.0.1:1/journal",
    ],
)
async def test_store_that_is_away(url: str) -> None:
    store = await Store.open(url)
    try:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.log_after(JOB, 0)
        with pytest.raises(StoreUnavailable):
            await Writer.open(url)
    finally:
        await store.close()


async def test_store_without_tables(store_url: str) -> None:
    """The API may start before the recorder."""
    store = await Store.open(store_url)
    try:
        with pytest.raises(StoreUnavailable):
            await store.log_state(JOB)
        writer = await Writer.open(store_url)
        await store.ping()
        await writer.close()
    finally:
        await store.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:"])
async def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError, match="store"):
        await Store.open(url)
