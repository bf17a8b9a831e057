"""The model of docs/scaling.md: the resource that is used up first limits the jobs."""

import json

import pytest
from tests.bench.model import DEFAULT_CONTROLLER_CALLS, Capacity, Costs, predict
from tests.bench.report import FIGURES
from tests.bench.validation import checks

COSTS = Costs(
    {"operator": 0.01, "recorder": 0.005, "api": 0.004, "apiserver": 0.08, "etcd": 0.01},
    writes=20,
    controller_calls=5,
)


@pytest.mark.parametrize(
    ("capacity", "rate", "limit"),
    [
        (Capacity(2), 2 / 0.109, "cores"),
        (Capacity(100), 100, "operator"),
        (Capacity(100, operators=2), 200, "operator"),
        (Capacity(100, operators=100), 100 / 0.109, "cores"),
        (Capacity(2, controller_calls=DEFAULT_CONTROLLER_CALLS), 4, "job controller"),
        (Capacity(100, etcd_writes=400), 20, "etcd"),
    ],
)
def test_the_first_resource_that_is_used_up(capacity, rate, limit):
    prediction = predict(COSTS, capacity)
    assert prediction.rate == pytest.approx(rate)
    assert prediction.limit == limit


@pytest.mark.parametrize(
    ("name", "replicas"), [("recorder", {"recorders": 3}), ("api", {"api_replicas": 3})]
)
def test_replicas_share_the_jobs(name, replicas):
    costs = Costs({name: 0.1})
    assert predict(costs, Capacity(100)).rate == pytest.approx(10)
    assert predict(costs, Capacity(100, **replicas)).rate == pytest.approx(30)


def test_what_costs_nothing_has_no_limit():
    assert predict(Costs({}), Capacity(1)).rate == float("inf")


def test_no_burst_is_faster_than_the_model_allows_and_long_ones_are_near():
    found = list(checks(json.loads(FIGURES.read_text(encoding="utf-8"))))
    # Processor time is measured in ticks, and the idle part of it is estimated.
    assert all(check.ratio <= 1.1 for check in found), found
    longest = max((check.size for check in found), default=0)
    assert all(check.ratio >= 0.7 for check in found if check.size == longest), found
