"""A Job that is suspended: its trial waits, and goes on in it when it is resumed."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import (
    ID,
    NOW,
    at,
    at_text,
    batch_job,
    condition,
    ended,
    running,
    started,
    waiting,
)
from tests.unit.domain.test_trial_suspended import RESUMED, RESUMING, SUSPENDED, UNKNOWN, job_of
from tests.unit.operator.builders import child, decided, its_pod, waits
from tests.unit.operator.rig import Rig

from corejob.children import PodChild
from corejob.model import CoreJob
from corejob.state import State

UNSCHEDULABLE = condition("PodScheduled", "Unschedulable", "0/1 nodes", status="False")
OLD = f"{ID}-1-x7k2p"


def stopped(state: dict[str, Any], **more: Any) -> PodChild:
    """Return a pod that its suspension has stopped."""
    return its_pod(state=state, phase="Failed", deleting=True, created=at_text(-60), **more)


def next_pod(**more: Any) -> PodChild:
    """Return the pod that a resumed Job has made."""
    return replace(its_pod(created=at_text(-1), **more), name=f"{ID}-1-new", uid="uid-new")


# --- before its container ran -----------------------------------------------------------------


@pytest.mark.parametrize(
    "pod",
    [
        stopped(UNKNOWN),
        stopped(
            waiting("PodInitializing"),
            initContainerStatuses=[{"name": "prepare", "state": ended(143)}],
        ),
    ],
    ids=["created", "initialized"],
)
@pytest.mark.parametrize(
    "job",
    [
        waits(status={"reason": "Starting"}),
        waits(status={"reason": "Suspended", "message": "its Job is suspended"}),
        waits(State.FAILED, status={"trial": 0}),
    ],
    ids=["starts", "suspended", "failed"],
)
def test_a_trial_that_was_suspended_before_it_started_waits(pod: PodChild, job: CoreJob) -> None:
    decision = decided(job, jobs=[SUSPENDED], pods=[pod], created_trial=1)

    assert (decision.status.reason, decision.status.message) == (
        "Suspended",
        "its Job is suspended",
    )
    assert (decision.status.state, decision.status.starting_time) == (
        job.status.state,
        SUSPENDED.created,
    )
    assert (decision.actions, decision.queue) == ((), "active")
    assert decision.status.trial == 0


def test_it_goes_on_when_it_is_resumed() -> None:
    job = waits(status={"reason": "Suspended", "startingTime": at_text(-90)})
    still = decided(job, jobs=[RESUMED], pods=[stopped(UNKNOWN)])
    assert (still.status.reason, still.actions) == ("Suspended", ())

    starts = decided(job, jobs=[RESUMED], pods=[next_pod(phase="Pending")])
    assert (starts.status.state, starts.status.reason) == (State.PENDING, "Starting")
    runs = decided(job, jobs=[RESUMED], pods=[next_pod(state=started())])
    assert (runs.status.state, runs.status.trial) == (State.RUNNING, 1)


def test_a_resume_that_is_not_followed_yet_is_not_too_late() -> None:
    job = waits(status={"reason": "Suspended", "startingTime": at_text(-600)})
    decision = decided(job, jobs=[RESUMING], start_deadline=60)

    assert (decision.status.state, decision.status.reason) == (State.PENDING, "Suspended")


@pytest.mark.parametrize("how", ["kill", "remove"])
def test_it_is_killed_and_removed_as_any_waiting_job(how: str) -> None:
    request: dict[str, Any] = {how: True}
    job = waits(status={"reason": "Suspended"}, **request)
    status = decided(job, jobs=[SUSPENDED], pods=[stopped(UNKNOWN)]).status

    assert status.reason == ("Killed" if how == "kill" else "Removed")


async def test_a_job_that_is_suspended_while_its_pod_is_created(rig: Rig) -> None:
    rig.corejob("a", attempts=3)
    await rig.settle()
    rig.pod("a-1", waiting("ContainerCreating"), "Pending")
    await rig.settle()
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": True}})
    deleting = {"deletionTimestamp": at_text(10), "deletionGracePeriodSeconds": 10}
    rig.fake.change("pods", "a-1-x", {"metadata": {**deleting, "finalizers": ["a.b/c"]}})
    await rig.settle()
    status = {"phase": "Failed", "containerStatuses": [{"name": "job", "state": UNKNOWN}]}
    rig.fake.change("pods", "a-1-x", {"status": status})
    await rig.settle()

    assert (rig.status("a")["state"], rig.status("a")["reason"]) == ("pending", "Suspended")
    assert rig.fake.requested("DELETE", "jobs") == []


# --- resumed at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("others", [[], [next_pod(phase="Pending", conditions=[UNSCHEDULABLE])]])
@pytest.mark.parametrize("job", [RESUMED, RESUMING], ids=["resumed", "resuming"])
def test_a_run_that_was_stopped_before_the_resume_goes_on_later(
    job: Any, others: list[PodChild]
) -> None:
    recorded = running(attempts=3, status={"pod": OLD, "startTime": at_text(-10)})
    decision = decided(recorded, jobs=[job], pods=[stopped(ended(143)), *others])

    assert (decision.status.state, decision.status.reason) == (State.PENDING, "Suspended")
    assert decision.status.message == "its Job was suspended"
    assert (decision.status.end_time, decision.status.exit_code) == (at(-3), 143)
    assert (decision.status.attempts_left, decision.queue) == (3, "active")

    after = replace(recorded, status=decision.status)
    waits_again = decided(after, jobs=[job], pods=[stopped(ended(143)), *others]).status
    assert waits_again.state is State.PENDING
    if others:
        assert (waits_again.reason, waits_again.message) == ("Unschedulable", "0/1 nodes")


@pytest.mark.parametrize(
    ("pods", "then"),
    [
        ([], (State.PENDING, "Starting")),
        (
            [next_pod(phase="Pending", conditions=[UNSCHEDULABLE])],
            (State.PENDING, "Unschedulable"),
        ),
        ([next_pod(state=started())], (State.RUNNING, "Running")),
    ],
    ids=["none", "pending", "runs"],
)
def test_the_next_pod_is_not_that_of_the_run_before(
    pods: list[PodChild], then: tuple[State, str]
) -> None:
    """The old pod was stopped and removed unseen."""
    status = {"pod": OLD, "startTime": at_text(-10), "reason": "Terminating"}
    recorded = running(status=status)
    decision = decided(recorded, jobs=[RESUMED], pods=pods)

    assert (decision.status.state, decision.status.reason) == (State.PENDING, "Suspended")
    assert (decision.status.pod, decision.status.end_time) == (OLD, NOW)

    after = replace(recorded, status=decision.status)
    again = decided(after, jobs=[RESUMED], pods=pods).status
    assert (again.state, again.reason) == then


def test_the_last_state_of_the_run_before_tells_its_end() -> None:
    recorded = running(status={"pod": OLD})
    left = decided(recorded, jobs=[RESUMED], gone_pod=stopped(ended(143))).status
    assert (left.state, left.reason, left.end_time) == (State.PENDING, "Suspended", at(-3))

    done = decided(recorded, jobs=[RESUMED], gone_pod=stopped(ended(0))).status
    assert done.state is State.COMPLETE


def test_the_last_state_of_a_pod_before_the_run_tells_nothing() -> None:
    failed = batch_job(conditions=[condition("Failed", "BackoffLimitExceeded")])
    recorded = running(attempts=3, status={"pod": f"{ID}-1-new"})
    status = decided(recorded, jobs=[failed], gone_pod=stopped(ended(1))).status

    assert (status.state, status.reason) == (State.KILLED, "PodDeleted")


@pytest.mark.parametrize(
    "job",
    [child(), job_of(suspended="False", since=-20)],
    ids=["never suspended", "resumed before the run"],
)
def test_a_pod_out_of_sight_was_not_suspended(job: Any) -> None:
    recorded = running(status={"pod": OLD})

    assert decided(recorded, jobs=[job]).status.state is State.RUNNING


def test_a_kill_stops_the_next_pod_first() -> None:
    recorded = running(kill=True, status={"pod": OLD, "log": {"trial": 1}})
    stopping = decided(recorded, jobs=[RESUMED], pods=[next_pod(state=started())])

    assert (stopping.status.state, len(stopping.actions)) == (State.RUNNING, 1)


async def test_a_job_that_is_resumed_before_its_pod_has_ended(rig: Rig) -> None:
    rig.corejob("a", attempts=3)
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    suspended = {**condition("Suspended", "JobSuspended"), "lastTransitionTime": at_text(0)}
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": True}})
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [suspended]}})
    deleting = {"deletionTimestamp": at_text(10), "deletionGracePeriodSeconds": 10}
    rig.fake.change("pods", "a-1-x", {"metadata": {**deleting, "finalizers": ["a.b/c"]}})
    await rig.settle()
    resumed = {**suspended, "status": "False", "lastTransitionTime": at_text(2)}
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": False}})
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [resumed]}})
    status = {"phase": "Failed", "containerStatuses": [{"name": "job", "state": ended(143)}]}
    rig.fake.change("pods", "a-1-x", {"status": status})
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["reason"]) == ("pending", "Suspended")

    rig.fake.remove("pods", "a-1-x")
    rig.pod("a-1", started(), name="y")
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["pod"]) == ("running", "a-1-y")
    assert (rig.status("a")["trial"], rig.jobs()) == (1, ["a-1"])
