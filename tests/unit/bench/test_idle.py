"""The processor time of idle processes, which is subtracted from that of a run."""

import pytest
from tests.bench.idle import lower, net


def test_the_lower_sample_of_each_process_counts():
    assert lower({"api": 0.3, "etcd": 0.1}, {"api": 0.1, "etcd": 0.2}) == {"api": 0.1, "etcd": 0.1}


def test_a_process_that_was_not_measured_before_has_its_later_sample():
    assert lower({"kwok": 0.1}, {"argo": 0.2}) == {"argo": 0.2}


def test_the_idle_part_is_subtracted_and_a_wrong_one_is_seen():
    spent = {"api": 5.0, "etcd": 1.0}
    assert net(spent, {"api": 0.1, "etcd": 0.2}, 10) == pytest.approx({"api": 4.0, "etcd": -1.0})
