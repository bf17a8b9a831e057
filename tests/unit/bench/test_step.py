"""The figures of recorder and raw tail have the same bases."""

import pytest
from tests.bench.step import Cost, Seen, ratio, raw_tail, recorder, steady_since

COST = Cost(cpu=2.0, mib=50.04)


def job(behind=((12.0, 0.5),), stored=25.0):
    return Seen("pod", behind=list(behind), first=10.0, last=20.0, stored=stored, complete=30.0)


def tail(behind=((9.0, 1.0), (14.0, 0.1), (20.0, 5.0)), lines=150):
    return {"lines": lines, "number": 160, "ended": 22.0, "behind": [list(each) for each in behind]}


def test_lines_a_second_last_until_the_last_one_was_stored_or_has_arrived():
    assert recorder([job()], [11.0], COST, lines=150)["lines/s"] == 10
    assert raw_tail([job()], [tail()], [11.0], COST, lines=150)["lines/s"] == 10


def test_each_pod_adds_its_own_lines_a_second():
    jobs = [job(), job(stored=20.0)]
    assert recorder(jobs, [11.0, 11.0], COST, lines=300)["lines/s"] == 10 + 15


def test_costs_are_those_of_a_line_and_of_the_time_from_the_first_line_to_the_complete_log():
    found = recorder([job()], [11.0], COST, lines=150)
    assert (found["us/line"], found["cores"], found["MiB"]) == (13333.3, 0.1, 50.0)
    base = raw_tail([job()], [tail()], [11.0], COST, lines=150)
    assert [base[name] for name in ("us/line", "cores", "MiB")] == [13333.3, 0.1, 50.0]


def test_a_tail_has_caught_up_a_second_after_its_first_chunk():
    assert steady_since([tail(), tail(behind=[(9.0, 3.0)])]) == [11.0, 13.0]


def test_delays_are_of_lines_written_after_the_catching_up_and_before_the_last_line():
    found = raw_tail([job()], [tail()], [11.0], COST, lines=150)
    assert (found["p50 ms"], found["p99 ms"]) == (100.0, 100.0)
    delays = ((11.0, 9.0), (12.0, 0.2), (13.0, 0.4), (20.0, 9.0))
    found = recorder([job(delays)], [11.0], COST, lines=150)
    assert (found["p50 ms"], found["p99 ms"]) == (200.0, 400.0)


def test_too_short_a_step_says_so():
    with pytest.raises(AssertionError, match="--seconds"):
        raw_tail([job()], [tail()], [20.0], COST, lines=150)


def test_the_end_and_the_lost_lines_of_a_tail():
    found = raw_tail([job()], [tail()], [11.0], COST, lines=150)
    assert (found["end ms"], found["lost"]) == (2000.0, 10)
    assert recorder([job()], [11.0], COST, lines=150)["end ms"] == 10000.0


def test_ratios_are_of_figures_only():
    ours = {"name": "a", "rate": 10, "MiB": 3.0, "lost": 1, "cores": 1.0, "bytes/line": 1}
    base = {"name": "b", "rate": 10, "MiB": 2.0, "lost": 1, "cores": 0.0}
    assert ratio(ours, base) == {"MiB": "x1.50"}
