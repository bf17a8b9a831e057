"""When the status of a waiting job is reported: at once, or later if it still lasts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.domain.builders import (
    NOW,
    at,
    at_text,
    condition,
    corejob,
    waiting,
)
from tests.unit.operator.builders import (
    BUSY,
    DELETED,
    DISRUPTED,
    FAILED,
    child,
    decided,
    has_ended,
    its_pod,
    runs,
    starts,
    waits,
)

from corejob import timestamps
from corejob.model import CoreJob
from corejob.state import WAITING, State
from corejob_operator.decide.waiting import (
    ARRIVALS_REPORTED_AT_ONCE,
    REPORT_AFTER,
    WAIT_REPORT_LATEST,
)


def test_each_of_many_new_jobs_in_line_is_reported_later() -> None:
    new = corejob()
    assert not decided(new, turn=BUSY, now=new.created, arrivals=ARRIVALS_REPORTED_AT_ONCE).quiet
    for more, later in ((1, timedelta(seconds=0.05)), (100, timedelta(seconds=5))):
        arrivals = ARRIVALS_REPORTED_AT_ONCE + more
        decision = decided(new, turn=BUSY, now=new.created, arrivals=arrivals)
        assert (decision.quiet, decision.queue) == (True, "waits")
        assert decision.requeue_at == new.created + later
        assert not decided(new, turn=BUSY, now=new.created + later, arrivals=arrivals).quiet

    latest = new.created + WAIT_REPORT_LATEST
    assert decided(new, turn=BUSY, now=new.created, arrivals=9999).requeue_at == latest


@pytest.mark.parametrize(
    "job",
    [
        waits(),
        corejob(metadata={"name": "by-kubectl"}),
        corejob(kill=True),
        corejob(remove=True),
    ],
    ids=["reported", "by kubectl", "killed", "removed"],
)
def test_a_job_that_does_more_than_wait_in_line_is_reported_at_once(job: CoreJob) -> None:
    assert not decided(job, turn=BUSY, now=job.created, arrivals=9999).quiet


def test_a_job_that_does_not_wait_in_line_is_reported_at_once() -> None:
    assert not decided(corejob(), has_template=False, now=NOW, arrivals=9999).quiet


def test_a_start_without_problems_is_not_reported_at_first() -> None:
    assert decided(waits()).quiet
    young = {**starts(), "jobs": [child(created=NOW)]}
    for situation in (young, {"jobs": young["jobs"]}):
        decision = decided(waits(), **situation)
        assert (decision.quiet, decision.queue) == (True, "active")
        assert decision.requeue_at == NOW + REPORT_AFTER


def test_each_of_many_starts_is_reported_later() -> None:
    young = {**starts(), "jobs": [child(created=NOW)]}
    for starting, later in ((20, timedelta(seconds=5)), (300, timedelta(seconds=28))):
        decision = decided(waits(), **young, starting=starting)
        assert decision.quiet
        assert decision.requeue_at == NOW + REPORT_AFTER + later

    late = decided(waits(), jobs=[child(created=NOW - timedelta(seconds=30))], starting=300)
    assert not late.quiet


def test_a_start_that_lasts_is_reported_with_the_time_of_its_request() -> None:
    created = NOW - REPORT_AFTER
    decision = decided(waits(), jobs=[child(created=created)])

    assert not decision.quiet
    assert (decision.status.reason, decision.status.message) == ("Starting", "waiting for the pod")
    assert decision.status.starting_time == created


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        ({"state": waiting("ErrImagePull", "no such image")}, "ImagePull"),
        ({"state": waiting("CreateContainerError", "no")}, "ContainerError"),
        (
            {"conditions": [condition("PodScheduled", "Unschedulable", "no node", status="False")]},
            "Unschedulable",
        ),
        ({"deleting": True}, "PodDeleted"),
    ],
)
def test_a_problem_is_reported_at_once(pod: dict[str, Any], reason: str) -> None:
    decision = decided(waits(), **{**starts(**pod), "jobs": [child(created=NOW)]})

    assert (decision.quiet, decision.status.reason) == (False, reason)
    assert decision.status.starting_time == NOW


def test_a_pod_whose_job_is_gone_is_reported_at_once() -> None:
    """When the pod is gone too, its Job was deleted by somebody else."""
    decision = decided(waits(), pods=[its_pod(phase="Pending")])

    assert (decision.quiet, decision.status.reason) == (False, "Starting")


def test_a_start_after_a_disruption_is_reported_at_once() -> None:
    """Otherwise the reason of the last disruption would seem to be that of the new pod."""
    job = waits(status={"reason": "Evicted", "disruptions": 1})

    assert not decided(job).quiet
    assert not decided(job, jobs=[child(created=NOW)]).quiet


BEGUN: list[dict[str, Any]] = [
    starts(state=waiting("ErrImagePull", "no such image")),
    starts(state=waiting("InvalidImageName", "what?")),
    starts(deleting=True),
    starts(conditions=DISRUPTED, deleting=True),
    {"jobs": [child()]},
    {"jobs": [child(conditions=FAILED)]},
    {"jobs": [child(conditions=[condition("Complete")])]},
    {"jobs": [child(suspended=True)]},
    runs(),
    *(has_ended(code=code) for code in (0, 1, 75, 78, 137, 143)),
]


@pytest.mark.parametrize("situation", BEGUN)
@pytest.mark.parametrize("how", [{}, {"kill": True}, {"remove": True}, {"metadata": DELETED}])
@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_start_that_was_not_reported_has_the_same_future(
    state: State, how: dict[str, Any], situation: dict[str, Any]
) -> None:
    """The Job tells what the status would, also to a new operator."""
    before = {"trial": 0, "queryTime": at_text(-70)}
    (job,) = situation["jobs"]
    reported = {"reason": "Starting", "startingTime": timestamps.render(job.created)}

    silent = decided(waits(state, status=before, **how), **situation)
    told = decided(waits(state, status=before | reported, **how), **situation)
    assert replace(silent, status=told.status) == told
    fields = ("starting_time", "reason", "waiting")
    of_told: dict[str, Any] = {name: getattr(told.status, name) for name in fields}
    assert replace(silent.status, **of_told) == told.status


def test_a_start_that_follows_a_restart_is_reported_at_once() -> None:
    """Otherwise a kill would seem to come before the restart, and the job would run again."""
    job = waits(State.FAILED, restartAt=at_text(-6), status={"queryTime": at_text(50)})
    for jobs in ([], [child(2, created=NOW)]):
        decision = decided(job, jobs=jobs)
        assert not decision.quiet
        assert (decision.status.restart_time, decision.status.query_time) == (at(-6), None)
