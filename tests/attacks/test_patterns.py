"""Patterns, filters and sorts delay no other request, however costly they are."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from tests.attacks.scripts import SECONDS, run, run_to_end
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
# A probe's answer may take longer during an attack. It took 28 s on a quiet machine when searches
# still blocked other requests.
MOST_SECONDS = 15.0


def slowest(rest: Rest, path: str, *searches: dict[str, str]) -> float:
    """Return how long the slowest search took, in seconds; each is refused or finds nothing."""
    longest = 0.0
    for params in searches:
        asked = time.monotonic()
        answer = rest.call("GET", path, params=params, timeout=SECONDS)
        longest = max(longest, time.monotonic() - asked)
        assert answer.status_code in {200, 400}, answer.text
        assert answer.status_code == 400 or answer.json()["data"] == []
    return longest


def check_others_go_on(release: Release, rest: Rest, path: str, *searches: dict[str, str]) -> None:
    """Check that no probe of the service waits for the end of a search."""
    longest = 0.0
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(slowest, rest, path, *searches)
        while True:
            over = job.done()
            asked = time.monotonic()
            assert requests.get(f"{release.health}/healthz", timeout=SECONDS).status_code == 200
            longest = max(longest, time.monotonic() - asked)
            if over:
                break
    # A busy machine delays both. A probe that is blocked is answered only after the search.
    assert longest < max(MOST_SECONDS, job.result() / 2)


@pytest.mark.parametrize("number", [3, pytest.param(12, marks=pytest.mark.thorough)])
def test_a_pattern_over_long_lines_is_refused_or_lets_others_go_on(
    release: Release, rest: Rest, number: int
) -> None:
    job_id = run_to_end(rest, LONG.format(number=number))["_id"]
    rest.whole_log(job_id)
    path = f"job/log/{job_id}"
    assert "too costly" in rest.refused(400, "GET", path, params={"grep": COSTLY})
    patterns = (DEAR, "z{3}", "(a+)+z")
    check_others_go_on(release, rest, path, *({"grep": pattern} for pattern in patterns))


def test_filters_over_long_args_let_others_go_on(release: Release, rest: Rest) -> None:
    run(rest, "print('x')", text="ab" * 95_000, worker="no-such-node")
    conditions = [{"args.text": {"$regex": f"{DEAR}{n}"}} for n in range(6)]
    many = [{"args.text": {"$regex": f"z{n}$"}} for n in range(200)]
    filters = ({"filter": json.dumps({"$or": chosen})} for chosen in (conditions, many))
    check_others_go_on(release, rest, "job", *filters)


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
