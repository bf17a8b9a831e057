"""The back-off: growing, bounded, and jittered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_process.backoff import Backoff, pause


@given(
    st.integers(0, 10**400),
    st.floats(0.001, 10.0),
    st.floats(10.0, 3600.0),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_no_count_of_failures_overflows_and_the_pause_stays_in_its_bounds(
    failures: int, first: float, most: float, chance: float
) -> None:
    assert first / 2 <= pause(failures, first, most, lambda: chance) <= most


def test_the_pause_doubles_up_to_its_limit() -> None:
    pauses = [pause(n, 0.1, 30.0, lambda: 1.0) for n in (1, 2, 3, 9, 10, 1025, 10_000)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 25.6, 30.0, 30.0, 30.0])


def test_those_who_failed_together_do_not_come_back_together() -> None:
    assert len({pause(5, 0.1, 30.0) for _ in range(100)}) > 90


def test_after_a_success_the_next_failure_is_the_first() -> None:
    backoff = Backoff(0.1, 30.0, draw=lambda: 1.0)
    for _ in range(2000):
        last = backoff.next()
    assert last == 30.0
    backoff.reset()
    assert backoff.next() == pytest.approx(0.1)
