"""Jobs that have come into line lately."""

from datetime import timedelta

from tests.unit.domain.builders import NOW

from corejob_operator.arrivals import WINDOW, Arrivals


def test_each_is_counted_once_for_ten_seconds() -> None:
    arrivals = Arrivals()
    assert arrivals.count(NOW) == 0
    for second in range(20):
        for _ in range(2):
            arrivals.note(f"job {second}", NOW + timedelta(seconds=second))
    last = NOW + timedelta(seconds=19)

    assert arrivals.count(last) == 10
    assert arrivals.count(last + WINDOW - timedelta(seconds=1)) == 1
    assert arrivals.count(last + WINDOW) == 0
    arrivals.note("job 19", last + WINDOW)
    assert arrivals.count(last + WINDOW) == 1
