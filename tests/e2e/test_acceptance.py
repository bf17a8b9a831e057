"""The original's own acceptance tests, as its clients run them.

The jobs are those of a user's project, in an image of its own; the client is plain `requests` and
the parser of the original's tests. These tests use nothing of Kubernetes.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import requests
from tests.support.release import Release
from tests.support.sse_clients import original_events

pytestmark = pytest.mark.cluster

AUTH = ("admin", "hans")
# Includes the start of pods.
SECONDS = 300
DUMMY = "core4.queue.helper.job.example.DummyJob"
JOBS = "original.jobs"
LINES = [f"hello world: {number}" for number in range(600)]
DONE = "done execution with ["


class Log(NamedTuple):
    """The events of a stream."""

    states: list[dict[str, Any]]
    records: list[dict[str, Any]]
    close: dict[str, int]

    @property
    def id(self) -> str:
        return str(self.states[0]["_id"])

    @property
    def names(self) -> list[str]:
        """The states in order, without repetitions."""
        names = [document["state"] for document in self.states]
        return names[:1] + [after for before, after in pairwise(names) if after != before]

    @property
    def messages(self) -> list[str]:
        return [record["message"] for record in self.records]

    @property
    def lines(self) -> list[str]:
        return [text for text in self.messages if text.startswith("hello world")]

    @property
    def starts(self) -> list[dict[str, Any]]:
        return [one for one in self.records if one["message"].startswith("start execution")]

    @property
    def ends(self) -> list[str]:
        """The states in which trials ended."""
        ends = [text for text in self.messages if text.startswith(DONE)]
        return [text.removeprefix(DONE).partition("]")[0] for text in ends]


def parse(response: requests.Response) -> Log:
    assert response.status_code == 200, response.text
    found = list(original_events(response.content.decode("utf-8")))
    assert {event.type for event in found} <= {"state", "log", "close"}
    (close,) = [event.data for event in found if event.type == "close"]
    return Log(
        [event.data for event in found if event.type == "state"],
        [event.data for event in found if event.type == "log"],
        close,
    )


class Api:
    """The original's URLs."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, path: str, **body: Any) -> requests.Response:
        url = f"{self._url}/{path}"
        return requests.request(method, url, json=body or None, auth=AUTH, timeout=SECONDS)

    def answer(self, method: str, path: str, **body: Any) -> Any:
        response = self.call(method, path, **body)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, qual_name: str, **args: Any) -> Log:
        return parse(self.call("POST", "job", qual_name=qual_name, args=args))

    def enqueue(self, qual_name: str, **args: Any) -> str:
        body = {"qual_name": qual_name, "args": args, "follow": False}
        return str(self.answer("POST", "job", **body)["data"])

    def detail(self, job_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.answer("GET", f"job/{job_id}")["data"]
        return document

    def wait(self, so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not so():
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the environment's proxy for plain requests: it can't reach the cluster."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def api(release: Release, original: str) -> Api:
    assert original == JOBS
    return Api(release.url)


@pytest.fixture(scope="module")
def streams(api: Api) -> Iterator[dict[str, Future[Log]]]:
    """Streams of the slow jobs, all started at once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("no_proxy", "*")
    with ThreadPoolExecutor() as pool:
        started = {
            name: pool.submit(api.post, name, case="acceptance")
            for name in (
                DUMMY,
                f"{JOBS}.BurstJob",
                f"{JOBS}.FailingJob",
                f"{JOBS}.EndlessDeferringJob",
                f"{JOBS}.TwiceDeferringJob",
                f"{JOBS}.ZeroDivisionJob",
            )
        }
        for future in started.values():
            future.result()
        yield started
    patch.undo()


def test_1_a_job_is_posted_and_followed(streams):
    log = streams[DUMMY].result()
    assert {"running", "complete"} <= set(log.names)
    assert len(log.starts) == 1
    assert log.close == {"state": len(log.states), "log": len(log.records)}


def test_2_300_lines_at_once_come_once_each_by_every_way(api: Api, streams):
    posted = streams[f"{JOBS}.BurstJob"].result()
    assert posted.lines == LINES[:300]
    assert parse(api.call("GET", f"job/follow/{posted.id}")).lines == LINES[:300]
    assert parse(api.call("GET", f"job/log/{posted.id}?follow=true")).lines == LINES[:300]


def test_2_300_lines_after_five_seconds_come_while_it_is_followed(api: Api):
    job_id = api.enqueue(f"{JOBS}.LateBurstJob")
    with ThreadPoolExecutor() as pool:
        followed = pool.submit(api.call, "GET", f"job/follow/{job_id}")
        logged = pool.submit(api.call, "GET", f"job/log/{job_id}", follow=True)
    assert parse(followed.result()).lines == LINES[:300]
    log = parse(logged.result())
    assert log.lines == LINES[:300]
    assert log.states == []
    assert {"watchlog", "postlog"} & {record["mode"] for record in log.records}


def test_3_a_job_is_killed_while_it_is_followed_and_removed(api: Api):
    job_id = api.enqueue(DUMMY, sleep=600)
    with ThreadPoolExecutor() as pool:
        following = pool.submit(api.call, "GET", f"job/follow/{job_id}")
        api.wait(lambda: api.detail(job_id)["state"] == "running")
        assert api.answer("PUT", f"job/kill/{job_id}")["data"] is True
    assert "killed" in parse(following.result()).names
    assert api.answer("PUT", f"job/remove/{job_id}")["data"] is True
    api.wait(lambda: api.answer("GET", "job")["total_count"] == 0)
    assert api.call("PUT", f"job/remove/{job_id}").status_code == 404


def test_4_a_killed_job_that_is_restarted_begins_anew(api: Api):
    job_id = api.enqueue(f"{JOBS}.TwoBurstsJob")
    with ThreadPoolExecutor() as pool:
        following = pool.submit(api.call, "GET", f"job/follow/{job_id}")
        # The job sleeps now.
        api.wait(lambda: api.answer("GET", f"job/log/{job_id}")["total_count"] == 301)
        assert api.answer("PUT", f"job/kill/{job_id}")["data"] is True
    assert parse(following.result()).lines == LINES[:300]
    log = parse(api.call("PUT", f"job/restart/{job_id}"))
    assert log.lines == LINES
    assert len(log.starts) == 1
    assert log.names[-1] == "complete"
    assert log.states[-1]["trial"] == 2
    assert log.id != job_id
    assert {record["identifier"] for record in log.records} == {log.id}


def test_5_a_job_that_fails_is_tried_three_times(api: Api, streams):
    log = streams[f"{JOBS}.FailingJob"].result()
    assert len(log.starts) == 3
    assert log.ends == ["failed", "failed", "error"]
    times = [record["epoch"] for record in log.starts]
    assert all(after - before >= 3 for before, after in pairwise(times))
    left = [document["attempts_left"] for document in log.states]
    assert [n for n, _ in pairwise([*left, -1]) if n != _] == [3, 2, 1, 0]
    assert api.detail(log.id)["state"] == "error"


def test_6_the_queue_has_pages_and_filters(api: Api):
    # Jobs of other tests that stay in these states would count.
    for row in api.answer("GET", "job", per_page=100)["data"]:
        api.answer("PUT", f"job/remove/{row['_id']}")
    api.wait(lambda: api.answer("GET", "job")["total_count"] == 0)
    for number in range(25):
        api.enqueue(f"{JOBS}.SegmentJob", segment=number % 3, _i=number, max_parallel=1)
    for method, path in (("GET", "job"), ("POST", "job/queue")):
        whole = api.answer(method, path)
        assert (whole["total_count"], whole["page_count"]) == (25, 3)
        last = api.answer(method, f"{path}?page=2")
        assert [row["args"]["_i"] for row in last["data"]] == [20, 21, 22, 23, 24]
        part = api.answer(method, path, filter={"args.segment": 0})
        assert (part["total_count"], part["page_count"]) == (9, 1)


def test_7_the_pages_of_a_log_have_every_record_once(api: Api, streams):
    posted = streams[f"{JOBS}.BurstJob"].result()
    page, records = 0, []
    while True:
        answer = api.answer("GET", f"job/log/{posted.id}?page={page}")
        assert answer["total_count"] == len(posted.records)
        assert answer["page_count"] == math.ceil(answer["total_count"] / 10)
        records += answer["data"]
        page += 1
        if page == answer["page_count"]:
            break
    assert [record["_id"] for record in records] == [record["_id"] for record in posted.records]
    assert [record["message"] for record in records] == posted.messages


def test_8_a_job_that_always_defers_turns_inactive(streams):
    log = streams[f"{JOBS}.EndlessDeferringJob"].result()
    assert {"running", "deferred", "inactive"} <= set(log.names)
    assert log.names[-1] == "inactive"
    assert {document["attempts_left"] for document in log.states} == {1}


def test_8_a_job_that_defers_twice_completes(streams):
    log = streams[f"{JOBS}.TwiceDeferringJob"].result()
    assert log.ends == ["deferred", "deferred", "complete"]
    assert (log.states[-1]["state"], log.states[-1]["trial"]) == ("complete", 3)


def test_9_a_job_that_raises_ends_in_error(streams):
    log = streams[f"{JOBS}.ZeroDivisionJob"].result()
    assert log.names[-2:] == ["running", "error"]
    assert log.ends == ["error"]
    assert "ZeroDivisionError" in log.messages[-1]
    assert "ZeroDivisionError" in log.states[-1]["last_error"]["exception"]


def test_10_a_running_job_that_is_removed_completes(api: Api):
    # It still runs when the removal arrives.
    job_id = api.enqueue(DUMMY, sleep=60)
    with ThreadPoolExecutor() as pool:
        following = pool.submit(api.call, "GET", f"job/follow/{job_id}")
        api.wait(lambda: api.detail(job_id)["state"] == "running")
        assert api.answer("PUT", f"job/remove/{job_id}")["data"] is True
    assert parse(following.result()).names[-1] == "complete"
    document = api.detail(job_id)
    assert (document["state"], document["journal"]) == ("complete", True)


@pytest.mark.parametrize("path", ["detail", "follow", "log"])
def test_an_id_that_is_missing(api: Api, path):
    answer = api.call("GET", f"job/{path}")
    assert (answer.status_code, answer.json()["error"]) == (400, "missing job _id")
