"""The transitions of the state machine: the fields that each writes, and that there is no other."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import NOW, at, at_text, corejob, running

from corejob import machine
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.observation import Observation, Phase, error
from corejob.state import FINAL, TRANSITIONS, WAITING, State

ERROR = error("ValueError", NOW, ["a\n"])
RUNS = Observation(Phase.RUNNING, Reason.RUNNING, started_at=at(-5), node="n2", pod="p2")
UNSTARTED = Observation(Phase.ENDED, Reason.INIT_FAILED, "no", State.FAILED, ERROR, ended_at=at(-3))


def over(outcome: State, reason: Reason = Reason.CODE_ERROR, **more: Any) -> Observation:
    last = None if outcome is State.COMPLETE else ERROR
    fields: dict[str, Any] = {"ended_at": at(-3), "last_error": last, "message": "words", **more}
    return Observation(Phase.ENDED, reason, outcome=outcome, **fields)


def finish(job: CoreJob, outcome: State, **more: Any) -> Status:
    return machine.finish(job, over(outcome, **more), NOW)


# --- start ----------------------------------------------------------------------------------


def test_a_start_clears_what_was_of_the_trial_before() -> None:
    before = {
        "state": "failed",
        "trial": 1,
        "startTime": at_text(-100),
        "finishTime": at_text(-90),
        "queryTime": at_text(-6),
        "nonstopTime": at_text(-95),
        "zombieTime": at_text(-94),
        "attemptsLeft": 2,
        "runtimeSeconds": 10.0,
        "message": "waits",
        "lastError": ERROR,
    }
    status = machine.start(corejob(status=before), 2, RUNS, NOW)

    assert (status.state, status.trial, status.reason) == (State.RUNNING, 2, "Running")
    assert (status.start_time, status.node, status.pod) == (at(-5), "n2", "p2")
    assert status.query_time is None
    assert status.nonstop_time is None
    assert status.zombie_time is None
    assert status.message is None
    # Fields of the whole job stay.
    assert (status.attempts_left, status.runtime_seconds) == (2, 10.0)
    assert (status.last_error, status.finish_time) == (ERROR, at(-90))


def test_the_time_to_defer_in_is_counted_from_the_first_start() -> None:
    first = machine.start(corejob(deferMaxSeconds=60), 1, RUNS, NOW)
    again = machine.start(
        corejob(deferMaxSeconds=60, status={"state": "deferred", "inactiveTime": at_text(7)}),
        2,
        RUNS,
        NOW,
    )

    assert first.inactive_time == at(55)
    assert again.inactive_time == at(7)


def test_trouble_before_the_first_start_is_forgotten() -> None:
    pull = {"state": "pending", "trial": 0, "lastError": error("ErrImagePull", NOW)}

    assert machine.start(corejob(status=pull), 1, RUNS, NOW).last_error is None


def test_a_container_that_tells_no_start_time_started_now() -> None:
    assert machine.start(corejob(), 1, replace(RUNS, started_at=None), NOW).start_time == NOW


# --- finish ---------------------------------------------------------------------------------


def test_complete() -> None:
    job = running(attempts=2, status={"lastError": ERROR, "attemptsLeft": 1})
    status = finish(job, State.COMPLETE, reason=Reason.COMPLETED)

    assert (status.state, status.reason) == (State.COMPLETE, "Completed")
    assert (status.finish_time, status.end_time) == (at(-3), at(-3))
    assert (status.runtime_seconds, status.attempts_left) == (7.0, 1)
    assert status.last_error is None


def test_a_failure_with_attempts_left_waits() -> None:
    status = finish(running(attempts=3, errorTimeSeconds=20), State.FAILED)

    assert (status.state, status.attempts_left) == (State.FAILED, 2)
    assert (status.query_time, status.finish_time) == (at(18), at(-3))
    assert status.last_error == ERROR


def test_the_last_failure_is_an_error() -> None:
    status = finish(running(attempts=3, status={"attemptsLeft": 1}), State.FAILED)

    assert (status.state, status.attempts_left) == (State.ERROR, 0)
    assert (status.query_time, status.finish_time) == (None, at(-3))


def test_attempts_count_down_to_error() -> None:
    job, seen = running(attempts=3), []
    for trial in (1, 2, 3):
        job = replace(job, status=machine.start(job, trial, RUNS, NOW))
        seen.append(job.status.attempts_left)
        job = replace(job, status=finish(job, State.FAILED))

    assert seen == [3, 2, 1]
    assert (job.status.state, job.status.attempts_left) == (State.ERROR, 0)
    assert job.status.runtime_seconds == 3 * 2.0


def test_a_deferral_costs_no_attempt() -> None:
    status = finish(running(attempts=2, deferTimeSeconds=30), State.DEFERRED)

    assert (status.state, status.attempts_left) == (State.DEFERRED, 2)
    assert (status.query_time, status.finish_time) == (at(28), at(-3))
    assert status.last_error == ERROR


def test_a_disruption_costs_no_attempt_and_waits_for_nothing() -> None:
    status = finish(running(attempts=2), State.PENDING, reason=Reason.EVICTED)

    assert (status.state, status.attempts_left) == (State.PENDING, 2)
    assert (status.query_time, status.finish_time) == (None, None)
    assert (status.end_time, status.trial) == (at(-3), 1)


def test_a_removed_job_does_not_announce_another_run_after_a_disruption() -> None:
    job = running(status={"disruptions": 1}, remove=True)
    status = finish(job, State.PENDING)

    assert (status.state, status.message, status.query_time) == (State.PENDING, "words", None)
    again = finish(running(status={"disruptions": 1}), State.PENDING)
    assert again.message == "words; it runs again, not before 2026-11-24T12:00:10 UTC"


@pytest.mark.parametrize(
    ("ended", "due"),
    [(3600, 30), (0.5, 30), (-0.5, 30), (-3, 28)],
    ids=["an hour ahead", "just ahead", "just now", "before"],
)
@pytest.mark.parametrize("outcome", [State.FAILED, State.DEFERRED])
def test_a_node_whose_clock_is_ahead_delays_no_retry(
    outcome: State, ended: float, due: float
) -> None:
    job = running(attempts=2, errorTimeSeconds=30, deferTimeSeconds=30)
    status = finish(job, outcome, ended_at=at(ended))

    assert status.query_time == at(due)


def test_a_node_whose_clock_is_ahead_delays_no_inactivity() -> None:
    starts = replace(RUNS, started_at=at(3600))
    status = machine.start(corejob(deferMaxSeconds=100), 1, starts, NOW)

    assert (status.start_time, status.inactive_time) == (at(3600), at(100))


def test_a_bad_definition_is_an_error_at_once_and_costs_no_attempt() -> None:
    status = finish(running(attempts=3), State.ERROR, reason=Reason.BAD_DEFINITION)

    assert (status.state, status.attempts_left) == (State.ERROR, 3)
    assert status.reason == "BadDefinition"


@pytest.mark.parametrize("outcome", list(State))
def test_whatever_a_killed_job_ended_with_it_is_killed(outcome: State) -> None:
    status = finish(running(kill=True, status={"finishTime": at_text(-50)}), outcome)

    assert (status.state, status.reason) == (State.KILLED, "Killed")
    assert status.message == "killed by the user"
    assert (status.killed_time, status.query_time) == (NOW, None)
    assert (status.end_time, status.finish_time) == (at(-3), at(-50))
    assert status.attempts_left == 1
    assert status.last_error is not None
    assert status.last_error["exception"] == "JobKilledByWorker"


def test_a_kill_keeps_the_time_that_it_was_seen_at() -> None:
    job = running(kill=True, status={"killedTime": at_text(-8)})

    assert finish(job, State.KILLED).killed_time == at(-8)


def test_an_end_tells_the_pod_that_it_knows() -> None:
    job = running(status={"node": "n1", "pod": "p1"})
    told = finish(job, State.COMPLETE, node="n2", pod="p2")
    silent = finish(job, State.KILLED)

    assert (told.node, told.pod) == ("n2", "p2")
    assert (silent.node, silent.pod) == ("n1", "p1")


def test_a_kill_is_dated_by_the_end_of_the_trial() -> None:
    status = finish(running(kill=True), State.FAILED)

    assert status.last_error == error("JobKilledByWorker", at(-3))


def test_a_kill_keeps_what_the_runtime_said_of_it() -> None:
    said = error("JobKilledByWorker", NOW, ["where it was\n"])
    status = finish(running(kill=True), State.KILLED, last_error=said)

    assert status.last_error == said


def test_a_pod_that_was_deleted_by_others_has_no_killed_time() -> None:
    status = finish(running(), State.KILLED, reason=Reason.POD_DELETED)

    assert (status.state, status.reason) == (State.KILLED, "PodDeleted")
    assert (status.killed_time, status.message) == (None, "words")


def test_a_job_whose_resource_is_deleted_was_killed_by_that() -> None:
    job = running(metadata={"deletionTimestamp": at_text(-4)})
    status = finish(job, State.KILLED, reason=Reason.POD_DELETED)

    assert (status.state, status.reason, status.killed_time) == (State.KILLED, "Killed", None)
    assert status.message == "the CoreJob was deleted"


@pytest.mark.parametrize("ended", [None, at(-60)])
def test_no_trial_ends_before_it_began(ended: datetime | None) -> None:
    status = finish(running(), State.COMPLETE, ended_at=ended)

    assert status.end_time is not None
    assert status.start_time is not None
    assert status.end_time >= status.start_time
    assert status.runtime_seconds is not None
    assert status.runtime_seconds >= 0


# --- the others -----------------------------------------------------------------------------


def test_a_deferring_job_turns_inactive() -> None:
    job = corejob(status={"state": "deferred", "queryTime": at_text(0), "lastError": ERROR})
    status = machine.inactive(job.status)

    assert (status.state, status.reason) == (State.INACTIVE, "DeferMaxExceeded")
    assert (status.query_time, status.last_error) == (None, ERROR)


def test_a_trial_that_can_never_start_is_an_error_and_no_trial() -> None:
    job = corejob(attempts=3, status={"state": "failed", "trial": 1, "attemptsLeft": 2})
    seen = over(State.ERROR, Reason.BAD_IMAGE, message="no name", last_error=None)
    status = machine.failed_before_start(job.status, seen, NOW)

    assert (status.state, status.reason) == (State.ERROR, "BadImage")
    assert (status.trial, status.attempts_left) == (1, 2)
    assert (status.query_time, status.finish_time, status.end_time) == (None, NOW, NOW)
    assert status.last_error == error("no name", NOW)


def test_a_waiting_job_is_killed() -> None:
    job = corejob(kill=True, status={"state": "failed", "trial": 1, "queryTime": at_text(60)})
    status = machine.killed(job, job.status, NOW)

    assert (status.state, status.killed_time, status.query_time) == (State.KILLED, NOW, None)


def test_the_younger_duplicate_is_refused_and_leaves_the_queue_at_once() -> None:
    job = corejob(args={"sleep": 3}, attempts=2)
    status = machine.refused(job, "older", NOW)
    refused = replace(job, status=status)

    assert (status.state, status.reason) == (State.ERROR, "Duplicate")
    assert status.message is not None
    assert 'job [a.Job] exists with args {"sleep": 3}' in status.message
    assert "older" in status.message
    assert (status.attempts_left, status.trial) == (2, 0)
    assert (refused.in_queue, refused.archivable, refused.log_finalised) == (False, True, True)


# --- a run that was written with its end ------------------------------------------------------


@pytest.mark.parametrize("outcome", sorted(set(State) - {State.RUNNING, State.INACTIVE}))
@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_run_that_was_written_with_its_end_can_be_told_from_the_end(
    state: State, outcome: State
) -> None:
    before = corejob(attempts=3, status={"state": str(state), "queryTime": at_text(-60)})
    run = replace(before, status=machine.start(before, 1, RUNS, NOW))
    after = replace(before, status=finish(run, outcome))

    assert machine.unwritten_run(before, after) == run
    assert machine.unwritten_run(before, run) is None
    assert machine.unwritten_run(run, after) is None
    assert machine.unwritten_run(after, after) is None


def test_a_trial_that_never_ran_has_no_run() -> None:
    before = corejob(status={"state": "failed", "trial": 1, "startTime": at_text(-60)})
    killed = replace(before, status=machine.killed(before, replace(before.status, trial=2), NOW))
    failed = replace(before, status=machine.failed_unstarted(before, 2, UNSTARTED, NOW))

    assert machine.unwritten_run(before, killed) is None
    assert machine.unwritten_run(before, failed) is None


# --- the table of transitions ---------------------------------------------------------------


def moves() -> set[tuple[State, State]]:
    """Return all transitions that the machine's functions make, from each valid state."""
    made = set()
    for kill in (False, True):
        for left in (1, 2):
            job = running(kill=kill, attempts=2, status={"attemptsLeft": left})
            made |= {(State.RUNNING, finish(job, outcome).state) for outcome in State}
    for state in WAITING:
        job = corejob(status={"state": str(state), "trial": 1})
        ran = [replace(job, status=machine.start(job, 2, RUNS, NOW))]
        ran += [replace(one, status=replace(one.status, attempts_left=2)) for one in ran]
        # A trial that was over before it was observed: start and end in one write.
        made |= {(state, finish(one, out).state) for one in ran for out in State} - {(state, state)}
        made |= {
            (state, machine.start(job, 2, RUNS, NOW).state),
            (state, machine.killed(job, job.status, NOW).state),
            (state, machine.failed_before_start(job.status, over(State.ERROR), NOW).state),
        }
    fresh = corejob()
    made.add((State.PENDING, machine.refused(fresh, "older", NOW).state))
    for state in (State.PENDING, State.FAILED, State.DEFERRED):
        job = corejob(attempts=5, status={"state": str(state), "attemptsLeft": 5})
        new = machine.failed_unstarted(job, 1, UNSTARTED, NOW).state
        made |= {(state, new)} - {(new, new)}
    deferred = corejob(status={"state": "deferred"})
    made.add((State.DEFERRED, machine.inactive(deferred.status).state))
    return made


def test_the_table_of_moves_is_what_the_machine_does() -> None:
    table = {(old, new) for old, news in TRANSITIONS.items() for new in news}

    assert moves() == table


def test_a_final_state_is_not_left() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, news in TRANSITIONS.items() if not news} == FINAL


@given(
    outcomes=st.lists(st.sampled_from(State), min_size=1, max_size=12),
    attempts=st.integers(1, 4),
    kill_at=st.none() | st.integers(0, 11),
)
def test_any_life_ends_by_the_rules(
    outcomes: list[State], attempts: int, kill_at: int | None
) -> None:
    """Only failures use attempts, the runtime only grows, and a kill always ends the job."""
    job = corejob(attempts=attempts)
    failures, runtime = 0, 0.0
    for index, outcome in enumerate(outcomes):
        number = index + 1
        job = replace(job, status=machine.start(job, number, RUNS, NOW))
        if index == kill_at:
            job = replace(job, spec={**job.spec, "kill": True})
        job = replace(job, status=finish(job, outcome))
        status = job.status
        assert status.trial == number
        assert status.runtime_seconds is not None
        assert status.runtime_seconds > runtime
        runtime = status.runtime_seconds
        failures += outcome is State.FAILED and index != kill_at
        assert status.attempts_left == attempts - failures
        paused = status.state is State.PENDING and (status.disruptions or 0) > 1
        due_later = paused or status.state in {State.FAILED, State.DEFERRED}
        assert (status.query_time is not None) == due_later
        if index == kill_at:
            assert status.state is State.KILLED
        if status.state in FINAL:
            return
        assert failures < attempts
