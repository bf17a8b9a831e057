"""Additions to the original's job document: its place in line, in numbers, with real pods."""

from typing import Any

import pytest
from tests.support.jobs import FAILING, SEGMENT
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster


def test_waiting_jobs_say_their_places_in_line(rest: Rest):
    blocker = rest.enqueue(SEGMENT, segment=0, sleep=600, max_parallel=1)
    rest.wait_state(blocker, "running")
    assert rest.detail(blocker)["waiting"] is None
    jobs = [rest.enqueue(SEGMENT, segment=n, sleep=600, max_parallel=1) for n in (1, 2, 3)]
    for position, job_id in enumerate(jobs, 1):
        waiting = in_line(rest, job_id, position)["waiting"]
        assert (waiting["reason"], waiting["running"], waiting["limit"]) == ("MaxParallel", 1, 1)
        assert waiting["since"] is not None
        assert waiting["until"] is None

    rest.kill(jobs[0])
    assert rest.detail(jobs[0])["waiting"] is None
    for position, job_id in enumerate(jobs[1:], 1):
        in_line(rest, job_id, position)


def in_line(rest: Rest, job_id: str, position: int) -> dict[str, Any]:
    """Wait until a job has a place in line; return its document."""
    return rest.wait(
        job_id,
        lambda row: (row["waiting"] or {}).get("position") == position,
        what=f"is number {position} in line",
    )


def test_a_failed_job_says_until_when_it_waits(rest: Rest):
    job_id = rest.enqueue(FAILING, attempts=2, error_time=600, message="numbers")
    failed = rest.wait(job_id, lambda row: row["reason"] == "RetryLater", what="waits")
    assert failed["waiting"]["reason"] == "RetryLater"
    assert failed["waiting"]["until"] == failed["query_at"]
    assert failed["waiting"]["position"] is None
