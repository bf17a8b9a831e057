"""The job document (docs/rest.md): each field, of new and of later jobs."""

import json
from typing import Any

import pytest
from tests.unit.domain.builders import ID, NOW, at, at_text, corejob, running

from corejob.document import NAMES, document, part_of, state_key

LISTING = (
    *("_id", "qual_name", "args", "attempts", "attempts_left", "enqueued", "finished_at"),
    *("force", "highstate", "flag", "age", "priority", "prog", "removed_at", "killed_at"),
    *("wall_at", "zombie_at", "inactive_at", "runtime", "started_at", "state", "trial", "worker"),
)

FRESH: dict[str, Any] = {
    "_id": ID,
    "name": "a.Job",
    "qual_name": "a.Job",
    "args": {},
    "state": "pending",
    "highstate": "waiting",
    "flag": {"zombie": False, "killed": False, "removed": False, "nonstop": False},
    "prog": {"value": 0.0, "message": None},
    "attempts": 1,
    "attempts_left": 1,
    "trial": 0,
    "error_time": 600,
    "defer_time": 300,
    "defer_max": 3600,
    "wall_time": None,
    "zombie_time": 1800,
    "priority": 0,
    "force": False,
    "max_parallel": None,
    "progress_interval": 5,
    "worker": None,
    "chain": [],
    "dependency": [],
    "locked": None,
    "started_at": None,
    "finished_at": None,
    "runtime": None,
    "query_at": None,
    "inactive_at": None,
    "killed_at": None,
    "removed_at": None,
    "wall_at": None,
    "zombie_at": None,
    "last_error": None,
    "sources": [],
    "sources_dropped": 0,
    "reason": None,
    "message": None,
    "waiting": None,
}


def test_a_job_that_nothing_was_done_with_has_the_defaults() -> None:
    found = document(corejob(), NOW)
    age, enqueued = found.pop("age"), found.pop("enqueued")

    assert found == FRESH
    assert age >= 0
    assert enqueued.pop("at")
    assert enqueued == {"hostname": None, "username": None, "parent_id": None}


def test_it_is_json() -> None:
    found = document(running(args={"sleep": 3, "deep": [{"a": None}]}), NOW)

    assert json.loads(json.dumps(found)) == found


def test_a_row_of_the_listing_has_all_that_clients_know() -> None:
    assert set(LISTING) <= document(corejob(), NOW).keys()


def test_the_document_has_the_args_and_properties_of_the_enqueue() -> None:
    job = corejob(
        args={"sleep": 3},
        attempts=3,
        errorTimeSeconds=1,
        deferTimeSeconds=2,
        deferMaxSeconds=3,
        wallTimeSeconds=4,
        zombieTimeSeconds=5,
        priority=-6,
        force=True,
        maxParallel=7,
        progressIntervalSeconds=8,
        worker="node-9",
        username="hans",
        hostname="laptop",
        parentId="b" * 24,
    )
    found = document(job, NOW)

    expected = {
        "args": {"sleep": 3},
        "attempts": 3,
        "attempts_left": 3,
        "error_time": 1,
        "defer_time": 2,
        "defer_max": 3,
        "wall_time": 4,
        "zombie_time": 5,
        "priority": -6,
        "force": True,
        "max_parallel": 7,
        "progress_interval": 8,
        "worker": "node-9",
    }
    assert {name: found[name] for name in expected} == expected
    enqueued = found["enqueued"]
    assert (enqueued["username"], enqueued["hostname"]) == ("hans", "laptop")
    assert enqueued["parent_id"] == "b" * 24
    assert "child_id" not in enqueued


@pytest.mark.parametrize(
    ("state", "highstate"),
    [
        ("pending", "waiting"),
        ("failed", "waiting"),
        ("deferred", "waiting"),
        ("running", "running"),
        ("error", "stopped"),
        ("inactive", "stopped"),
        ("killed", "stopped"),
        ("complete", None),
    ],
)
def test_states_and_highstates(state: str, highstate: str | None) -> None:
    found = document(corejob(status={"state": state, "trial": 1}), NOW)

    assert (found["state"], found["highstate"]) == (state, highstate)


def test_times_are_utc_without_an_offset() -> None:
    names = {
        "startTime": "started_at",
        "finishTime": "finished_at",
        "queryTime": "query_at",
        "inactiveTime": "inactive_at",
        "killedTime": "killed_at",
        "removedTime": "removed_at",
        "nonstopTime": "wall_at",
        "zombieTime": "zombie_at",
    }
    status = {field: f"2026-11-24T12:00:{second:02}.5+01:00" for second, field in enumerate(names)}
    found = document(corejob(status={"state": "failed", **status}), NOW)

    for second, name in enumerate(names.values()):
        assert found[name] == f"2026-11-24T11:00:{second:02}.500000"


def test_flags_come_with_their_times() -> None:
    status = {"nonstopTime": at_text(-1), "zombieTime": at_text(-2)}
    found = document(running(status=status), NOW)

    assert found["flag"] == {"zombie": True, "killed": False, "removed": False, "nonstop": True}


def test_a_running_job_is_locked_by_its_pod() -> None:
    progress = {"value": 0.5, "message": "half", "time": at_text(-2)}
    status = {"node": "node-1", "pod": "pod-1", "progress": progress}
    found = document(running(status=status), NOW)

    assert found["locked"] == {
        "at": "2026-11-24T11:59:50",
        "heartbeat": "2026-11-24T11:59:58",
        "hostname": "node-1",
        "worker": "pod-1",
        "pid": 1,
    }
    assert found["prog"] == {"value": 0.5, "message": "half"}


def test_progress_of_an_earlier_trial_is_not_a_heartbeat_of_this_one() -> None:
    found = document(running(status={"progress": {"value": 1, "time": at_text(-60)}}), NOW)

    assert found["locked"]["heartbeat"] == found["locked"]["at"]


def test_nothing_is_locked_once_it_has_ended() -> None:
    assert document(corejob(status={"state": "complete", "pod": "p"}), NOW)["locked"] is None


def test_a_complete_job_has_done_all() -> None:
    progress = {"value": 0.3, "message": "a third"}
    found = document(corejob(status={"state": "complete", "progress": progress}), NOW)

    assert found["prog"] == {"value": 1.0, "message": ""}


def test_runtime_sums_trials_and_counts_the_present_one() -> None:
    ended = document(corejob(status={"state": "failed", "runtimeSeconds": 7.5}), NOW)
    first = document(running(), NOW)
    second = document(running(status={"runtimeSeconds": 7.5}), NOW)

    assert (ended["runtime"], first["runtime"], second["runtime"]) == (7.5, 10.0, 17.5)


def test_age_is_counted_from_the_id() -> None:
    job = corejob(name="6743aaaa8000000000000000")

    assert document(job, job.enqueued_at)["age"] == 0.0
    assert document(job, at(0))["age"] == (NOW - job.enqueued_at).total_seconds()


def test_a_clock_that_lags_makes_no_negative_age() -> None:
    job = corejob(name="my-job", metadata={"creationTimestamp": at_text(5)})

    assert document(job, NOW)["age"] == 0.0


def test_a_restarted_job_names_its_child() -> None:
    chosen = document(corejob(childId="c" * 24, status={"state": "killed"}), NOW)
    derived = document(corejob(status={"state": "error", "childId": "d" * 24}), NOW)

    assert chosen["enqueued"]["child_id"] == "c" * 24
    assert derived["enqueued"]["child_id"] == "d" * 24


def test_a_job_that_is_marked_killed_counts_as_killed_at_once() -> None:
    found = document(running(kill=True), NOW)

    assert (found["state"], found["highstate"]) == ("killed", "stopped")
    assert found["flag"]["killed"] is True
    assert found["locked"] is None
    assert found["last_error"]["exception"] == "JobKilledByWorker"


def test_a_kill_that_comes_too_late_changes_nothing() -> None:
    found = document(corejob(kill=True, status={"state": "complete"}), NOW)

    assert (found["state"], found["last_error"]) == ("complete", None)


def test_the_last_error_is_what_the_operator_wrote() -> None:
    error = {"exception": "ValueError", "timestamp": None, "traceback": ["a", "b"]}
    found = document(corejob(status={"state": "error", "lastError": error}), NOW)

    assert found["last_error"] == error


def test_sources_reason_and_message() -> None:
    status: dict[str, Any] = {
        "state": "pending",
        "reason": "Queued",
        "message": "2 ahead",
        "sources": ["a.csv"],
    }
    status |= {"sourcesDropped": 7}
    found = document(corejob(status=status), NOW)

    assert (found["sources"], found["sources_dropped"]) == (["a.csv"], 7)
    assert found["reason"] == "Queued"
    assert found["message"] == "2 ahead"


def test_the_passing_of_time_changes_no_state_key() -> None:
    job = running()

    assert state_key(document(job, at(0))) == state_key(document(job, at(60)))
    assert document(job, at(0)) != document(job, at(60))


def test_progress_is_news() -> None:
    before, after = (
        document(running(status={"progress": {"value": value}}), NOW) for value in (0.1, 0.2)
    )

    assert state_key(before) != state_key(after)


def test_a_part_has_the_same_values_as_the_document() -> None:
    for job in (corejob(), running(args={"x": [1]})):
        whole = document(job, NOW)
        for name, value in whole.items():
            assert part_of(frozenset({name, "no_such_field"}))(job, NOW) == {name: value}
        assert part_of(NAMES)(job, NOW) == whole
    assert part_of(frozenset())(job, NOW) == {}
