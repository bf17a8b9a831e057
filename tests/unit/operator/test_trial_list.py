"""`status.trials`: one entry for each run of a pod, written with the status that it belongs to."""

import json
from dataclasses import replace
from typing import Any

from tests.unit.domain.builders import NOW, at, at_text, corejob, ended, running, started
from tests.unit.operator.builders import child, decided, has_ended, its_pod, runs, starts
from tests.unit.operator.rig import Rig

from corejob.crds.job import job_crd
from corejob.limits import MAX_ARGS_JSON
from corejob.model import CoreJob, Status, render_status
from corejob.names import Reason
from corejob.state import State
from corejob.trials import MOST_ENTRIES, listed, with_trials
from corejob_journal.store.bounds import MOST_SOURCES_BYTES

POD = its_pod().name
RUN = {"trial": 1, "state": "running", "startTime": at_text(-10), "node": "node-1", "pod": POD}
ETCD_LIMIT = 1.5 * 2**20


def with_status(job: CoreJob, status: Status) -> CoreJob:
    return replace(job, status=status)


def the_run(**more: Any) -> CoreJob:
    """Return a running job with the entry of its trial."""
    return running(status={"pod": POD, "node": "node-1", "trials": [RUN]}, **more)


def only(status: Status) -> dict[str, Any]:
    [entry] = status.trials
    return dict(entry)


def test_an_entry_begins_where_the_container_starts() -> None:
    assert only(decided(corejob(), **runs()).status) == RUN


def test_it_is_closed_where_the_trial_ends() -> None:
    status = decided(the_run(attempts=2), **has_ended(code=1)).status

    assert only(status) == RUN | {
        "state": "failed",
        "reason": "CodeError",
        "exitCode": 1,
        "endTime": at_text(-3),
    }


def test_a_run_that_is_over_before_it_is_observed_is_one_entry() -> None:
    status = decided(corejob(), **has_ended()).status

    assert only(status) == RUN | {
        "state": "complete",
        "reason": "Completed",
        "exitCode": 0,
        "endTime": at_text(-3),
    }


def test_the_last_attempt_has_the_state_of_the_job() -> None:
    assert only(decided(the_run(), **has_ended(code=1)).status)["state"] == "error"


def test_a_killed_run() -> None:
    entry = only(decided(the_run(kill=True), **has_ended(code=143)).status)

    assert (entry["state"], entry["reason"], entry["exitCode"]) == ("killed", "Killed", 143)


def test_an_evicted_run_is_pending_and_the_next_one_is_another_entry() -> None:
    disruption = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    evicted = has_ended(code=137)
    evicted["pods"] = [
        its_pod(state=ended(137), phase="Failed", conditions=[disruption], deleting=True)
    ]
    first = decided(the_run(), **evicted).status
    assert (only(first)["state"], only(first)["reason"]) == ("pending", "Evicted")

    second = decided(with_status(the_run(), first), **runs(2)).status
    assert [(entry["trial"], entry["state"]) for entry in second.trials] == [
        (1, "pending"),
        (2, "running"),
    ]


def test_a_suspended_trial_has_an_entry_for_each_of_its_pods() -> None:
    suspended = decided(the_run(), jobs=[child(suspended=True)]).status
    assert (only(suspended)["state"], only(suspended)["reason"]) == ("pending", "Suspended")
    assert only(suspended)["endTime"] == at_text(0)

    pod = replace(its_pod(state=started()), name="another", started_at=at(60))
    resumed = decided(with_status(the_run(), suspended), jobs=[child()], pods=[pod], now=at(70))
    assert [(entry["trial"], entry["pod"]) for entry in resumed.status.trials] == [
        (1, POD),
        (1, "another"),
    ]


def test_a_trial_whose_init_container_fails_has_its_exit_code_and_no_start() -> None:
    init = [{"name": "first", "state": ended(3)}]
    pod = its_pod(phase="Failed", initContainerStatuses=init)
    entry = only(decided(corejob(attempts=2), jobs=[child()], pods=[pod]).status)

    assert "startTime" not in entry
    assert (entry["state"], entry["reason"], entry["exitCode"]) == (
        "failed",
        "InitContainerFailed",
        3,
    )
    assert (entry["trial"], entry["pod"], entry["endTime"]) == (1, POD, at_text(-3))


def test_a_trial_that_only_its_log_knows_has_neither_times_nor_pod_of_the_trial_before() -> None:
    log = {"trial": 2, "startedTrial": 2, "complete": True}
    before = {"state": "failed", "trial": 1, "startTime": at_text(-99), "pod": "old", "exitCode": 1}
    job = corejob(status={**before, "log": log}, kill=True, attempts=3)

    assert only(decided(job).status) == {
        "trial": 2,
        "state": "killed",
        "reason": "Killed",
        "endTime": at_text(0),
    }


def test_a_pod_that_can_never_start_is_not_a_trial() -> None:
    pulls = {"waiting": {"reason": "InvalidImageName", "message": "no"}}
    status = decided(corejob(), **starts(state=pulls)).status

    assert (status.state, status.trial, status.trials) == (State.ERROR, 0, ())


def test_a_pod_that_never_ran_is_no_run() -> None:
    refused = its_pod(phase="Failed", reason="OutOfcpu", message="no room")
    status = decided(corejob(), jobs=[child()], pods=[refused]).status

    assert (status.reason, status.trials) == ("PodRejected", ())


def test_the_trials_of_a_parent_are_not_those_of_its_child() -> None:
    before = Status(id="x", trial=1)
    counted = replace(before, trial=4, carried_trials=4)

    assert with_trials(before, counted, NOW).trials == ()


def test_a_run_whose_start_an_earlier_version_wrote_is_listed_when_it_ends() -> None:
    job = running(status={"pod": POD, "node": "node-1"})
    assert decided(job, **runs()).status.trials == ()

    entry = only(decided(job, **has_ended()).status)
    assert (entry["startTime"], entry["pod"]) == (at_text(-10), POD)


def test_the_oldest_are_dropped() -> None:
    status = Status(id="x")
    for number in range(1, MOST_ENTRIES + 8):
        run = replace(
            status, state=State.RUNNING, trial=number, start_time=at(number), pod=f"p{number}"
        )
        run = with_trials(status, run, NOW)
        over = replace(run, state=State.DEFERRED, end_time=at(number))
        status = with_trials(run, over, NOW)

    assert [entry["trial"] for entry in status.trials] == list(range(8, MOST_ENTRIES + 8))


def test_the_longest_list_leaves_room_for_all_else_in_an_object() -> None:
    """Args are in the object twice if they are sent as text."""
    entry = {
        "trial": 10**9,
        "state": "complete",
        "reason": max(Reason, key=len),
        "exitCode": -(2**31),
        "startTime": at_text(0),
        "endTime": at_text(0),
        "node": "n" * 253,
        "pod": "p" * 253,
    }
    status = Status(id="x", trials=(entry,) * MOST_ENTRIES)
    fields = job_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    schema = fields["properties"]["trials"]
    assert set(entry) == set(schema["items"]["properties"])
    assert schema["maxItems"] == MOST_ENTRIES

    size = len(json.dumps(render_status(status)["trials"]))
    assert size < 48 * 2**10
    assert 2 * MAX_ARGS_JSON + MOST_SOURCES_BYTES + size < ETCD_LIMIT / 2


def test_the_rest_api_shows_all_fields() -> None:
    [shown] = listed(decided(corejob(), **runs()).status.trials)

    assert shown == {
        "trial": 1,
        "state": "running",
        "reason": None,
        "exit_code": None,
        "started_at": "2026-11-24T11:59:50",
        "finished_at": None,
        "node": "node-1",
        "pod": POD,
    }


async def test_the_list_is_in_the_patches_that_are_written_anyway(rig: Rig) -> None:
    rig.corejob("a", attempts=2, errorTimeSeconds=0)
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    rig.pod("a-1", ended(1), "Failed")
    await rig.settle()
    await rig.passes(1)
    rig.pod("a-2", ended(0, reason="Completed"), "Succeeded")
    await rig.settle()

    states = [(entry["trial"], entry["state"]) for entry in rig.status("a")["trials"]]
    assert states == [(1, "failed"), (2, "complete")]
    patches = rig.fake.requested("PATCH", "corejobs")
    told = [patch.body["status"] for patch in patches if "status" in patch.body]
    assert all("state" in status for status in told if "trials" in status)
