"""What the original's own tests hold it to (contract section 10), through real pods."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from tests.support.jobs import (
    BURST,
    BURST_SLEEP_BURST,
    DEFERRING,
    DUMMY,
    FAILING,
    SEGMENT,
    SLEEPY,
)
from tests.support.rest import Rest
from tests.support.sse import Stream

pytestmark = pytest.mark.cluster

LINES = [f"line {number} of 300" for number in range(1, 301)]
START = "start execution"
REMOVED = "removed"

# The slow ones, which run at once: name, job, arguments.
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "dummy": (DUMMY, {"sleep": 1, "case": "acceptance"}),
    "burst": (BURST, {"count": 300}),
    "failing": (FAILING, {"attempts": 3, "error_time": 3, "message": "three times"}),
    "always deferring": (DEFERRING, {"defer_time": 3, "defer_max": 20}),
    "deferring twice": (DEFERRING, {"defer_time": 3, "times": 2}),
    "raising": (FAILING, {"message": "once"}),
    # As long as the longest of the others: so much time there is to remove it while it runs.
    REMOVED: (SLEEPY, {"sleep": 25}),
}


@dataclass(frozen=True, slots=True)
class Life:
    """What a job's stream brought, and its document afterwards."""

    stream: Stream
    detail: dict[str, Any]

    def starts(self) -> int:
        """Trials, as clients count them."""
        return self.stream.messages.count(START)


@pytest.fixture(scope="module")
def lives(rest: Rest) -> dict[str, Life]:
    """All of `JOBS`, from the enqueue to the close of their streams."""
    with ThreadPoolExecutor(len(JOBS)) as pool:
        found = pool.map(lambda name: _life(rest, name), JOBS)
        return dict(zip(JOBS, found, strict=True))


def _life(rest: Rest, name: str) -> Life:
    qual_name, args = JOBS[name]
    with rest.run(qual_name, **args) as stream:
        if name == REMOVED:
            rest.remove(stream.state("running")["_id"])
        stream.to_close(300)
    return Life(stream, rest.detail(stream.frames[0].data["_id"]))


def test_1_the_example_job(lives):
    life = lives["dummy"]
    assert life.stream.states[-2:] == ["running", "complete"]
    assert life.starts() == 1
    assert life.detail["journal"] is True


def test_2_300_lines_come_once_each_however_they_are_asked_for(rest: Rest, lives):
    life = lives["burst"]
    job_id = life.detail["_id"]
    with rest.follow(job_id) as follow, rest.stream("GET", f"job/log/{job_id}", follow=True) as log:
        for stream in (life.stream, follow.to_close(), log.to_close()):
            assert [text for text in stream.messages if text.startswith("line ")] == LINES


def test_3_a_kill_is_seen_by_followers(rest: Rest):
    with rest.run(SLEEPY, sleep=600) as stream:
        job_id = stream.state("running")["_id"]
        rest.kill(job_id)
        stream.to_close()
    assert stream.states[-1] == "killed"
    rest.remove(job_id)
    rest.wait_journaled(job_id)
    rest.refused(404, "PUT", f"job/remove/{job_id}")


def test_4_a_killed_job_starts_over(rest: Rest):
    # The kill comes in the sleep, however late that is: it is the first trial's only.
    with rest.run(BURST_SLEEP_BURST, count=300, sleep=600) as stream:
        old = stream.state("running")["_id"]
        stream.line("line 300 of 600")
        rest.kill(old)
        with rest.stream("PUT", f"job/restart/{old}") as restarted:
            restarted.to_close()
    lines = [text for text in restarted.messages if text.startswith("line ")]
    assert lines == [f"line {number} of 600" for number in range(1, 601)]
    assert restarted.messages.count(START) == 1
    assert restarted.states[-1] == "complete"
    assert restarted.of("state")[-1]["trial"] == 2
    assert restarted.of("state")[-1]["_id"] != old
    assert rest.detail(old)["state"] == "killed"


def test_5_attempts_with_a_pause_between_them(rest: Rest, lives):
    life = lives["failing"]
    assert life.starts() == 3
    endings = [text for text in life.stream.messages if text.startswith("done execution with [")]
    assert [text.split("[")[1].split("]")[0] for text in endings] == ["failed", "failed", "error"]
    assert "and [2] attempts to go: RuntimeError('three times')" in endings[0]
    starts = [row["epoch"] for row in life.stream.of("log") if row["message"] == START]
    assert [b - a >= 3 for a, b in pairwise(starts)] == [True, True]
    left: list[int] = []
    for document in life.stream.of("state"):
        if not left or left[-1] != document["attempts_left"]:
            left.append(document["attempts_left"])
    assert left == [3, 2, 1, 0]
    assert (life.detail["state"], life.detail["trial"]) == ("error", 3)


def test_6_pages_and_filters_of_the_queue(rest: Rest):
    for number in range(25):
        rest.enqueue(SEGMENT, segment=number % 3, sleep=600 + number, max_parallel=1)
    for method, path in (("GET", "job"), ("POST", "job/queue")):
        whole = rest.answer(method, path)
        assert (whole["total_count"], whole["page_count"], whole["count"]) == (25, 3, 10)
        last = rest.answer(method, path, page=2)
        assert [row["args"]["sleep"] for row in last["data"]] == [620, 621, 622, 623, 624]
        part = rest.answer(method, path, filter={"args.segment": 0})
        assert (part["total_count"], part["page_count"]) == (9, 1)
        assert {row["args"]["segment"] for row in part["data"]} == {0}


def test_7_the_pages_of_a_log_hold_every_record_once(rest: Rest, lives):
    path = f"job/log/{lives['burst'].detail['_id']}"
    first = rest.answer("GET", path)
    assert first["total_count"] == 302
    assert first["page_count"] == 31
    pages = [rest.data("GET", path, page=page) for page in range(first["page_count"])]
    records = [record for page in pages for record in page]
    ids = [record["_id"] for record in records]
    assert ids == sorted(set(ids))
    assert [record["message"] for record in records][1:-1] == LINES


def test_8_a_job_that_always_defers_turns_inactive(lives):
    life = lives["always deferring"]
    assert {"running", "deferred"} <= set(life.stream.states)
    assert life.stream.states[-1] == "inactive"
    assert {document["attempts_left"] for document in life.stream.of("state")} == {1}
    assert life.detail["last_error"]["exception"].startswith("not yet in trial [")
    first = next(row["started_at"] for row in life.stream.of("state") if row["started_at"])
    inactive = datetime.fromisoformat(life.detail["inactive_at"])
    assert (inactive - datetime.fromisoformat(first)).total_seconds() == 20


def test_8_a_job_that_defers_twice_completes(lives):
    life = lives["deferring twice"]
    assert (life.stream.states[-1], life.detail["trial"]) == ("complete", 3)
    assert life.starts() == 3
    assert life.stream.states.count("deferred") == 2
    endings = [text for text in life.stream.messages if text.startswith("done execution with [")]
    assert [text.partition(" after ")[0] for text in endings] == [
        "done execution with [deferred]",
        "done execution with [deferred]",
        "done execution with [complete]",
    ]
    assert endings[0].endswith("to go: not yet in trial [1]")


def test_9_a_job_that_raises(lives):
    life = lives["raising"]
    assert life.stream.states[-2:] == ["running", "error"]
    assert life.detail["attempts_left"] == 0
    assert life.detail["last_error"]["exception"] == "RuntimeError('once')"
    assert life.detail["last_error"]["traceback"][-1] == "RuntimeError: once\n"
    last = life.stream.of("log")[-1]
    assert last["level"] == "CRITICAL"
    assert "RuntimeError: once" in last["message"]


def test_10_a_running_job_that_is_removed_completes(rest: Rest, lives):
    life = lives[REMOVED]
    flags = [row["flag"]["removed"] for row in life.stream.of("state") if row["state"] == "running"]
    assert flags[0] is False
    assert flags[-1] is True
    assert life.stream.states[-1] == "complete"
    assert (life.detail["state"], life.detail["journal"]) == ("complete", True)
    assert life.detail["removed_at"] is not None
    rest.refused(404, "PUT", f"job/remove/{life.detail['_id']}")
