"""The event stream (docs/rest.md): its form, its modes, resuming, disconnects."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from tests.support.jobs import BURST, DUMMY, PRINTING, SLEEPY
from tests.support.rest import Rest
from tests.support.sse import Frame, Stream

pytestmark = pytest.mark.cluster

COUNT = 301
# Runs until it is killed.
ENDLESS = 600
LINES = [f"line {number} of {COUNT}" for number in range(1, COUNT + 1)]


def modes(stream: Stream) -> str:
    """Return the modes of its log records in order."""
    return "".join(f"{record['mode']} " for record in stream.of("log"))


@pytest.fixture(scope="module")
def live(rest: Rest) -> Stream:
    """The stream of a job that was followed from its enqueue on."""
    with rest.run(BURST, count=COUNT) as stream:
        return stream.to_close()


@pytest.fixture(scope="module")
def past(rest: Rest, live: Stream) -> str:
    """The id of that job, which has ended."""
    job_id: str = live.of("state")[-1]["_id"]
    rest.wait_journaled(job_id)
    return job_id


def test_headers(live):
    headers = live.response.headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache, no-transform"
    assert headers["X-Accel-Buffering"] == "no"


def test_each_frame_has_a_type_and_one_line_of_data(live):
    for frame in live.frames:
        fields = [line.partition(":")[0] for line in frame.raw.split("\n")]
        assert set(fields) <= {"event", "data", "id"}, frame.raw
        assert {"event", "data"} <= set(fields), frame.raw
        assert frame.event in {"state", "log", "close"}


def test_the_first_frame_is_the_state_and_the_last_counts_the_others(live):
    assert live.frames[0].event == "state"
    # The job may have gone on before its stream begins.
    assert live.states
    assert live.states == ["pending", "running", "complete"][-len(live.states) :]
    assert live.of("state")[-1]["prog"] == {"value": 1.0, "message": ""}
    counts = Counter(frame.event for frame in live.frames[:-1])
    assert live.frames[-1].data == dict(counts)
    assert live.ended


def test_a_state_frame_comes_only_for_a_change(live):
    def unchanging(document):
        return {name: value for name, value in document.items() if name not in {"age", "runtime"}}

    documents = [unchanging(document) for document in live.of("state")]
    assert all(before != after for before, after in pairwise(documents))
    assert {document["_id"] for document in documents} == {documents[0]["_id"]}


def test_log_records_are_whole_and_in_order(live):
    records = live.of("log")
    ids = [record["_id"] for record in records]
    assert ids == sorted(set(ids))
    assert [frame.id for frame in live.frames if frame.event == "log"] == ids
    assert [record["message"] for record in records if record["message"] in set(LINES)] == LINES
    names = {"created", "epoch", "level", "levelno", "message", "identifier", "qual_name"}
    names |= {"hostname", "username", "mode"}
    for record in records:
        assert names <= set(record), record
        assert (record["qual_name"], record["username"]) == (BURST, "admin")
        assert "exception" not in record
    assert re.fullmatch("(prelog )*(watchlog )*(postlog )*", modes(live))


def test_the_frame_of_a_record_is_the_record_of_the_log(rest: Rest, live, past):
    streamed = [{k: v for k, v in row.items() if k != "mode"} for row in live.of("log")]
    assert rest.log(past) == streamed


def test_a_past_job_streams_its_state_its_log_and_the_close_at_once(rest: Rest, live, past):
    with rest.follow(past) as stream:
        stream.to_close()
    assert [frame.event for frame in stream.frames][:2] == ["state", "log"]
    assert stream.frames[0].data["state"] == "complete"
    assert stream.messages == live.messages
    assert stream.frames[-1].data == {"state": 1, "log": len(live.of("log"))}
    assert {record["mode"] for record in stream.of("log")} == {"prelog"}


def test_the_log_stream_has_no_states(rest: Rest, live, past):
    with rest.stream("GET", f"job/log/{past}", follow=True) as stream:
        stream.to_close()
    assert {frame.event for frame in stream.frames} == {"log", "close"}
    assert stream.messages == live.messages


def test_every_line_comes_once_by_each_way_at_the_same_time(rest: Rest):
    lines = [f"line {number} of 300" for number in range(1, 301)]
    with rest.run(BURST, count=300) as posted:
        first = posted.wait(lambda frame: frame.event == "state", what="the first state")
        job_id = first.data["_id"]
        with (
            rest.follow(job_id) as followed,
            rest.stream("GET", f"job/log/{job_id}", follow=True) as logged,
        ):
            for stream in (posted, followed, logged):
                stream.to_close()
                assert [text for text in stream.messages if text.startswith("line ")] == lines
                assert stream.messages.count("start execution") == 1


def test_last_event_id_resumes_after_that_record(rest: Rest, live, past):
    records = [frame for frame in live.frames if frame.event == "log"]
    with rest.follow(past, last_event_id=records[99].id) as stream:
        stream.to_close()
    assert stream.messages == live.messages[100:]


def test_a_client_that_comes_late_gets_what_was_before_and_what_comes(rest: Rest):
    job_id = rest.enqueue(DUMMY, sleep=ENDLESS, logging=True, loop_time=0.2, case="late")
    with rest.follow(job_id) as first:
        first.line("line 2 at")
        with rest.follow(job_id) as late:
            late.wait(
                lambda frame: frame.event == "log" and frame.data["mode"] == "watchlog",
                what="a line that came while it was there",
            )
            rest.kill(job_id)
            late.to_close()
        first.to_close()
    assert late.messages == first.messages
    assert re.fullmatch("(prelog )+(watchlog )+(postlog )*", modes(late))


def test_a_client_that_hangs_up_and_comes_back_misses_nothing(rest: Rest):
    with rest.run(DUMMY, sleep=2, logging=True, case="back") as gone:
        gone.line("line 2 at")
    job_id = gone.frames[0].data["_id"]
    last = next(frame for frame in reversed(gone.frames) if frame.event == "log")
    with rest.follow(job_id, last_event_id=last.id) as back:
        back.to_close()
    assert back.states[-1] == "complete"
    assert gone.messages + back.messages == rest.messages(job_id)


def test_the_output_of_a_job_is_not_part_of_its_log(rest: Rest):
    with rest.run(PRINTING, count=10) as stream:
        stream.to_close()
    assert stream.messages[:2] == ["start execution", "printed [20] lines"]
    assert len(stream.messages) == 3


def test_progress_comes_as_state_and_as_debug_record(rest: Rest):
    with rest.run(DUMMY, sleep=ENDLESS, progress_interval=1, case="progress") as stream:
        begun = stream.wait(lambda frame: _progress(frame) > 0, what="progress")
        more = stream.wait(lambda frame: _progress(frame) > _progress(begun), what="more of it")
        rest.kill(more.data["_id"])
        stream.to_close()
    shown = [row["prog"] for row in stream.of("state") if row["state"] == "running"]
    values = [progress["value"] for progress in shown]
    assert values == sorted(values)
    assert more.data["prog"]["message"] == "running"
    debug = [row["message"] for row in stream.of("log") if row["level"] == "DEBUG"]
    assert debug
    assert all(re.fullmatch(r"progress \[\d+%\] - running", text) for text in debug)


def _progress(frame: Frame) -> float:
    """Return the running job's progress by a frame; 0 if the frame has none."""
    if frame.event != "state" or frame.data["state"] != "running":
        return 0.0
    return float(frame.data["prog"]["value"])


def test_the_stream_of_a_waiting_job_ends_when_it_is_removed(rest: Rest):
    blocker = rest.enqueue(SLEEPY, sleep=600, max_parallel=1)
    rest.wait_state(blocker, "running")
    waiting = rest.enqueue(SLEEPY, sleep=601, max_parallel=1)
    with rest.follow(waiting) as stream:
        stream.state("pending")
        rest.remove(waiting)
        stream.to_close()
    assert stream.messages == []
