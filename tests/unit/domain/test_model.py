"""A CoreJob as a value: membership of the queue, past jobs, and the effect of a mark."""

from dataclasses import fields, replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import (
    CREATED,
    ID,
    NOW,
    UID,
    at,
    at_text,
    corejob,
    corejob_body,
    running,
)

from corejob import ids, model
from corejob.model import Status, render_status
from corejob.state import FINAL, STOPPED, WAITING, State

DELETED = {"deletionTimestamp": at_text(-1)}


def in_state(state: State | str, **more: Any) -> model.CoreJob:
    status = {"state": str(state), "trial": 1, **more.pop("status", {})}
    return corejob(status=status, **more)


# --- parsing --------------------------------------------------------------------------------


def test_a_resource_without_a_status() -> None:
    job = corejob()

    assert not job.observed
    assert job.status == Status(id=ID)
    assert (job.name, job.namespace, job.uid) == (ID, "jobs", UID)
    assert (job.resource_version, job.generation, job.has_finalizer) == ("7", 2, True)
    assert (job.qual_name, job.args, job.sources) == ("a.Job", {}, ())


def test_a_name_of_its_own_gets_an_id() -> None:
    job = corejob(name="my-job")

    assert ids.is_id(job.id)
    assert job.id == ids.derived_id(job.created, UID)
    assert job.enqueued_at == job.created
    assert corejob(name="my-job", status={"state": "pending", "id": "e" * 24}).id == "e" * 24


def test_an_id_tells_the_time_better_than_the_server() -> None:
    name = ids.derived_id(NOW + timedelta(milliseconds=500), "any")
    job = corejob(name=name, metadata={"creationTimestamp": CREATED})

    assert job.enqueued_at == NOW + timedelta(milliseconds=500)


def test_the_fields_of_the_recorder_are_parsed() -> None:
    log = {
        "trial": 2,
        "complete": True,
        "lines": 3,
        "bytes": 40,
        "lastSeq": 5,
        "startedTrial": 2,
        "lost": True,
        "reason": "Rotated",
        "message": "gone",
    }
    progress = {"value": 0.5, "message": "half", "time": at_text(1)}
    job = corejob(
        status={
            "state": "running",
            "log": log,
            "progress": progress,
            "sources": ["a"],
            "journaledTime": at_text(2),
        }
    )

    assert job.log == model.LogStatus(2, True, 3, 40, 5, 2, True, "Rotated", "gone")
    assert job.progress == model.ProgressStatus(0.5, "half", at(1))
    assert (job.sources, job.journaled_at, job.journaled) == (("a",), at(2), True)


def test_properties_are_filled_in() -> None:
    kept = {"state": "pending", "properties": {"attempts": 4, "priority": 2}}

    assert corejob(priority=1, status=kept).spec["priority"] == 1
    assert corejob(status=kept).spec["attempts"] == 4
    assert corejob(status={"state": "pending", "properties": {"attempts": 4}}).status == Status(
        id=ID, attempts_left=4
    )
    given_template = model.parse(corejob_body(), {"attempts": 9})
    assert given_template.spec["attempts"] == 9
    assert corejob().spec["attempts"] == 1


@pytest.mark.parametrize(
    ("body", "trial"),
    [
        (corejob_body(), 0),
        (corejob_body(carriedTrials=3), 3),
        (corejob_body(status={"state": "pending"}, carriedTrials=3), 3),
        (corejob_body(status={"state": "running", "trial": 5}, carriedTrials=3), 5),
        (corejob_body(status={"state": "pending", "trial": 0}), 0),
    ],
)
def test_the_newest_trial_can_be_had_alone(body: dict[str, Any], trial: int) -> None:
    assert model.newest_trial(body) == trial
    assert model.parse(body).status.trial == trial


def test_trials_of_the_jobs_before_count_on() -> None:
    job = corejob(carriedTrials=3)

    assert (job.carried_trials, job.status.trial) == (3, 3)


times = st.datetimes(
    min_value=at(0).replace(tzinfo=None), max_value=at(10**6).replace(tzinfo=None)
).map(lambda naive: naive.replace(tzinfo=NOW.tzinfo))


@given(
    st.builds(
        Status,
        id=st.just(ID),
        state=st.sampled_from(State),
        reason=st.none() | st.just("Running"),
        message=st.none() | st.text(),
        trial=st.integers(0, 99),
        attempts_left=st.integers(0, 99),
        runtime_seconds=st.none() | st.floats(0, 1e9),
        node=st.none() | st.just("n"),
        pod=st.none() | st.just("p"),
        child_id=st.none() | st.just("c" * 24),
        last_error=st.none() | st.just({"exception": "x", "timestamp": None, "traceback": ["y"]}),
        exit_code=st.none() | st.integers(0, 255),
        trials=st.sampled_from([(), ({"trial": 1, "state": "running"},)]),
        **{each.name: st.none() | times for each in fields(Status) if each.name.endswith("_time")},
    )
)
def test_a_status_that_is_written_is_read_back(status: Status) -> None:
    written = {key: value for key, value in render_status(status).items() if value is not None}

    assert corejob(status=written).status == status


def test_a_field_that_is_taken_back_is_deleted_by_the_patch() -> None:
    patch = render_status(Status(id=ID))

    assert patch["queryTime"] is None
    assert patch["lastError"] is None
    assert len(patch) == len(fields(Status))


# --- marks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(WAITING | {State.RUNNING}))
def test_a_job_marked_killed_counts_as_killed_and_stays_in_the_queue(state: State) -> None:
    job = in_state(state, kill=True)

    assert (job.state, job.stop, job.in_queue, job.archivable) == (State.KILLED, True, True, False)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_mark_does_not_change_a_final_state(state: State) -> None:
    assert in_state(state, kill=True).state is state


def test_a_running_job_that_is_removed_runs_on_in_the_queue() -> None:
    job = running(remove=True)

    assert (job.state, job.stop, job.in_queue, job.archivable) == (
        State.RUNNING,
        False,
        True,
        False,
    )


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_waiting_job_that_is_removed_leaves_at_once_and_is_past_when_that_is_noted(
    state: State,
) -> None:
    marked = in_state(state, remove=True)
    noted = in_state(state, remove=True, status={"removedTime": at_text(0)})

    assert (marked.in_queue, marked.archivable) == (False, False)
    assert (noted.in_queue, noted.archivable) == (False, True)


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_removed_job_is_not_past_before_its_kill_is_carried_out(state: State) -> None:
    """It was killed while it ran, and its trial ended by itself before that was observed."""
    noted = {"removedTime": at_text(0)}
    marked = in_state(state, kill=True, remove=True, status=noted)
    stored = in_state(state, kill=True, remove=True, status={**noted, "journaledTime": at_text(1)})

    assert (marked.state, marked.in_queue, marked.archivable) == (State.KILLED, False, False)
    assert stored.archivable


@pytest.mark.parametrize("state", sorted(STOPPED))
def test_a_stopped_job_stays_until_it_is_removed(state: State) -> None:
    marked = in_state(state, remove=True)
    noted = in_state(state, remove=True, status={"removedTime": at_text(0)})

    assert in_state(state).in_queue
    assert (marked.in_queue, marked.archivable) == (False, False)
    assert (noted.in_queue, noted.archivable) == (False, True)


def test_a_complete_job_leaves_by_itself() -> None:
    job = in_state(State.COMPLETE)

    assert (job.in_queue, job.archivable) == (False, True)


def test_a_killed_and_removed_job_is_past_only_when_it_has_ended() -> None:
    asked = running(kill=True, remove=True)
    unnoted = in_state(State.KILLED, kill=True, remove=True)
    ended = in_state(State.KILLED, kill=True, remove=True, status={"removedTime": at_text(0)})

    assert (asked.in_queue, asked.archivable) == (False, False)
    assert (unnoted.in_queue, unnoted.archivable) == (False, False)
    assert (ended.in_queue, ended.archivable) == (False, True)


def test_a_restarted_job_leaves_the_queue_to_its_child() -> None:
    running_still = running(kill=True, childId="c" * 24)
    ended = in_state(State.KILLED, kill=True, childId="c" * 24)

    assert (running_still.in_queue, running_still.archivable) == (False, False)
    assert (ended.in_queue, ended.archivable) == (False, True)


def test_deleting_the_resource_stops_a_running_job_and_removes_any() -> None:
    stopped = running(metadata=DELETED)
    waiting = in_state(State.PENDING, metadata=DELETED)

    assert (stopped.stop, stopped.remove, stopped.state) == (True, True, State.KILLED)
    assert (waiting.stop, waiting.remove, waiting.state) == (False, True, State.PENDING)
    assert not stopped.in_queue
    assert not waiting.in_queue


def test_a_past_job_is_never_in_the_queue_and_never_runs() -> None:
    options = product(State, (False, True), (False, True), (None, "c" * 24), (None, at(0)))
    for state, kill, remove, child, removed in options:
        spec: dict[str, Any] = {"kill": kill, "remove": remove}
        job = corejob(**spec)
        status = replace(job.status, state=state, child_id=child, removed_time=removed)
        job = replace(job, status=status)

        assert not (job.archivable and job.in_queue)
        assert not (job.archivable and state is State.RUNNING)
        if state in FINAL and (removed or not remove):
            assert job.archivable != job.in_queue


# --- the log --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "settled"),
    [
        ({}, False),
        ({"trial": 2, "complete": False}, False),
        ({"trial": 1, "complete": True}, False),
        ({"trial": 2, "complete": True}, True),
    ],
)
def test_a_log_is_settled_when_that_of_the_last_trial_is(log: Any, settled: bool) -> None:
    job = in_state(State.KILLED, status={"trial": 2, "log": log})

    assert job.log_finalised is settled


def test_a_job_without_a_trial_of_its_own_has_no_log_to_wait_for() -> None:
    assert corejob().log_finalised
    assert corejob(carriedTrials=2, status={"state": "killed", "trial": 2}).log_finalised
