"""Fields written into objects are bounded, and the log says where one was cut."""

import json
import time
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_apiserver.faults import Request
from tests.support.fake_apiserver.statuses import refuse
from tests.unit.journal.conftest import JOB, OTHER, Feeder, Recorder, recorder_on, source
from tests.unit.journal.fake_cluster import FakeCluster

from corejob_journal.store import Store, Writer
from corejob_journal.store.bounds import (
    MOST_COOKIE_BYTES,
    MOST_SOURCES,
    MOST_SOURCES_BYTES,
    CookieSizes,
    Sources,
)
from corejob_journal.store.records import Append


def event(n: int, kind: str, **fields: Any) -> str:
    return json.dumps({"core4": 1, "n": n, "type": kind, "time": time.time(), **fields})


def status(cluster: FakeCluster, name: str = JOB) -> dict[str, Any]:
    return dict(cluster.objects["corejobs"][name]["status"])


def template(name: str = "a.Job") -> dict[str, Any]:
    meta = {"name": name.lower(), "uid": "t", "creationTimestamp": "2026-11-24T00:00:00Z"}
    return {"metadata": meta, "spec": {"qualName": name}, "status": {}}


# --- sources --------------------------------------------------------------------------------


@given(calls=st.lists(st.lists(st.text("ab", max_size=3), max_size=5), max_size=9))
def test_sources_are_kept_once_in_the_order_of_their_first_naming(calls: list[list[str]]) -> None:
    kept = Sources()
    for names in calls:
        kept = kept.with_more(names)
    assert kept == Sources(tuple(dict.fromkeys(name for names in calls for name in names)))


def test_the_newest_sources_are_kept_and_the_others_counted() -> None:
    kept = Sources()
    for start in range(0, 40_000, 700):
        kept = kept.with_more(f"{n}.csv" for n in range(start, min(start + 700, 40_000)))
    assert kept.names == tuple(f"{n}.csv" for n in range(40_000 - MOST_SOURCES, 40_000))
    assert kept.dropped == 40_000 - MOST_SOURCES


def test_long_names_take_the_room_of_many() -> None:
    kept = Sources().with_more("ä" * 499 + str(number % 10) * (number + 1) for number in range(100))
    assert sum(len(name.encode()) for name in kept.names) <= MOST_SOURCES_BYTES
    assert len(kept.names) == 100 - kept.dropped > 10
    assert Sources().with_more(["x" * MOST_SOURCES_BYTES, "y"]) == Sources(("y",), 1)


@pytest.mark.timeout(600)
async def test_none_of_40_000_sources_is_lost_however_often_the_recorder_restarts(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    """They are read while the previous ones are being written, and by successive recorders."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    n = 0
    for part in range(1, 21):
        async with recorder_on(cluster, sqlite_url) as recorder:
            for _ in range(4):
                await log.write(
                    *(event(n + i + 1, "source", name=f"{n + i}.csv") for i in range(500))
                )
                n += 500
            await log.write(event(n + 1, "log", message=f"part {part}"))
            n += 1
            await recorder.until_count(part)
    names = [f"{number}.csv" for number in range(n) if number % 2001 != 2000]
    assert len(names) == 40_000
    async with recorder_on(cluster, sqlite_url):
        await cluster.until(lambda: status(cluster).get("sourcesDropped") == 40_000 - MOST_SOURCES)
    assert status(cluster)["sources"] == names[-MOST_SOURCES:]


@pytest.mark.parametrize("distance", [0, 5, 20])
async def test_none_of_100_sources_is_lost_at_any_pace(
    cluster: FakeCluster, recorder: Recorder, distance: int
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    for number in range(100):
        await log.write(event(number + 1, "source", name=f"{number}"), after=distance * 1_000_000)
        if distance:
            await log.until_asked(1)
            await recorder.supervisor.commits.ping()
    await cluster.until(lambda: len(status(cluster).get("sources", ())) == 100)
    assert status(cluster)["sources"] == [str(number) for number in range(100)]
    assert status(cluster)["sourcesDropped"] == 0


async def test_3_000_sources_and_a_retry(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, attempts_left=2)
    await log.write(*(event(n, "source", name=f"{n}") for n in range(1, 3001)))
    await cluster.end_pod(f"{JOB}-1", 1)
    await cluster.finalised(JOB)
    await cluster.set_job(JOB, trial=2)
    log = await cluster.add_pod(JOB, trial=2)
    await log.write(event(1, "source", name="3000"), event(2, "source", name="new"))
    await cluster.end_pod(f"{JOB}-2", 0)
    await cluster.finalised(JOB, 2)
    await cluster.until(lambda: status(cluster)["sources"][-1] == "new")
    expected = [*(str(n) for n in range(2702, 3001)), "new"]
    assert (status(cluster)["sources"], status(cluster)["sourcesDropped"]) == (expected, 2701)


async def test_a_source_of_a_megabyte_is_cut_and_the_log_says_so(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1, "source", name="x" * 1_000_000), event(2, "source", name="y"))
    await cluster.until(lambda: len(status(cluster).get("sources", ())) == 2)
    assert status(cluster)["sources"] == ["x" * 1000 + "…", "y"]
    await recorder.until_count(1)
    (warning,) = (await recorder.store.log_after(JOB, 0)).records
    assert (warning.levelno, warning.message) == (
        30,
        f"source [{'x' * 50}…] is cut to 1000 characters",
    )


async def test_a_stored_append_tells_the_sources_again(
    writer: Writer, store: Store, feeder: Feeder
) -> None:
    append: Append = feeder.append(sources=["a", "b"])
    first, again = [(await writer.commit([append]))[0] for _ in range(2)]
    assert first.sources == again.sources == Sources(("a", "b"))
    assert (first.cookies, again.cookies) == ([], None)
    assert await writer.sources(feeder.stream.job) == Sources(("a", "b"))
    assert (await feeder.feed(sources=["c", "a"])).sources == Sources(("a", "b", "c"))


# --- cookies --------------------------------------------------------------------------------


def test_a_cookie_may_shrink_when_there_is_no_room() -> None:
    sizes = CookieSizes({"a": "x" * MOST_COOKIE_BYTES, "b": 1})
    assert not sizes.take("c", 1)
    assert not sizes.take("b", 10)
    assert sizes.take("b", 2)
    assert sizes.take("a", "x" * 100)
    assert sizes.take("c", 1)
    assert sizes.take("a", None)
    assert sizes.take("a", "x" * (MOST_COOKIE_BYTES - 100))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"key": "k" * 1001, "value": 1}, "its key is longer than 1000 bytes"),
        ({"key": "deep", "value": json.loads("[" * 65 + "]" * 65)}, "nested deeper than 64 levels"),
        ({"key": "big", "value": "x" * 2**16}, "its value is larger than 65536 bytes"),
    ],
)
async def test_a_cookie_that_is_too_large_is_refused_and_the_log_says_so(
    cluster: FakeCluster, recorder: Recorder, fields: dict[str, Any], why: str
) -> None:
    cluster.put("corejobtemplates", template())
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1, "cookie", **fields), event(2, "cookie", key="small", value=[1]))
    await recorder.until_count(1)
    (warning,) = (await recorder.store.log_after(JOB, 0)).records
    assert warning.levelno == 30
    assert warning.message.startswith(f"cookie [{fields['key'][:50]}")
    assert warning.message.endswith(why)
    assert await recorder.store.cookies("a.Job") == {"small": [1]}


async def test_cookies_of_all_jobs_of_a_class_share_their_room(
    writer: Writer, store: Store, feeder: Feeder
) -> None:
    other = Feeder(writer, await writer.open_stream(source(OTHER, uid="uid-2")))
    value = "x" * 60_000
    changes = [(f"key {number}", value) for number in range(3)]
    answer = await feeder.feed("one", cookies=changes)
    assert answer.cookies == changes
    answer = await other.feed(
        "two", cookies=[("more", value), ("too much", value), ("key 1", None)]
    )
    assert answer.cookies == [("more", value), ("key 1", None)]
    records = (await store.log_after(OTHER, 0)).records
    assert [record.message for record in records] == [
        "two",
        "cookie [too much] is not kept: all cookies of a.Job together may have 262144 bytes",
    ]
    assert records[1].levelno == 30
    assert sorted(await store.cookies("a.Job")) == ["key 0", "key 2", "more"]


async def test_300_cookies_of_60_kb_leave_the_template_small(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    cluster.put("corejobtemplates", template())
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    for n in range(1, 301):
        await log.write(event(n, "cookie", key=f"key {n}", value="x" * 60_000))
    await log.write(event(301, "cookie", key="key 1", value="small"))
    await recorder.until_count(296)

    def told() -> dict[str, str]:
        return dict(cluster.objects["corejobtemplates"]["a.job"]["status"].get("cookie") or {})

    await cluster.until(lambda: told().get("key 1") == '"small"')
    assert len(json.dumps(told())) < 300_000


# --- progress and messages ------------------------------------------------------------------


async def test_a_progress_message_of_a_megabyte_is_cut_and_the_log_says_so_once(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(*(event(n, "progress", value=0.5, message="x" * 900_000) for n in (1, 2)))
    await cluster.until(lambda: status(cluster).get("progress"))
    assert status(cluster)["progress"]["message"] == "x" * 1000 + "…"
    await log.write(event(3, "log", message="next"))
    await recorder.until_count(2)
    assert await recorder.messages() == [
        "the message of the progress is cut to 1000 characters",
        "next",
    ]


async def test_the_message_of_a_thousand_gaps_has_an_end(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(*(event(2 * n, "log", message=f"{n}") for n in range(1, 1001)))
    await cluster.end_pod(f"{JOB}-1", 0)
    message = (await cluster.finalised(JOB))["message"]
    assert len(message) < 2_100
    assert message.startswith("line 1 is gone from the pod's log; line 3 is gone")
    assert message.endswith(" … and more: the log names every gap")
    assert len(await recorder.store.gaps(JOB)) == 1000


# --- fields that the API server refuses -----------------------------------------------------


async def test_fields_of_a_status_that_the_api_server_refuses_are_left_out(
    cluster: FakeCluster, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """The other fields are written: progress, and above all the end of the log."""

    def refused(request: Request) -> web.Response | None:
        fields = request.body["status"] if request.sub == "status" else {}
        inner = {key for value in fields.values() if isinstance(value, dict) for key in value}
        return refuse(422, "Invalid value") if {"message", "sources"} & {*fields, *inner} else None

    cluster.intercept = refused
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(
        event(1, "source", name="a.csv"),
        event(2, "progress", value=0.5, message="half"),
        event(4, "log", message="after a gap"),
    )
    await cluster.end_pod(f"{JOB}-1", 0)
    finalised = await cluster.finalised(JOB)
    assert (finalised["lost"], finalised["lastSeq"]) == (True, 2)
    assert "message" not in finalised
    await cluster.until(lambda: (status(cluster).get("progress") or {}).get("value") == 0.5)
    assert "sources" not in status(cluster)
    for words in ("takes no sources: 422", "takes no log.message: 422"):
        assert words in caplog.text
