"""Patterns, filters and sorts delay no other request, however costly they are."""

import concurrent.futures
import json
import time

import pytest
import requests
from tests.attacks.scripts import run, run_to_end
from tests.support.release import Release
from tests.support.rest import Rest

COSTLY = "(a|b)*a(a|b){500}c"
DEAR = "[ab]*a[ab]{20}z"
LONG = """
import random
random.seed(1)
for n in range({number}):
    print("".join(random.choices("ab", k=1_000_000)), flush=True)
"""
# A probe's answer may take longer during an attack and on a busy machine. It took 28 s on a quiet
# one when searches still blocked other requests.
MOST_SECONDS = 15.0


def longest_wait(release: Release, job: concurrent.futures.Future[None]) -> float:
    """Return how long the slowest probe took, in seconds, during an action."""
    longest = 0.0
    while True:
        over = job.done()
        asked = time.monotonic()
        assert requests.get(f"{release.health}/healthz", timeout=60).status_code == 200
        longest = max(longest, time.monotonic() - asked)
        if over:
            return longest


@pytest.mark.parametrize("number", [3, pytest.param(12, marks=pytest.mark.thorough)])
def test_a_pattern_over_long_lines_is_refused_or_lets_others_go_on(
    release: Release, rest: Rest, number: int
) -> None:
    job_id = run_to_end(rest, LONG.format(number=number))["_id"]
    rest.whole_log(job_id)
    path = f"job/log/{job_id}"
    assert "too costly" in rest.refused(400, "GET", path, params={"grep": COSTLY})

    def search() -> None:
        for pattern in (DEAR, "z{3}", "(a+)+z"):
            answer = rest.call("GET", path, params={"grep": pattern}, timeout=120)
            assert answer.status_code in {200, 400}, answer.text
            assert answer.status_code == 400 or answer.json()["data"] == []

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert longest_wait(release, pool.submit(search)) < MOST_SECONDS


def test_filters_over_long_args_let_others_go_on(release: Release, rest: Rest) -> None:
    run(rest, "print('x')", text="ab" * 95_000, worker="no-such-node")
    conditions = [{"args.text": {"$regex": f"{DEAR}{n}"}} for n in range(6)]
    many = [{"args.text": {"$regex": f"z{n}$"}} for n in range(200)]

    def search() -> None:
        for chosen in (conditions, many):
            answer = rest.call(
                "GET", "job", params={"filter": json.dumps({"$or": chosen})}, timeout=120
            )
            assert answer.status_code in {200, 400}, answer.text

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert longest_wait(release, pool.submit(search)) < MOST_SECONDS


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        (200_000, 400),
        pytest.param(40, 400, marks=pytest.mark.thorough),
        pytest.param(450_000, 413, marks=pytest.mark.thorough),
    ],
)
def test_a_sort_by_an_endless_path_is_refused(rest: Rest, parts: int, status: int) -> None:
    job_id = run_to_end(rest, "for n in range(500): print(n)")["_id"]
    endless = ".".join("a" * parts)
    for path in (f"job/log/{job_id}", "job"):
        assert len(rest.refused(status, "GET", path, json={"sort": [[endless, 1]]})) < 2000
