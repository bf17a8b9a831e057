"""The queue's counts, over time and live, while real jobs go through it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.e2e.values import CLERK, GUEST
from tests.support.jobs import FAILING, SLEEPY
from tests.support.kubectl import polled
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

Row = dict[str, Any]


# The jobs of other modules would be counted too, so this one has a release of its own.
@pytest.fixture(scope="module")
def rest(own_release: Release) -> Iterator[Rest]:
    with own_release.rest() as client:
        yield client


@pytest.fixture(autouse=True)
def emptied(rest: Rest) -> Iterator[None]:
    yield
    rest.empty_queue()
    wait_row(rest, {"total": 0})


def counts(row: Row) -> dict[str, int]:
    return {name: number for name, number in row.items() if name != "created"}


def created(row: Row) -> datetime:
    return datetime.fromisoformat(row["created"]).replace(tzinfo=UTC)


def changes(rest: Rest, **arguments: Any) -> list[Row]:
    rows: list[Row] = rest.data("GET", "jobs/history", per_page=1000, **arguments)
    return rows


def wait_row(rest: Rest, expected: dict[str, int]) -> Row:
    """Wait until the newest row has these counts, and return it."""
    (row,) = until(
        lambda: rest.data("GET", "jobs/history", per_page=1),
        lambda rows: bool(rows) and counts(rows[0]) == expected,
        what=f"the newest row is {expected}",
    )
    found: Row = row
    return found


def test_the_queue_is_counted_as_jobs_come_and_go(rest: Rest):
    wait_row(rest, {"total": 0})
    before = len(changes(rest))
    job_id = rest.enqueue(SLEEPY, sleep=600, max_parallel=1)
    rest.wait_state(job_id, "running")
    wait_row(rest, {"total": 1, "running": 1})
    waiting = rest.enqueue(SLEEPY, sleep=601, max_parallel=1)
    wait_row(rest, {"total": 2, "pending": 1, "running": 1})
    rest.kill(waiting)
    wait_row(rest, {"total": 2, "running": 1, "killed": 1})
    rest.kill(job_id)
    for job in (waiting, job_id):
        rest.remove(job)
    wait_row(rest, {"total": 0})

    rows = changes(rest, sort=1)
    assert rows == changes(rest)[::-1]
    assert len(rows) > before + 3
    for row in rows:
        assert row["total"] == sum(n for name, n in row.items() if name not in {"created", "total"})
    for earlier, later in pairwise(rows):
        assert counts(earlier) != counts(later)
        assert created(later) - created(earlier) > timedelta(seconds=0.9)
    killed = changes(rest, filter={"killed": {"$gte": 1}})
    assert counts(killed[-1]) == {"total": 2, "running": 1, "killed": 1}


def test_the_counts_by_steps_of_time(rest: Rest):
    wait_row(rest, {"total": 0})
    rest.wait_state(rest.enqueue(FAILING, message="counted"), "error")
    newest = wait_row(rest, {"total": 1, "error": 1})
    rows = rest.data("GET", "queue/history")
    assert rows[0] == newest
    times = [created(row) for row in changes(rest)]
    # The default step is half an hour.
    assert len(rows) == len({int(when.timestamp()) // 1800 for when in times})

    minute = {
        "startDate": (created(newest) - timedelta(minutes=1)).isoformat(),
        "endDate": newest["created"],
        "perPage": 100,
    }
    fine = rest.data("GET", "queue/history", **minute, sort=1)
    assert fine[-1] == newest
    steps = [int(created(row).timestamp()) // 10 for row in fine]
    assert steps == sorted(set(steps))
    later = (created(newest) + timedelta(microseconds=1)).isoformat()
    assert newest not in rest.data("GET", "queue/history", startDate=later)
    assert "startDate" in rest.refused(
        400, "GET", "queue/history", json={"startDate": newest["created"], "endDate": "2020-01-01"}
    )


def test_the_live_counts(rest: Rest):
    with rest.stream("GET", "event") as stream:
        stream.wait(lambda frame: counts(frame.data) == {"total": 0}, what="an empty queue")
        job_id = rest.enqueue(SLEEPY, sleep=600)
        running = {"total": 1, "running": 1}
        stream.wait(lambda frame: counts(frame.data) == running, what="a running job")
        rest.kill(job_id)
        killed = {"total": 1, "killed": 1}
        stream.wait(lambda frame: counts(frame.data) == killed, what="a killed job")
        rest.remove(job_id)
        latest = stream.frames[-1].at
        stream.wait(
            lambda frame: frame.at > latest and frame.data["total"] == 0,
            what="an empty queue again",
        )
    assert {frame.event for frame in stream.frames} == {"summary"}
    for earlier, later in pairwise(stream.of("summary")):
        assert counts(earlier) != counts(later)
        assert created(later) - created(earlier) > timedelta(seconds=2.9)


def test_a_recorder_that_starts_anew_adds_nothing(rest: Rest, own_release: Release):
    rest.wait_state(rest.enqueue(FAILING, message="kept"), "error")
    wait_row(rest, {"total": 1, "error": 1})
    before = changes(rest)
    old = own_release.pod("api")
    own_release.kubectl("delete", "pod", old, timeout=180)
    polled(
        lambda: own_release.pod("api") != old,
        what="another pod",
        seconds=120,
        ignoring=(AssertionError,),
    )
    own_release.wait_ready()
    job_id = rest.enqueue(SLEEPY, sleep=600)
    rest.wait_state(job_id, "running")
    wait_row(rest, {"total": 2, "error": 1, "running": 1})
    rows = changes(rest)
    assert rows[-len(before) :] == before
    assert counts(rows[-len(before) - 1])["total"] == 2


def test_every_user_who_may_call_the_api_sees_the_counts(own_release: Release):
    for path in ("jobs/history", "queue/history"):
        with own_release.rest(CLERK, CLERK) as clerk:
            assert clerk.answer("GET", path)["total_count"] > 0
        with own_release.rest(GUEST, GUEST) as guest:
            guest.refused(403, "GET", path)
            guest.refused(403, "GET", "event")
        with own_release.rest(None) as nobody:
            nobody.refused(401, "GET", path)
