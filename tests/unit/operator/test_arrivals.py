"""Jobs that have come into line lately."""

from datetime import timedelta

from tests.unit.domain.builders import NOW, at_text, corejob

from corejob.model import CoreJob
from corejob_operator.arrivals import WINDOW, Arrivals


def created(second: int) -> CoreJob:
    return corejob(metadata={"name": f"job-{second}", "creationTimestamp": at_text(second)})


def test_each_is_counted_once_for_ten_seconds() -> None:
    arrivals = Arrivals()
    assert arrivals.count(NOW) == 0
    for second in range(20):
        for _ in range(2):
            arrivals.note(created(second), NOW + timedelta(seconds=second))
    last = NOW + timedelta(seconds=19)

    assert arrivals.count(last) == 10
    assert arrivals.count(last + WINDOW - timedelta(seconds=1)) == 1
    assert arrivals.count(last + WINDOW) == 0


def test_one_that_still_waits_is_not_counted_again() -> None:
    arrivals = Arrivals()
    arrivals.note(created(0), NOW + timedelta(seconds=1))
    for second in (1, 9, 10, 11, 30):
        arrivals.note(created(0), NOW + timedelta(seconds=second))
        assert arrivals.count(NOW + timedelta(seconds=second)) == (second < 11)
