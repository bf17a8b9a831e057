"""Percentiles by the nearest rank: of few values, a high one is the maximum."""

import pytest
from tests.bench.figures import percentile, spread
from tests.bench.starts import shares


@pytest.mark.parametrize(
    ("count", "share", "value"), [(30, 0.5, 15), (30, 0.9, 27), (30, 0.99, 30), (100, 0.99, 99)]
)
def test_percentiles(count, share, value):
    assert percentile(range(count, 0, -1), share) == value


@pytest.mark.parametrize("rounds", [10, 30, 99, 100, 500])
def test_no_percentile_of_starts_is_the_slowest_one(rounds):
    assert all(percentile(range(rounds), share) < rounds - 1 for share in shares(rounds))


def test_a_hundred_rounds_have_a_p99():
    assert shares(99) == (0.5, 0.9)
    assert shares(100) == (0.5, 0.9, 0.99)


def test_the_spread_is_shown_if_there_is_one():
    assert spread([0.5, 0.5]) == "0.50"
    assert spread([0.4, 0.5, 0.9]) == "0.50 (0.40 to 0.90)"
