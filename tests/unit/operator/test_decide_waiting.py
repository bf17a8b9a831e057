"""Decisions about a waiting job: pending, failed, deferred, and with a trial that doesn't start."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import (
    ID,
    NOW,
    at,
    at_text,
    condition,
    corejob,
    ended,
    started,
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

from corejob.state import WAITING, State
from corejob_operator.decide import AddFinalizer, CreateTrial, DeleteJob, DeletePod

# --- before the first trial -----------------------------------------------------------------


def test_it_is_held_before_anything_else() -> None:
    decision = decided(corejob(metadata={"finalizers": ["other"]}))

    assert decision.actions == (AddFinalizer(),)
    assert decision.queue == "waits"


def test_a_corejob_in_deletion_gets_no_finalizer() -> None:
    decision = decided(corejob(metadata={"finalizers": ["other"], **DELETED}))

    assert decision.actions == ()
    assert decision.status.state is State.KILLED or decision.status.removed_time == NOW


def test_a_free_job_gets_its_first_trial() -> None:
    decision = decided(corejob())

    assert decision.actions == (CreateTrial(1),)
    assert decision.status.reason == "Starting"
    assert decision.status.state is State.PENDING
    assert decision.queue == "active"


def test_the_status_of_a_blocked_job_says_why() -> None:
    decision = decided(corejob(), turn=BUSY)

    assert decision.actions == ()
    assert decision.status.reason == "MaxParallel"
    assert decision.status.message == "15 of at most 15 a.Job run; 3 before it"
    assert decision.queue == "waits"


def test_a_job_without_a_template_takes_no_place() -> None:
    decision = decided(corejob(), has_template=False)

    assert (decision.actions, decision.queue) == ((), "absent")


@pytest.mark.parametrize("state", sorted(WAITING))
def test_the_next_trial_has_the_next_number(state: State) -> None:
    decision = decided(waits(state, status={"trial": 4, "queryTime": at_text(-1)}))

    assert decision.actions == (CreateTrial(5),)
    assert decision.status.state is state
    assert decision.status.trial == 4


def test_a_restarted_job_counts_on() -> None:
    assert decided(corejob(carriedTrials=3)).actions == (CreateTrial(4),)


# --- a trial is starting --------------------------------------------------------------------


def test_a_trial_that_was_created_is_not_created_again() -> None:
    for situation in (starts(), {"jobs": [child()]}, {"pods": [its_pod(phase="Pending")]}):
        decision = decided(waits(status={"reason": "Starting"}), **situation)

        assert decision.actions == ()
        assert (decision.status.state, decision.queue) == (State.PENDING, "active")


def test_the_message_of_the_scheduler_is_passed_on() -> None:
    unschedulable = condition("PodScheduled", "Unschedulable", "0/1 nodes", status="False")
    decision = decided(waits(), **starts(conditions=[unschedulable]))

    assert (decision.status.reason, decision.status.message) == ("Unschedulable", "0/1 nodes")


def test_a_missing_image_is_reported_and_waited_for() -> None:
    decision = decided(waits(), **starts(state=waiting("ErrImagePull", "no such image")))

    assert decision.status.state is State.PENDING
    assert decision.status.reason == "ImagePull"
    assert decision.status.last_error is not None
    assert "no such image" in decision.status.last_error["exception"]


def test_the_same_trouble_keeps_its_first_time() -> None:
    situation = starts(state=waiting("ErrImagePull", "no such image"))
    first = decided(waits(), **situation).status
    again = decided(replace(waits(), status=first), now=at(60), **situation).status

    assert again == first


def test_a_container_that_runs_makes_the_job_running() -> None:
    status = decided(waits(status={"reason": "Starting"}), **runs()).status

    assert (status.state, status.trial, status.start_time) == (State.RUNNING, 1, at(-10))


@pytest.mark.parametrize("state", sorted(WAITING))
@pytest.mark.parametrize("code", [0, 1, 75, 78, 137, 143])
def test_a_trial_that_was_over_before_it_was_observed_ends_in_one_write(
    state: State, code: int
) -> None:
    """Start and end are those of two writes, of which the first says `running`."""
    job = waits(state, status={"trial": 0, "queryTime": at_text(-20)}, attempts=3)
    began = decided(job, **runs()).status
    ended_later = decided(replace(job, status=began), **has_ended(code=code))
    at_once = decided(job, **has_ended(code=code))

    assert began.state is State.RUNNING
    assert at_once.status == ended_later.status
    assert (at_once.status.trial, at_once.status.start_time) == (1, at(-10))
    assert (at_once.actions, at_once.queue) == ((), "absent")


def test_a_completed_trial_whose_pod_is_gone_has_run() -> None:
    done = child(conditions=[condition("Complete")])
    status = decided(waits(), jobs=[done]).status

    assert (status.state, status.trial) == (State.COMPLETE, 1)
    assert status.start_time is not None


def test_a_bad_image_name_is_an_error_at_once() -> None:
    decision = decided(
        waits(status={"attemptsLeft": 3, "reason": "Starting"}),
        **starts(state=waiting("InvalidImageName", "what?")),
    )

    assert (decision.status.state, decision.status.reason) == (State.ERROR, "BadImage")
    assert (decision.status.attempts_left, decision.status.trial) == (3, 0)
    assert decision.queue == "absent"


def test_a_trial_that_has_not_started_in_time_is_an_error() -> None:
    job = waits(status={"reason": "ImagePull", "startingTime": at_text(-60)})
    situation = starts(state=waiting("ErrImagePull", "no such image"))

    early = decided(job, start_deadline=61, **situation)
    late = decided(job, start_deadline=60, **situation)
    assert (early.status.state, early.requeue_at) == (State.PENDING, at(1))
    assert (late.status.state, late.status.reason) == (State.ERROR, "ImagePull")
    assert late.status.message is not None
    assert "not started within" in late.status.message
    assert "no such image" in late.status.message


@pytest.mark.parametrize(
    "situation",
    [
        {"jobs": [child()], "pods": []},
        starts(),
        starts(state=waiting("ErrImagePull")),
        starts(conditions=[condition("PodScheduled", "Unschedulable", "no node", status="False")]),
    ],
)
def test_the_start_deadline_counts_whatever_the_cause(situation: dict[str, Any]) -> None:
    job = waits(status={"reason": "Starting", "startingTime": at_text(-60)})

    assert decided(job, start_deadline=60, **situation).status.state is State.ERROR
    assert decided(job, **situation).status.state is State.PENDING


def test_the_start_deadline_counts_through_the_runs_that_the_kubelet_refuses() -> None:
    times = {"startingTime": at_text(-60), "disruptions": 3, "queryTime": at_text(40)}
    job = waits(status={"reason": "PodRejected", "message": "OutOfcpu: no", **times})
    late = decided(
        job,
        turn=BUSY,
        start_deadline=60,
    )

    assert (late.status.state, late.status.reason) == (State.ERROR, "PodRejected")
    assert late.status.message == "not started within 60 s: OutOfcpu: no"


# --- a trial that vanishes before it starts ---------------------------------------------------


@pytest.mark.parametrize(
    ("status", "created_trial"),
    [
        ({"reason": "Starting"}, None),
        ({}, 1),  # this operator has created the Job
        ({"log": {"trial": 1}}, None),  # the recorder was following its pod
    ],
)
def test_a_job_deleted_by_hand_before_its_start_kills_it(
    status: dict[str, Any], created_trial: int | None
) -> None:
    end = decided(waits(status=status), created_trial=created_trial).status

    assert (end.state, end.reason, end.killed_time) == (State.KILLED, "JobDeleted", None)
    assert end.message == "its Job was deleted by somebody else"
    assert end.last_error is not None
    assert end.last_error["exception"] == "JobKilledByWorker"


def test_a_lost_job_that_a_restart_requested_is_not_restarted_again() -> None:
    job = waits(State.FAILED, restartAt=at_text(-6))
    status = decided(job, created_trial=2).status

    assert (status.state, status.restart_time) == (State.KILLED, at(-6))


def test_a_trial_is_created_again_after_the_log_of_a_disrupted_init_container() -> None:
    job = waits(status={"reason": "MaxParallel", "disruptions": 1, "log": {"trial": 1}})

    assert decided(job).actions == (CreateTrial(1),)


def test_a_pod_deleted_by_hand_before_its_start_kills_it() -> None:
    status = decided(waits(status={"reason": "Starting"}), jobs=[child(conditions=FAILED)]).status

    assert (status.state, status.reason, status.killed_time) == (State.KILLED, "PodDeleted", None)


def test_a_disruption_before_the_start_creates_the_same_trial_again() -> None:
    job = waits(status={"reason": "Starting", "attemptsLeft": 2})
    situation = starts(conditions=DISRUPTED, deleting=True)
    noted = decided(job, **situation)
    assert noted.status.reason == "Evicted"
    assert noted.queue == "active"

    job = replace(job, status=noted.status)
    cleared = decided(job, **situation)
    assert DeleteJob(f"{ID}-1", f"uid-{ID}-1") in cleared.actions

    again = decided(job)
    assert again.actions == (CreateTrial(1),)
    assert (again.status.attempts_left, again.status.trial) == (2, 0)


def test_the_disruption_is_written_before_its_job_is_deleted() -> None:
    """Otherwise, after a crash in between, the Job would seem to be deleted by a user."""
    decision = decided(
        waits(status={"reason": "Starting"}), **starts(conditions=DISRUPTED, deleting=True)
    )

    assert decision.actions == ()


@pytest.mark.parametrize(
    ("state", "settings"),
    [(waiting("InvalidImageName"), {}), (waiting("ErrImagePull"), {"start_deadline": 1})],
)
def test_an_error_is_written_before_its_job_is_deleted(
    state: dict[str, Any], settings: dict[str, Any]
) -> None:
    job = waits(status={"reason": "Starting", "startingTime": at_text(-1)})
    situation = starts(state=state)
    decision = decided(job, **situation, **settings)
    assert decision.status.state is State.ERROR
    assert decision.actions == ()

    after = decided(replace(job, status=decision.status), **situation, **settings)
    assert after.status == decision.status
    assert after.actions == (DeleteJob(f"{ID}-1", f"uid-{ID}-1"),)


# --- kill and remove ------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_waiting_job_that_is_killed_is_killed_at_once(state: State) -> None:
    decision = decided(waits(state, kill=True), turn=BUSY)

    assert (decision.status.state, decision.status.killed_time) == (State.KILLED, NOW)
    assert decision.status.reason == "Killed"
    assert (decision.actions, decision.queue) == ((), "absent")


@pytest.mark.parametrize("state", sorted(WAITING))
@pytest.mark.parametrize("how", [{"remove": True}, {"metadata": DELETED}])
def test_a_waiting_job_that_is_removed_keeps_its_state(state: State, how: dict[str, Any]) -> None:
    job = waits(state, **how)
    decision = decided(job, turn=BUSY)

    assert decision.status.removed_time == NOW
    assert decision.queue == "absent"
    assert decision.status.state is state
    assert replace(job, status=decision.status).archivable
    assert decided(replace(job, status=decision.status), now=at(9)).status == decision.status


@pytest.mark.parametrize("how", [{"kill": True}, {"remove": True}])
def test_a_trial_that_is_starting_is_stopped_first(how: dict[str, Any]) -> None:
    job = waits(status={"reason": "Starting"}, **how)
    decision = decided(job, **starts())

    assert decision.actions == (
        DeleteJob(f"{ID}-1", f"uid-{ID}-1"),
        DeletePod(f"{ID}-1-x7k2p", f"uid-{ID}-1-x7k2p"),
    )
    assert (decision.status.state, decision.queue) == (State.PENDING, "active")
    going: dict[str, Any] = {"jobs": [], "pods": [its_pod(phase="Pending", deleting=True)]}
    decision = decided(replace(job, status=decision.status), now=at(1), **going)
    assert (decision.actions, decision.queue) == ((), "active")

    gone = decided(replace(job, status=decision.status), now=at(2)).status
    if "kill" in how:
        assert (gone.state, gone.killed_time) == (State.KILLED, NOW)
    else:
        assert (gone.state, gone.removed_time) == (State.PENDING, at(2))


def test_a_removed_job_that_started_is_stopped_and_keeps_its_state() -> None:
    """The job has left the queue, so it must not be shown as running again."""
    job = waits(State.FAILED, remove=True, status={"log": {"trial": 1, "complete": True}})
    unread = decided(job, **runs(2), attach_wait=15)
    assert (unread.status.state, unread.actions, unread.queue) == (State.FAILED, (), "active")
    assert unread.requeue_at == at(5)

    stops = (DeletePod(f"{ID}-2-x7k2p", f"uid-{ID}-2-x7k2p"),)
    assert decided(job, **runs(2), attach_wait=15, now=at(5)).actions == stops
    read = waits(State.FAILED, remove=True, status={"log": {"trial": 2}})
    assert decided(read, **runs(2), attach_wait=15).actions == stops


@pytest.mark.parametrize(("started_trial", "counted"), [(1, 1), (2, 2)])
def test_a_trial_that_was_stopped_so_counts_if_its_log_has_a_line(
    started_trial: int, counted: int
) -> None:
    ended_pod: dict[str, Any] = {"jobs": [], "pods": [its_pod(2, state=ended(143), deleting=True)]}
    log, begun = {"trial": 2, "startedTrial": started_trial}, {"startingTime": at_text(-60)}
    reading = decided(waits(State.FAILED, remove=True, status={"log": log, **begun}), **ended_pod)
    assert reading.status.removed_time is None
    assert reading.requeue_at is not None

    read = waits(State.FAILED, remove=True, status={"log": {**log, "complete": True}})
    stopped = decided(read, **ended_pod).status
    assert (stopped.state, stopped.trial, stopped.removed_time) == (State.FAILED, counted, NOW)
    assert (stopped.reason, stopped.message) == ("Removed", "removed by the user while it waited")


@pytest.mark.parametrize(
    ("code", "ends"), [(0, State.COMPLETE), (1, State.ERROR), (75, State.DEFERRED)]
)
def test_a_job_that_ended_before_its_removal_was_observed_has_that_end(
    code: int, ends: State
) -> None:
    decision = decided(waits(remove=True), **has_ended(code=code))

    assert (decision.status.state, decision.status.trial) == (ends, 1)
    assert (decision.status.removed_time, decision.queue) == (NOW, "absent")


def test_a_late_pod_of_a_past_job_is_stopped_and_changes_nothing() -> None:
    job = waits(remove=True, status={"removedTime": at_text(-1)})
    decision = decided(job, jobs=[], pods=[its_pod(state=started())])

    assert decision.status == job.status
    assert decision.actions == (DeletePod(f"{ID}-1-x7k2p", f"uid-{ID}-1-x7k2p"),)


def test_a_trial_that_started_in_spite_of_a_kill_is_stopped_at_once() -> None:
    decision = decided(waits(kill=True, status={"log": {"trial": 1}}), **runs())

    assert (decision.status.state, decision.status.trial) == (State.RUNNING, 1)
    assert (decision.status.reason, decision.status.killed_time) == ("Terminating", NOW)
    assert decision.actions == (DeletePod(f"{ID}-1-x7k2p", f"uid-{ID}-1-x7k2p"),)


def test_a_trial_that_ended_in_spite_of_a_kill_is_killed_in_one_write() -> None:
    decision = decided(waits(kill=True), **has_ended())

    assert (decision.status.state, decision.status.trial) == (State.KILLED, 1)
    assert (decision.status.killed_time, decision.status.start_time) == (NOW, at(-10))


@pytest.mark.parametrize(
    ("code", "end", "reason"),
    [(0, State.COMPLETE, "Completed"), (143, State.KILLED, "JobDeleted")],
)
def test_a_trial_whose_job_and_pod_are_gone_has_the_end_that_its_pod_had(
    code: int, end: State, reason: str
) -> None:
    gone = its_pod(state=ended(code), deleting=True)
    status = decided(waits(status={"reason": "Starting"}), gone_pod=gone).status

    assert (status.state, status.reason, status.trial) == (end, reason, 1)
    assert (status.start_time, status.pod) == (at(-10), gone.name)


def test_a_killed_trial_whose_pod_is_gone_counts_if_the_container_had_started() -> None:
    for pod in (its_pod(state=ended(0), deleting=True), its_pod(state=started())):
        status = decided(waits(kill=True), gone_pod=pod).status

        assert (status.state, status.reason, status.trial) == (State.KILLED, "Killed", 1)
        assert status.start_time == at(-10)


def test_the_pod_of_another_trial_that_is_gone_does_not_count() -> None:
    job = waits(State.FAILED, kill=True)

    assert decided(job, gone_pod=its_pod(1, state=ended(0))).status.trial == job.status.trial
    assert decided(waits(State.FAILED), gone_pod=its_pod(1, state=ended(0))).actions == (
        CreateTrial(2),
    )


# --- due times ------------------------------------------------------------------------------


def test_a_failed_job_keeps_its_time_while_it_waits() -> None:
    job = waits(State.FAILED, status={"queryTime": at_text(50)})
    decision = decided(job, turn=BUSY)

    assert decision.actions == ()
    assert decision.status.query_time == at(50)
    assert decision.status.state is State.FAILED


@pytest.mark.parametrize("state", [State.FAILED, State.DEFERRED])
def test_a_restart_clears_the_time(state: State) -> None:
    times = {"queryTime": at_text(50), "endTime": at_text(-5), "inactiveTime": at_text(90)}
    decision = decided(waits(state, restartAt=at_text(-5), status=times))

    assert decision.actions == (CreateTrial(2),)
    assert decision.status.query_time is None


def test_a_restart_counts_once() -> None:
    times = {"queryTime": at_text(50), "endTime": at_text(-5)}
    job = waits(State.FAILED, restartAt=at_text(-6), status=times)

    started = decided(job).status
    assert started.restart_time == at(-6)
    again = waits(State.FAILED, restartAt=at_text(-6), status={**times, "restartTime": at_text(-6)})
    assert decided(again, turn=BUSY).status.query_time == at(50)
    assert decided(job, turn=BUSY).status.query_time is None


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("trial", [starts(2), runs(2), has_ended(2, 1)])
def test_a_restart_is_followed_if_the_next_trial_exists_already(
    trial: dict[str, Any], remove: bool
) -> None:
    job = waits(State.FAILED, restartAt=at_text(-6), remove=remove)

    assert decided(job, **trial).status.restart_time == at(-6)


def test_a_deferring_job_whose_time_is_over_turns_inactive_when_it_falls_due() -> None:
    times = {"queryTime": at_text(10), "inactiveTime": at_text(5)}
    job = waits(State.DEFERRED, status=times)

    waited = decided(job, now=at(7), turn=BUSY)
    assert waited.status.state is State.DEFERRED
    over = decided(job, now=at(10))
    assert (over.status.state, over.status.reason) == (State.INACTIVE, "DeferMaxExceeded")
    assert (over.actions, over.status.query_time) == ((), None)


def test_a_deferring_job_with_time_left_goes_on() -> None:
    times = {"queryTime": at_text(10), "inactiveTime": at_text(11)}

    assert decided(waits(State.DEFERRED, status=times), now=at(10)).actions == (CreateTrial(2),)


def test_a_failed_job_never_turns_inactive() -> None:
    times = {"queryTime": at_text(-10), "inactiveTime": at_text(-5)}

    assert decided(waits(State.FAILED, status=times)).actions == (CreateTrial(2),)
