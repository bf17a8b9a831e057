"""Decisions about a job in a final state: restart, deletion of its Jobs, and leaving the queue."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ID, NOW, at, at_text, corejob
from tests.unit.operator.builders import child, decided, has_ended

from corejob import ids
from corejob.model import CoreJob
from corejob.state import FINAL, STOPPED, State
from corejob_operator.decide import (
    CreateChild,
    DeleteCoreJob,
    DeleteJob,
    RemoveFinalizer,
    wanted_child,
)

CHILD = "6743cccccccccccccccccccc"
JOB = DeleteJob(f"{ID}-1", f"uid-{ID}-1")
LOGGED = {"log": {"trial": 1, "complete": True}}


def final(state: State = State.ERROR, **more: Any) -> CoreJob:
    times = {"startTime": at_text(-20), "endTime": at_text(-10), "finishTime": at_text(-10)}
    status = {"state": str(state), "trial": 1, "reason": "CodeError", **times}
    return corejob(status=status | more.pop("status", {}), **more)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_changes_by_itself(state: State) -> None:
    job = final(state)
    decision = decided(job)

    assert (decision.status, decision.actions) == (job.status, ())
    assert decision.queue == "absent"


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_kill_of_one_that_has_ended_changes_nothing(state: State) -> None:
    job = final(state, kill=True)

    assert decided(job).status == job.status


@pytest.mark.parametrize("state", sorted(STOPPED))
def test_a_stopped_one_is_removed_with_its_state(state: State) -> None:
    job = final(state, remove=True)
    removed = replace(job, status=decided(job).status)

    assert (removed.status.state, removed.status.removed_time) == (state, NOW)
    assert removed.archivable
    assert decided(removed, now=at(9)).status == removed.status


# --- restart --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(STOPPED))
def test_the_child_that_the_api_chose_is_made(state: State) -> None:
    decision = decided(final(state, childId=CHILD))

    assert decision.actions == (CreateChild(CHILD),)
    assert decision.status.child_id == CHILD
    assert decision.status.state is state


def test_a_child_is_made_once() -> None:
    assert decided(final(childId=CHILD, status={"childId": CHILD})).actions == ()


def test_kubectl_restarts_by_a_time_and_a_crash_makes_no_second_child() -> None:
    job = final(restartAt=at_text(-1))
    first, again = decided(job), decided(job, now=at(100))

    assert first.status.child_id is not None
    assert ids.is_id(first.status.child_id)
    assert first.actions == again.actions == (CreateChild(first.status.child_id),)
    assert decided(replace(job, status=first.status)).actions == ()


def test_a_restarted_job_is_not_restarted_again() -> None:
    assert decided(final(restartAt=at_text(-1), status={"childId": CHILD})).actions == ()


def test_a_restart_that_was_followed_already_is_over() -> None:
    """As of a failed job whose next trial, started by that restart, failed for good."""
    followed = {"restartTime": at_text(-11)}

    assert decided(final(restartAt=at_text(-11), status=followed)).actions == ()
    assert decided(final(restartAt=at_text(-1), status=followed)).actions != ()


def test_a_restart_that_was_followed_by_a_kill_makes_no_other_job() -> None:
    followed = {"restartTime": at_text(-15)}

    assert wanted_child(final(State.KILLED, kill=True, restartAt=at_text(-15))) is not None
    killed = final(State.KILLED, kill=True, restartAt=at_text(-15), status=followed)
    assert wanted_child(killed) is None


def test_a_job_killed_before_its_start_restarts() -> None:
    never = corejob(kill=True, restartAt=at_text(-1), status={"state": "killed"})

    assert wanted_child(never) is not None


def test_a_past_job_is_not_restarted() -> None:
    """It may be archived already, and then its document would never name the child."""
    removed = {"removedTime": at_text(-1)}

    assert wanted_child(final(remove=True, restartAt=at_text(-1), status=removed)) is None
    assert wanted_child(final(remove=True, restartAt=at_text(-1))) is not None


def test_a_complete_job_is_not_restarted() -> None:
    assert decided(final(State.COMPLETE, childId=CHILD)).actions == ()
    assert decided(final(State.COMPLETE, restartAt=at_text(0))).actions == ()


# --- its Jobs -------------------------------------------------------------------------------


def test_its_job_is_deleted_once_the_log_is_stored() -> None:
    decision = decided(final(status=LOGGED), **has_ended(code=1))

    assert decision.actions == (JOB,)


def test_its_job_waits_for_the_log_but_not_for_ever() -> None:
    waited = decided(final(), log_deadline=60, **has_ended(code=1))
    assert (waited.actions, waited.requeue_at) == ((), at(50))

    assert decided(final(), log_deadline=60, now=at(50), **has_ended(code=1)).actions == (JOB,)


def test_a_job_that_is_going_is_not_deleted_again() -> None:
    assert decided(final(status=LOGGED), jobs=[child(deleting=True)]).actions == ()


def test_a_trial_that_never_ran_has_no_log_to_wait_for() -> None:
    job = final(status={"trial": 0})

    assert decided(job, jobs=[child()]).actions == (JOB,)


def test_the_end_is_written_before_its_job_is_deleted() -> None:
    job = corejob(status={"state": "running", "trial": 1, **LOGGED})
    decision = decided(job, **has_ended(code=0))

    assert decision.status.state is State.COMPLETE
    assert decision.actions == ()


# --- deletion -------------------------------------------------------------------------------


def past(**more: Any) -> CoreJob:
    status = {**LOGGED, **more.pop("status", {})}
    return final(State.COMPLETE, status=status, **more)


def test_a_past_job_stays_until_the_journal_has_it() -> None:
    decision = decided(past(), now=at(10**6))

    assert (decision.actions, decision.requeue_at) == ((), None)


def test_a_past_job_goes_its_time_after_the_journal_has_it() -> None:
    job = past(status={"journaledTime": at_text(-5)})

    assert decided(job, ttl=60).requeue_at == at(55)
    assert decided(job, ttl=60, now=at(55)).actions == (DeleteCoreJob(),)


def test_a_stopped_job_in_the_queue_never_goes_by_itself() -> None:
    for state in STOPPED:
        job = final(state, status={**LOGGED, "journaledTime": at_text(-5)})
        assert decided(job, now=at(10**6)).actions == ()


def test_a_deleted_corejob_is_released_when_the_journal_has_it() -> None:
    job = past(metadata={"deletionTimestamp": at_text(-1)}, status={"journaledTime": at_text(-5)})

    assert decided(job).actions == (RemoveFinalizer(lost=False),)


def test_a_deleted_corejob_waits_for_the_journal_up_to_a_deadline() -> None:
    times = {"removedTime": at_text(-1)}
    job = past(metadata={"deletionTimestamp": at_text(-1)}, status=times)
    assert decided(job, journal_deadline=30).requeue_at == at(29)
    assert decided(job, journal_deadline=30).actions == ()

    assert decided(job, journal_deadline=30, now=at(29)).actions == (RemoveFinalizer(lost=True),)


def test_the_journal_gets_its_time_however_long_the_end_took() -> None:
    times = {"endTime": at_text(-2), "removedTime": at_text(-400)}
    job = past(metadata={"deletionTimestamp": at_text(-400)}, status=times)

    assert decided(job, journal_deadline=30).requeue_at == at(28)


def test_a_corejob_without_our_finalizer_is_left_to_others() -> None:
    job = past(metadata={"deletionTimestamp": at_text(-1), "finalizers": ["other"]})

    assert decided(job, now=at(10**6)).actions == ()


def test_a_job_that_was_deleted_in_the_queue_leaves_it_first() -> None:
    job = final(metadata={"deletionTimestamp": at_text(-1)}, status=LOGGED)
    first = decided(job, journal_deadline=30)

    assert first.status.removed_time == NOW
    assert (first.actions, first.requeue_at) == ((), None)
    noted = {**LOGGED, "removedTime": at_text(0)}
    again = final(metadata={"deletionTimestamp": at_text(-1)}, status=noted)
    assert decided(again, journal_deadline=30).requeue_at == at(30)
