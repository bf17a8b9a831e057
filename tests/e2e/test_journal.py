"""The journal on the real cluster: log filters, past jobs, resuming, retention."""

from typing import Any

import pytest
import requests
from tests.e2e.values import VALUES
from tests.support import hostprocess
from tests.support.jobs import BURST, CHATTY, FAILING, SEGMENT
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.sse import Stream, StreamError
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("service")]

COUNT = 40
RATE = 20
SEGMENTS = 7
API = "core4-api"
RECORDER = "core4-recorder"


# --- log filters -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def burst(service: Rest) -> str:
    """The id of a job that has logged `line 1 of 40` to `line 40 of 40`."""
    job_id = service.enqueue(BURST, count=COUNT)
    service.wait_journaled(job_id)
    # The job has ended, but the end of its log may still be on its way.
    service.whole_log(job_id)
    return job_id


def both_ways(service: Rest, job_id: str, **arguments: Any) -> list[str]:
    """Return the messages of a page and of a stream with the same filters, which must be equal."""
    page = service.answer("GET", f"job/log/{job_id}", per_page=1000, **arguments)
    messages = [record["message"] for record in page["data"]]
    assert page["total_count"] == len(messages)
    with service.stream("GET", f"job/follow/{job_id}", **arguments) as stream:
        stream.to_close()
    assert stream.messages == messages
    assert stream.frames[-1].data["log"] == len(messages)
    return messages


def test_a_log_is_filtered_in_pages_and_streams(service: Rest, burst: str):
    whole = both_ways(service, burst)
    assert len(whole) == COUNT + 2
    tens = [f"line {number} of {COUNT}" for number in range(10, 20)]
    assert both_ways(service, burst, grep="^line 1[0-9] of") == tens
    assert both_ways(service, burst, grep="^LINE 1[0-9]", tail=3) == []
    assert both_ways(service, burst, grep="(?i)^LINE 1[0-9]", tail=3) == tens[-3:]
    assert both_ways(service, burst, tail=2) == whole[-2:]
    assert both_ways(service, burst, level="warning") == []
    half = service.log(burst)[COUNT // 2]
    since = both_ways(service, burst, since=half["epoch"])
    assert since == whole[-len(since) :]
    assert half["message"] in since


def test_the_levels_of_a_failing_job(service: Rest):
    job_id = service.enqueue(FAILING, attempts=1)
    service.wait_state(job_id, "error")
    service.whole_log(job_id)
    critical = both_ways(service, job_id, level="CRITICAL")
    assert [text.split("\n")[0][:27] for text in critical] == ["done execution with [error]"]
    assert len(both_ways(service, job_id, level=20)) > 1


def test_a_live_stream_is_filtered(service: Rest):
    with service.stream(
        "POST", "job", qual_name=CHATTY, args={"rate": 50, "seconds": 2}, grep="^[0-9]*0 x"
    ) as stream:
        stream.to_close()
    numbers = [int(text.partition(" ")[0]) for text in stream.messages]
    assert numbers == list(range(10, 101, 10))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"level": "LOUD"}, "level"),
        ({"grep": "(?=x)"}, "grep"),
        ({"tail": -1}, "tail"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_a_bad_filter_is_named(service: Rest, burst: str, bad: dict[str, Any], words: str):
    for path in (f"job/log/{burst}", f"job/follow/{burst}"):
        assert words in service.refused(400, "GET", path, json=bad)


# --- past jobs ---------------------------------------------------------------------------------


def test_past_jobs_by_pages_and_by_cursor(service: Rest):
    ids = [service.enqueue(SEGMENT, segment=number) for number in range(SEGMENTS)]
    for job_id in ids:
        service.wait_journaled(job_id)
    wanted = {"filter": {"qual_name": SEGMENT, "state": "complete"}}
    # A job is past when it has ended, and here as soon as the recorder has stored it.
    page = until(
        lambda: service.answer("GET", "job/journal", per_page=5, **wanted),
        lambda page: page["total_count"] == SEGMENTS,
        what="all past jobs are listed",
    )
    assert page["page_count"] == 2
    assert [row["_id"] for row in page["data"]] == sorted(ids)[:5]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = service.answer(
            "GET", "job/journal", per_page=3, cursor=cursor, sort=[["_id", -1]], **wanted
        )
        seen += [row["_id"] for row in answer["data"]]
        cursor = answer["next_cursor"]
    assert seen == sorted(ids, reverse=True)
    by_args = service.data("GET", "job/journal", filter={"args.segment": 3})
    assert [row["args"] for row in by_args] == [{"segment": 3}]
    (row,) = service.data("GET", "job/journal", search="segmentjob", per_page=1, page=0)
    # Its age is counted up to the moment of the response.
    detail = service.detail(row["_id"])
    only = {name: detail[name] for name in ("can", "cannot", "trials")}
    assert not only.keys() & row.keys()
    assert {**row, **only, "journal": True, "age": 0} == {**detail, "age": 0}


# --- resuming ----------------------------------------------------------------------------------


def numbers(messages: list[str]) -> list[int]:
    """Return the numbers of the lines that a ChattyJob has written."""
    firsts = [text.partition(" ")[0] for text in messages if text.endswith("xxx")]
    return [int(first) for first in firsts if first.isdecimal()]


def resumed(service: Rest, job_id: str, last: str | None) -> Stream:
    """Return the stream after a frame, as soon as the API answers again."""
    return until(
        lambda: service.follow(job_id, last_event_id=last),
        what="the API answers",
        seconds=90,
        ignoring=(requests.RequestException, AssertionError),
    )


@pytest.mark.host
@pytest.mark.parametrize("program", [API, RECORDER])
def test_a_stream_is_resumed_after_a_crash(own_release: Release, service: Rest, program: str):
    """A crash of the API breaks the stream; one of the recorder only delays it."""
    uid = own_release.kubectl.json("get", "pod", own_release.pod("api"))["metadata"]["uid"]
    size = {API: 100, RECORDER: 101}[program]
    # The job writes until it is killed, so it outlasts the restart.
    with service.run(CHATTY, rate=RATE, seconds=600, size=size) as broken:
        job_id = broken.state("running")["_id"]
        broken.line("50 ")
        hostprocess.kill(uid, program)
        if program == API:
            with pytest.raises(StreamError, match=r"^(?!it did not come in time)"):
                broken.to_close()
        else:
            broken.line("100 ")
    last = [frame.id for frame in broken.frames if frame.event == "log"][-1]
    with resumed(service, job_id, last) as again:
        again.line(f"{numbers(broken.messages)[-1] + RATE} ")
        service.kill(job_id)
        again.to_close()
    assert again.states[-1] == "killed"
    assert not again.of("gap")
    written = numbers(broken.messages + again.messages)
    assert written == list(range(1, len(written) + 1))
    assert broken.messages + again.messages == service.messages(job_id)
    # The same from the middle, now of the past job.
    service.remove(job_id)
    service.wait_journaled(job_id)
    with resumed(service, job_id, last) as past:
        past.to_close()
    assert past.messages == again.messages


# --- retention ---------------------------------------------------------------------------------


def test_past_jobs_beyond_a_size_are_deleted_and_a_dry_run_tells_before(
    own_release: Release, service: Rest, burst: str
):
    # Retention never deletes jobs whose CoreJob exists, so delete the CoreJobs first; their
    # finalizer delays that until they are archived.
    own_release.kubectl("delete", "corejobs", "--all", "--timeout=120s", timeout=150)
    count = service.answer("GET", "job/journal")["total_count"]
    command = ("core4-recorder", "retention", "--dry-run", "--max-size", "1")
    told = own_release.kubectl("exec", own_release.pod("api"), "-c", "recorder", "--", *command)
    assert f"past jobs to delete:          {count}" in told
    assert service.answer("GET", "job/journal")["total_count"] == count
    assert service.messages(burst)

    own_release.upgrade({**VALUES, "retention": {"maxSize": "1"}})
    own_release.wait_ready()
    until(
        lambda: service.answer("GET", "job/journal")["total_count"],
        lambda left: left == 0,
        what="all past jobs are deleted",
        seconds=90,
        ignoring=(requests.RequestException, AssertionError),
    )
    for path in (f"job/{burst}", f"job/log/{burst}"):
        assert burst in service.refused(404, "GET", path)
    # A past job will not be kept for long, so read its end from its own stream.
    with service.run(BURST, count=3) as new:
        new.to_close()
    assert new.states[-1] == "complete"
