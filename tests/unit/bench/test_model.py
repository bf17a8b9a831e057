"""The model of docs/scaling.md: the resource that is used up first limits the jobs."""

import json

import pytest
from tests.bench.model import DEFAULT_CONTROLLER_CALLS, Capacity, Costs, predict
from tests.bench.report import FIGURES
from tests.bench.validation import checks, costs, steady

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


def test_a_rate_without_costs_has_no_limit():
    assert predict(Costs({}), Capacity(1)).rate == float("inf")


FIGURE = json.loads(FIGURES.read_text(encoding="utf-8"))


def test_no_burst_is_faster_than_the_model_allows():
    # Processor time is measured in ticks, and the idle part of it is estimated.
    assert all(check.ratio <= 1.1 for check in checks(FIGURE)), list(checks(FIGURE))


def test_the_longest_burst_is_near_to_the_model():
    assert all(check.ratio >= 0.7 for check in steady(FIGURE)), steady(FIGURE)


def figures(*sizes, load=0.5, stolen=0.01):
    cost = {"writes": 20, "job controller": 5, "operator ms": 100.0, "gone/s": 9.0}
    rows = [{"name": f"{size} jobs: core4", "size": size, **cost} for size in sizes]
    # Ratios have a size, but no costs.
    rows += [{"name": "  core4 / raw Jobs", "size": sizes[-1], "jobs/s": "x0.90"}]
    sitting = {"taken": "", "commit": "", "load_before": load, "stolen": stolen}
    sitting["of"] = list(sizes)
    return {"machine": {"cpus": 2}, "burst": {"rows": rows, "sittings": [sitting]}}


def test_only_the_longest_burst_has_to_be_near_to_the_model():
    (check,) = steady(figures(300, 10_000))
    assert check.size == 10_000
    assert check.ratio == pytest.approx(0.9)


@pytest.mark.parametrize(
    "found",
    [
        figures(300, 1000),
        figures(10_000, load=2.0),
        figures(10_000, stolen=0.1),
        {"machine": {"cpus": 2}},
    ],
    ids=["short", "on a busy machine", "on a busy host", "not measured"],
)
def test_a_burst_that_the_model_says_little_about(found):
    assert steady(found) == []


def test_no_process_gives_processor_time_back():
    row = {"writes": 1, "job controller": 0, "api ms": -0.2, "operator ms": 4.0}
    assert costs(row).cpu == {"api": 0.0, "operator": 0.004}
