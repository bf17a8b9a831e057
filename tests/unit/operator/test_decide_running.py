"""Decisions about a running job: its end, a kill, a removal, and the flags of slow ones."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ID, NOW, at, at_text, condition, ended, running, started
from tests.unit.operator.builders import (
    DELETED,
    FAILED,
    child,
    decided,
    has_ended,
    its_pod,
    runs,
)

from corejob.model import CoreJob
from corejob.state import State
from corejob_operator.decide import DeleteJob, DeletePod

POD = DeletePod(f"{ID}-1-x7k2p", f"uid-{ID}-1-x7k2p")
FOLLOWED = {"log": {"trial": 1}}


def with_status(job: CoreJob, decision: Any) -> CoreJob:
    return replace(job, status=decision.status)


# --- it runs --------------------------------------------------------------------------------


def test_nothing_to_do_while_it_runs() -> None:
    decision = decided(running(zombieTimeSeconds=10**9), **runs())

    assert decision.actions == ()
    assert (decision.status.state, decision.queue) == (State.RUNNING, "active")
    assert decision.status.node == "node-1"


def test_a_restart_of_a_running_job_is_noted_but_not_followed() -> None:
    """As by REST, which answers 409. If the job is marked killed, the restart counts."""
    noted = decided(running(restartAt=at_text(-1)), **runs()).status
    assert noted.restart_time == at(-1)
    killed = decided(running(restartAt=at_text(-1), kill=True), **runs()).status
    assert killed.restart_time is None


def test_a_restart_is_followed_though_its_trial_ended_before_the_reconcile() -> None:
    """The restart was requested for a failed job, just before its next trial was seen to run."""
    ends = decided(running(restartAt=at_text(-1)), **has_ended(code=1)).status
    assert (ends.state, ends.restart_time) == (State.ERROR, at(-1))


def test_it_is_not_taken_back_while_its_pod_is_out_of_sight() -> None:
    job = running()
    decision = decided(job, jobs=[child()])

    assert decision.status == job.status
    assert decision.queue == "active"


# --- it ends --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "attempts", "state", "left"),
    [
        (0, 2, State.COMPLETE, 2),
        (1, 2, State.FAILED, 1),
        (1, 1, State.ERROR, 0),
        (75, 2, State.DEFERRED, 2),
        (137, 2, State.FAILED, 1),
        (143, 2, State.FAILED, 1),
    ],
)
def test_the_exit_code_decides(code: int, attempts: int, state: State, left: int) -> None:
    decision = decided(
        running(attempts=attempts, status={"attemptsLeft": attempts}), **has_ended(code=code)
    )

    assert (decision.status.state, decision.status.attempts_left) == (state, left)
    assert decision.queue == "absent"
    assert decision.status.end_time == at(-3)


def test_a_failure_waits_from_its_end_on() -> None:
    """The end may be up to a second later than the kubelet's time, but is never in the future."""
    job = running(attempts=2, errorTimeSeconds=30, status={"attemptsLeft": 2})

    assert decided(job, now=at(20), **has_ended(code=1)).status.query_time == at(28)


def test_a_deferral_waits_from_its_end_on() -> None:
    assert decided(running(deferTimeSeconds=30), **has_ended(code=75)).status.query_time == at(28)


@pytest.mark.parametrize("reason", ["EvictionByEvictionAPI", "DeletionByTaintManager"])
def test_a_disruption_costs_no_attempt(reason: str) -> None:
    disrupted = its_pod(
        state=ended(137), phase="Failed", conditions=[condition("DisruptionTarget", reason)]
    )
    decision = decided(running(status={"attemptsLeft": 1}), jobs=[child()], pods=[disrupted])

    assert (decision.status.state, decision.status.attempts_left) == (State.PENDING, 1)
    assert decision.status.reason in {"Evicted", "NodeLost"}
    assert decision.status.query_time is None


def test_the_reason_of_a_disruption_outlives_its_pod() -> None:
    eviction = condition("DisruptionTarget", "EvictionByEvictionAPI", "drained")
    job = running()
    goes = decided(job, **runs(deleting=True, conditions=[eviction]))
    told = ("Evicted", "EvictionByEvictionAPI: drained")
    assert (goes.status.state, goes.status.reason, goes.status.message) == (State.RUNNING, *told)

    failed = child(conditions=[condition("Failed", "PodFailurePolicy", "rule 0")])
    gone = decided(with_status(job, goes), jobs=[failed]).status
    assert (gone.state, gone.reason, gone.message) == (State.PENDING, *told)
    unseen = decided(job, jobs=[failed]).status
    assert (unseen.state, unseen.reason, unseen.message) == (State.PENDING, "Evicted", "rule 0")


@pytest.mark.parametrize(
    ("jobs", "pods", "reason"),
    [
        ([], [], "JobDeleted"),
        ([child(conditions=FAILED)], [], "PodDeleted"),
        ([child()], [its_pod(state=ended(143), phase="Failed", deleting=True)], "PodDeleted"),
        ([], [its_pod(state=ended(137), phase="Failed", deleting=True)], "JobDeleted"),
    ],
)
def test_a_pod_or_job_deleted_by_somebody_else_kills_it(
    jobs: list[Any], pods: list[Any], reason: str
) -> None:
    status = decided(running(attempts=3, status={"attemptsLeft": 3}), jobs=jobs, pods=pods).status

    assert (status.state, status.reason) == (State.KILLED, reason)
    assert (status.killed_time, status.attempts_left) == (None, 3)
    assert status.last_error is not None
    assert status.last_error["exception"] == "JobKilledByWorker"


def test_a_complete_job_without_a_pod_is_complete() -> None:
    done = child(conditions=[condition("Complete")])

    assert decided(running(), jobs=[done]).status.state is State.COMPLETE


def test_only_its_own_trial_counts() -> None:
    old = has_ended(1, code=0)
    new = runs(2)
    job = running(zombieTimeSeconds=10**9, status={"trial": 2, "log": {"trial": 1}})
    decision = decided(job, jobs=old["jobs"] + new["jobs"], pods=old["pods"] + new["pods"])

    assert decision.status.state is State.RUNNING


# --- kill -----------------------------------------------------------------------------------


def test_a_kill_deletes_the_pod_that_is_being_read() -> None:
    decision = decided(running(kill=True, status=FOLLOWED), **runs())

    assert decision.actions == (POD,)
    assert (decision.status.state, decision.status.reason) == (State.RUNNING, "Terminating")
    assert decision.status.killed_time == NOW
    assert decision.queue == "active"


def test_a_kill_waits_for_the_reader_but_not_for_ever() -> None:
    job = running(kill=True)
    first = decided(job, attach_wait=5, **runs())
    assert first.actions == ()
    assert (first.status.killed_time, first.requeue_at) == (NOW, at(5))

    job = with_status(job, first)
    second = decided(job, attach_wait=5, now=at(4.9), **runs())
    assert (second.actions, second.requeue_at) == ((), at(5))

    last = decided(with_status(job, second), attach_wait=5, now=at(5), **runs())
    assert last.actions == (POD,)
    assert last.status.message is not None
    assert "its last lines may be missing" in last.status.message
    assert last.status.killed_time == NOW


def test_the_reader_of_the_trial_before_is_not_meant() -> None:
    job = running(kill=True, status={"trial": 2, "log": {"trial": 1, "complete": True}})

    assert decided(job, **runs(2)).actions == ()


def test_a_pod_that_is_going_is_not_deleted_again() -> None:
    job = running(kill=True, status=FOLLOWED)
    going = its_pod(state=started(), deleting=True)
    decision = decided(job, jobs=[child()], pods=[going])

    assert decision.actions == ()
    assert decision.status.reason == "Terminating"


@pytest.mark.parametrize("code", [0, 1, 75, 143])
def test_whatever_a_killed_trial_ends_with_it_is_killed(code: int) -> None:
    job = running(kill=True, attempts=2, status={"killedTime": at_text(-4), "attemptsLeft": 2})
    status = decided(job, **has_ended(code=code)).status

    assert (status.state, status.reason, status.killed_time) == (State.KILLED, "Killed", at(-4))
    assert status.attempts_left == 2


def test_a_kill_ends_when_the_pod_is_gone_altogether() -> None:
    status = decided(running(kill=True, status={"killedTime": at_text(-4)})).status

    assert (status.state, status.killed_time) == (State.KILLED, at(-4))


# --- remove and delete ----------------------------------------------------------------------


def test_a_removed_job_runs_to_its_end() -> None:
    job = running(remove=True, zombieTimeSeconds=10**9, status=FOLLOWED)
    decision = decided(job, **runs())
    assert (decision.actions, decision.status.removed_time) == ((), NOW)
    assert decision.status.state is State.RUNNING
    assert with_status(job, decision).in_queue

    job = with_status(job, decision)
    after = with_status(job, decided(job, now=at(60), **has_ended(code=0)))
    assert (after.status.state, after.status.removed_time) == (State.COMPLETE, NOW)
    assert after.archivable


def test_a_removed_job_that_fails_is_not_tried_again() -> None:
    job = running(remove=True, attempts=3, status={"attemptsLeft": 3})
    job = with_status(job, decided(job, **has_ended(code=1)))
    assert (job.status.state, job.archivable) == (State.FAILED, True)

    decision = decided(job, now=at(10**6))
    assert (decision.actions, decision.queue) == ((), "absent")
    assert decision.status.state is State.FAILED


def test_a_removed_job_that_fails_right_after_its_kill_is_killed() -> None:
    """The kill was accepted, and clients see it."""
    job = running(remove=True, attempts=3, status={"attemptsLeft": 3})
    job = with_status(job, decided(job, **has_ended(code=1)))
    job = replace(job, spec={**job.spec, "kill": True})
    assert (job.status.state, job.state) == (State.FAILED, State.KILLED)

    decision = decided(job, now=at(60))
    assert (decision.status.state, decision.status.killed_time) == (State.KILLED, at(60))
    assert with_status(job, decision).archivable


def test_deleting_the_resource_stops_the_trial() -> None:
    job = running(metadata=DELETED, status=FOLLOWED)
    decision = decided(job, **runs())
    assert decision.actions == (POD,)
    assert (decision.status.killed_time, decision.status.removed_time) == (None, NOW)

    status = decided(with_status(job, decision), **has_ended(code=143)).status
    assert (status.state, status.reason, status.killed_time) == (State.KILLED, "Killed", None)
    assert status.message == "the CoreJob was deleted"


def test_a_deleted_job_waits_for_the_reader_from_its_deletion_on() -> None:
    job = running(metadata=DELETED)

    assert decided(job, attach_wait=5, now=at(3), **runs()).requeue_at == at(4)
    assert decided(job, attach_wait=5, now=at(4), **runs()).actions == (POD,)


# --- flags ----------------------------------------------------------------------------------


def test_it_is_flagged_nonstop_once_and_runs_on() -> None:
    job = running(wallTimeSeconds=30, zombieTimeSeconds=10**6)
    early = decided(job, now=at(19), **runs())
    assert (early.status.nonstop_time, early.requeue_at) == (None, at(20))

    flagged = decided(job, now=at(20), **runs())
    assert (flagged.status.nonstop_time, flagged.actions) == (at(20), ())
    assert flagged.status.state is State.RUNNING
    later = decided(with_status(job, flagged), now=at(99), **runs())
    assert later.status.nonstop_time == at(20)


def test_without_a_wall_time_nothing_is_flagged_nonstop() -> None:
    assert decided(running(), now=at(10**6), **runs()).status.nonstop_time is None


def test_it_is_flagged_zombie_when_it_says_nothing_for_long() -> None:
    job = running(zombieTimeSeconds=60)
    assert decided(job, now=at(49), **runs()).requeue_at == at(50)

    flagged = decided(job, now=at(50), **runs())
    assert (flagged.status.zombie_time, flagged.status.state) == (at(50), State.RUNNING)
    assert decided(with_status(job, flagged), now=at(99), **runs()).status.zombie_time == at(50)


def test_progress_is_a_sign_of_life() -> None:
    told = {"progress": {"value": 0.5, "time": at_text(30)}}
    job = running(zombieTimeSeconds=60, status=told)

    decision = decided(job, now=at(60), **runs())
    assert (decision.status.zombie_time, decision.requeue_at) == (None, at(90))
    assert decided(job, now=at(90), **runs()).status.zombie_time == at(90)


def test_progress_of_the_trial_before_does_not_count() -> None:
    told = {"progress": {"value": 0.5, "time": at_text(-100)}}

    assert decided(running(zombieTimeSeconds=60, status=told), **runs()).requeue_at == at(50)


def test_the_earlier_of_both_times_requeues_it() -> None:
    job = running(wallTimeSeconds=30, zombieTimeSeconds=15)

    assert decided(job, **runs()).requeue_at == at(5)


# --- deletion of the trial before -------------------------------------------------------------


def test_the_job_of_the_trial_before_is_deleted_once_its_log_is_stored() -> None:
    old = has_ended(1, code=1)
    new = runs(2)
    both: dict[str, Any] = {"jobs": old["jobs"] + new["jobs"], "pods": old["pods"] + new["pods"]}
    times = {"trial": 2, "endTime": at_text(-20)}

    kept = decided(running(status={**times, "log": {"trial": 1, "complete": True}}), **both)
    assert kept.actions == (DeleteJob(f"{ID}-1", f"uid-{ID}-1"),)
    followed = decided(running(status={**times, "log": {"trial": 1}}), log_deadline=600, **both)
    assert followed.actions == ()
    overtaken = decided(running(status={**times, "log": {"trial": 2}}), log_deadline=600, **both)
    assert overtaken.actions == ()  # the log of a later trial says nothing about this one
    settled = decided(running(status={**times, "log": {"trial": 2, "complete": True}}), **both)
    assert settled.actions == (DeleteJob(f"{ID}-1", f"uid-{ID}-1"),)
    too_late = decided(running(status={**times, "log": {"trial": 1}}), log_deadline=20, **both)
    assert too_late.actions == (DeleteJob(f"{ID}-1", f"uid-{ID}-1"),)
