"""The API server's work for enqueued jobs ends after the operator's reports, not with the round."""

import pytest
from tests.bench.posts import Round


def test_the_processor_time_of_a_round_with_its_reports():
    done = Round(seconds=2.0, delays=[0.1] * 10, cpu=(1.0, 3.0), later=0.5)
    assert done.rate == pytest.approx(5.0)
    assert done.whole == pytest.approx(3.5)


def test_a_raw_create_has_no_reports():
    assert Round(seconds=1.0, delays=[0.1], cpu=(0.0, 3.0)).whole == pytest.approx(3.0)
