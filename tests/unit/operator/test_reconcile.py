"""The reconciler and its actions against an API server over real HTTP."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ended, started
from tests.unit.operator.rig import Rig

from corejob import model, names
from corejob_kube.errors import InvalidError, UnavailableError

COMPLETE_LOG = {"log": {"trial": 1, "complete": True}}


async def to_running(rig: Rig, name: str = "a", **spec: Any) -> None:
    rig.corejob(name, **spec)
    await rig.settle()
    rig.pod(f"{name}-1", started())
    await rig.settle()
    assert rig.status(name)["state"] == "running"


# --- a life ---------------------------------------------------------------------------------


async def test_a_life(rig: Rig) -> None:
    rig.corejob("a")
    await rig.settle()
    assert rig.jobs() == ["a-1"]
    assert rig.status("a") == {}

    rig.pod("a-1", started())
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["trial"]) == ("running", 1)

    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    assert rig.status("a")["state"] == "complete"
    assert rig.jobs() == ["a-1"]

    rig.fake.change("corejobs", "a", {"status": COMPLETE_LOG})
    await rig.settle()
    assert rig.jobs() == []

    rig.fake.change("corejobs", "a", {"status": {"journaledTime": "2026-11-24T12:00:00Z"}})
    await rig.settle()
    assert "a" in rig.fake.objects["corejobs"]
    await rig.passes(rig.settings.ttl)
    assert rig.fake.objects["corejobs"] == {}
    assert rig.errors == []


async def test_a_finished_corejob_is_deleted_once_though_the_watch_lags(rig: Rig) -> None:
    await to_running(rig)
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    log = {"log": {"trial": 1, "complete": True}, "journaledTime": "2026-11-24T12:00:00Z"}
    rig.fake.change("corejobs", "a", {"status": log})
    await rig.settle()
    rig.stale.add("corejobs")
    before = len(rig.fake.writes())
    await rig.passes(rig.settings.ttl)
    rig.queue.add("a")  # an event of its Job or its pod
    await rig.settle()
    assert rig.fake.writes()[before:] == ["DELETE corejobs/a", "PATCH corejobs/a"]
    assert rig.fake.objects["corejobs"] == {}


async def test_one_status_write_for_each_change_and_none_without(rig: Rig) -> None:
    await to_running(rig)
    assert rig.fake.writes() == ["POST jobs", "PATCH corejobs/a/status"]

    for _ in range(3):
        rig.queue.add("a")
        await rig.settle()
    rig.begin()
    await rig.settle()
    assert len(rig.fake.writes()) == 2
    assert rig.metrics.writes._value.get() == 0


async def test_a_status_is_rendered_once_for_each_version(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    render = model.render_status

    def counted(status: model.Status) -> dict[str, Any]:
        rendered.append(str(status.state))
        return render(status)

    monkeypatch.setattr(model, "render_status", counted)
    await to_running(rig)
    first = len(rendered)
    for _ in range(5):
        rig.queue.add("a")
        await rig.settle()
    assert len(rendered) == first
    # Another writer has changed a field of the operator's: the new version is compared again.
    rig.fake.change("corejobs", "a", {"status": {"conditions": [], "observedGeneration": 9}})
    await rig.settle()
    assert rig.status("a")["observedGeneration"] == 1
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    assert rig.status("a")["state"] == "complete"


async def test_a_write_has_only_the_fields_that_changed(rig: Rig) -> None:
    await to_running(rig)
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    body = rig.fake.requested("PATCH", "corejobs")[-1].body

    assert "id" not in body["status"]
    assert body["status"]["state"] == "complete"
    assert set(body) == {"status"}


@pytest.mark.parametrize("code", [0, 1, 75, 78, 137, 143])
async def test_an_outcome_without_a_traceback_is_written_once(rig: Rig, code: int) -> None:
    """A merge patch stores no nulls, so a null that is missing later is no change."""
    await to_running(rig)
    rig.pod("a-1", ended(code), "Failed" if code else "Succeeded")
    await rig.settle()
    count = len(rig.fake.writes())
    rig.queue.add("a")
    await rig.settle()

    assert len(rig.fake.writes()) == count


async def test_fields_of_other_writers_stay(rig: Rig) -> None:
    await to_running(rig)
    rig.fake.change("corejobs", "a", {"status": {"progress": {"value": 0.5}, **COMPLETE_LOG}})
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()

    assert rig.status("a")["progress"] == {"value": 0.5}
    assert rig.status("a")["log"] == COMPLETE_LOG["log"]


async def test_the_conditions_and_the_generation_are_written(rig: Rig) -> None:
    await to_running(rig)
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    found = {c["type"]: c["status"] for c in rig.status("a")["conditions"]}

    assert found == {"Complete": "True", "Finished": "True"}
    assert rig.status("a")["observedGeneration"] == 1


# --- retries and times ------------------------------------------------------------------------


async def test_a_failure_is_tried_again_at_its_time(rig: Rig) -> None:
    await to_running(rig, attempts=2, errorTimeSeconds=60)
    rig.pod("a-1", ended(1), "Failed")
    rig.fake.change("corejobs", "a", {"status": COMPLETE_LOG})
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["reason"]) == ("failed", "RetryLater")
    assert rig.jobs() == []

    await rig.passes(56)
    assert rig.jobs() == []
    await rig.passes(2)
    assert rig.jobs() == ["a-2"]
    assert rig.status("a")["attemptsLeft"] == 1


async def test_the_next_job_starts_when_one_has_ended(rig: Rig) -> None:
    await to_running(rig, maxParallel=1)
    rig.corejob("b", maxParallel=1)
    await rig.settle()
    assert (rig.status("b")["reason"], rig.jobs()) == ("MaxParallel", ["a-1"])

    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    assert "b-1" in rig.jobs()


async def test_an_operator_that_starts_counts_the_running_jobs(rig: Rig) -> None:
    await to_running(rig, maxParallel=1)
    rig.corejob("b", maxParallel=1)
    rig.begin()
    await rig.settle()

    assert rig.jobs() == ["a-1"]


async def test_a_starting_job_keeps_its_place_when_its_template_goes(rig: Rig) -> None:
    rig.settings = replace(rig.settings, namespace_limit=1)
    rig.begin()
    rig.template("b.Job")
    rig.corejob("a")
    await rig.settle()
    rig.corejob("b", qualName="b.Job")
    await rig.settle()
    rig.fake.remove("corejobtemplates", "a.job")
    for _ in range(2):
        rig.queue.add("a")
        await rig.settle()
    await rig.lasts()

    assert rig.jobs() == ["a-1"]
    assert rig.status("a")["reason"] == "Starting"


# --- templates ------------------------------------------------------------------------------


async def test_a_job_waits_for_its_template_and_takes_its_properties(rig: Rig) -> None:
    rig.corejob("b", qualName="b.Job")
    await rig.settle()
    assert rig.status("b")["reason"] == "TemplateNotFound"

    rig.template("b.Job", properties={"attempts": 3})
    await rig.settle()
    assert rig.jobs() == ["b-1"]
    await rig.lasts()
    assert rig.status("b")["properties"]["attempts"] == 3
    assert rig.status("b")["attemptsLeft"] == 3


@pytest.mark.parametrize("changed", [True, False])
async def test_the_properties_by_which_a_trial_was_started_stay(rig: Rig, changed: bool) -> None:
    """The template is changed, or deleted, before the first status is written."""
    rig.template("b.Job", properties={"attempts": 3})
    rig.corejob("b", qualName="b.Job")
    await rig.settle()
    if changed:
        rig.template("b.Job", properties={"attempts": 9})
    else:
        rig.fake.remove("corejobtemplates", "b.job")
    rig.pod("b-1", started())
    await rig.settle()
    assert rig.status("b")["properties"]["attempts"] == 3

    rig.pod("b-1", ended(1), "Failed")
    await rig.settle()
    assert rig.status("b")["attemptsLeft"] == 2


# --- kubectl --------------------------------------------------------------------------------


async def test_a_corejob_of_kubectl_gets_its_finalizer_first(rig: Rig) -> None:
    rig.corejob("a", has_finalizer=False, metadata={"finalizers": ["other"]})
    await rig.settle()

    assert rig.fake.writes()[:2] == ["PATCH corejobs/a", "POST jobs"]
    meta = rig.fake.objects["corejobs"]["a"]["metadata"]
    assert sorted(meta["finalizers"]) == sorted(["other", names.FINALIZER])


async def test_a_kill_and_a_restart(rig: Rig) -> None:
    child = "6743cccccccccccccccccccc"
    await to_running(rig, username="hans")
    rig.fake.change("corejobs", "a", {"status": {"log": {"trial": 1}}})
    rig.fake.change("corejobs", "a", {"spec": {"kill": True, "childId": child}})
    await rig.settle()
    assert "DELETE pods/a-1-x" in rig.fake.writes()
    assert rig.fake.requested("DELETE", "pods")[0].body["preconditions"]["uid"]
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [failed]}})
    await rig.settle()
    assert rig.status("a")["state"] == "killed"

    made = rig.fake.objects["corejobs"][child]
    assert made["spec"]["parentName"] == "a"
    assert (made["spec"]["carriedTrials"], made["spec"]["username"]) == (1, "hans")
    assert made["spec"]["args"] == {"n": "a"}
    assert rig.status("a")["childId"] == child
    assert f"{child}-2" in rig.jobs()


async def test_a_kill_counts_a_trial_that_ran_and_lost_its_pod_between_two_reconciles(
    rig: Rig,
) -> None:
    rig.corejob("a")
    await rig.settle()
    rig.fake.change("corejobs", "a", {"spec": {"kill": True}})
    rig.pod("a-1", ended(0), "Succeeded")
    rig.fake.remove("pods", "a-1-x")
    rig.fake.remove("jobs", "a-1")
    await rig.settle()

    status = rig.status("a")
    assert (status["state"], status["reason"], status["trial"]) == ("killed", "Killed", 1)
    assert status["startTime"]


async def test_a_child_that_the_api_made_before_is_no_error(rig: Rig) -> None:
    child = "6743cccccccccccccccccccc"
    rig.corejob(child, parentName="a", parentId="e" * 24)
    rig.corejob("a", childId=child, status={"state": "error", "trial": 1, "id": "e" * 24})
    await rig.settle()

    assert rig.status("a")["childId"] == child
    assert rig.errors == []


async def test_a_child_counts_on_from_its_parents_last_trial(rig: Rig) -> None:
    """The parent's pod started after the restart was requested, which was one trial more."""
    child = "6743cccccccccccccccccccc"
    parent = {"state": "killed", "trial": 3, "id": "e" * 24}
    rig.corejob("a", childId=child, kill=True, status=parent)
    lineage: dict[str, Any] = {"args": {"n": "a"}, "parentName": "a", "parentId": "e" * 24}
    rig.corejob(child, carriedTrials=2, **lineage)
    await rig.settle()

    assert rig.jobs() == [f"{child}-4"]
    status = rig.status(child)
    assert (status["trial"], status["carriedTrials"]) == (3, 3)
    rig.begin()
    await rig.settle()
    assert rig.jobs() == [f"{child}-4"]


async def test_the_count_begins_where_the_enqueue_says(rig: Rig) -> None:
    child = "6743cccccccccccccccccccc"
    rig.corejob("a", carriedTrials=5)
    await rig.settle()
    assert rig.jobs() == ["a-6"]
    rig.pod("a-6", started())
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["trial"]) == ("running", 6)

    rig.pod("a-6", ended(1), "Failed")
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["attemptsLeft"]) == ("error", 0)
    rig.fake.change("corejobs", "a", {"spec": {"childId": child}})
    await rig.settle()
    assert rig.fake.objects["corejobs"][child]["spec"]["carriedTrials"] == 6
    assert f"{child}-7" in rig.jobs()


async def test_in_a_chain_nothing_starts_before_all_before_it_have_ended(rig: Rig) -> None:
    """The middle one is killed while the first one's pod is still being stopped."""
    middle, last = "6743cccccccccccccccccccc", "6743dddddddddddddddddddd"
    await to_running(rig)
    rig.fake.change("corejobs", "a", {"spec": {"kill": True, "childId": middle}})
    same: dict[str, Any] = {"args": {"n": "a"}, "carriedTrials": 0}
    first_id = rig.status("a")["id"]
    rig.corejob(middle, kill=True, childId=last, parentName="a", parentId=first_id, **same)
    rig.corejob(last, parentName=middle, parentId=middle, **same)
    await rig.settle()
    for name in (middle, last):
        assert rig.status(name)["reason"] == "ParentTerminating"
        assert rig.status(name)["state"] == "pending"

    rig.pod("a-1", ended(143), "Failed")
    await rig.settle()
    assert (rig.status("a")["state"], rig.status(middle)["state"]) == ("killed", "killed")
    assert rig.status(middle)["trial"] == 1
    assert f"{last}-2" in rig.jobs()


async def test_a_deleted_corejob_goes_when_the_journal_has_it(rig: Rig) -> None:
    await to_running(rig)
    rig.pod("a-1", ended(0), "Succeeded")
    await rig.settle()
    rig.fake.change("corejobs", "a", {"status": COMPLETE_LOG})
    rig.fake.delete("corejobs", "a")
    await rig.settle()
    assert "a" in rig.fake.objects["corejobs"]

    rig.fake.change("corejobs", "a", {"status": {"journaledTime": "2026-11-24T12:00:00Z"}})
    await rig.settle()
    assert "a" not in rig.fake.objects["corejobs"]
    assert rig.reconciler.admitter.admission.active() == 0


# --- refusals -------------------------------------------------------------------------------


async def test_a_job_that_exists_and_is_ours_is_fine(rig: Rig) -> None:
    rig.fake.refuse("POST", "jobs", 503, after=lambda: None)
    rig.corejob("a")
    rig.fake.watchers.clear()  # the watch does not deliver it yet, either
    await rig.settle()
    assert (len(rig.errors), rig.jobs()) == (1, ["a-1"])
    await rig.passes(1)
    await rig.lasts()

    assert rig.jobs() == ["a-1"]
    assert rig.status("a")["reason"] == "Starting"


async def test_a_job_of_that_name_that_is_not_ours_is_an_error(rig: Rig) -> None:
    rig.fake.objects["jobs"]["a-1"] = {"metadata": {"name": "a-1", "uid": "other", "labels": {}}}
    rig.corejob("a")
    await rig.settle()

    status = rig.status("a")
    assert (status["state"], status["reason"]) == ("error", "BadDefinition")
    assert "another Job is named a-1 already" in status["message"]
    assert "DELETE jobs/a-1" not in rig.fake.writes()


async def test_children_of_an_earlier_corejob_of_the_same_name_are_ignored(rig: Rig) -> None:
    """`kubectl delete` and `kubectl apply` in quick succession: its Job and pod still exist."""
    await to_running(rig)
    rig.pod("a-1", ended(0), "Succeeded")
    left = {kind: dict(rig.fake.objects[kind]) for kind in ("jobs", "pods")}
    await rig.settle()
    rig.fake.remove("corejobs", "a")
    for kind, bodies in left.items():
        for body in bodies.values():
            rig.fake.put(kind, body)
    rig.corejob("a")
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["trial"]) == ("pending", 0)
    assert rig.status("a")["reason"] == "Queued"
    assert "an earlier CoreJob of this name" in rig.status("a")["message"]

    rig.fake.remove("jobs", "a-1")
    await rig.passes(5)
    made = rig.fake.objects["jobs"]["a-1"]["metadata"]
    uid = rig.fake.objects["corejobs"]["a"]["metadata"]["uid"]
    assert made["ownerReferences"][0]["uid"] == uid
    await rig.lasts()
    assert rig.status("a")["reason"] == "Starting"


@pytest.mark.parametrize("pod", ["text", {"spec": "text"}, {"spec": {"containers": ["x"]}}, [1]])
async def test_a_template_that_is_no_pod_is_a_bad_definition(rig: Rig, pod: Any) -> None:
    rig.template("b.Job", template=pod)
    rig.corejob("b", qualName="b.Job")
    await rig.settle()

    assert (rig.status("b")["state"], rig.status("b")["reason"]) == ("error", "BadDefinition")


async def test_a_deleted_corejob_is_forgotten(rig: Rig) -> None:
    rig.corejob("a")
    rig.fake.watchers.clear()
    rig.fake.remove("corejobs", "a")
    await rig.settle()
    await rig.lasts()

    assert rig.caches.corejobs.get("a") is None
    assert rig.errors == []
    assert rig.reconciler.admitter.admission.active() == 0


async def test_a_deleted_corejob_without_a_finalizer_is_forgotten(rig: Rig) -> None:
    rig.corejob("a", has_finalizer=False)
    rig.fake.watchers.clear()
    rig.fake.remove("corejobs", "a")
    await rig.settle()

    assert rig.caches.corejobs.get("a") is None
    assert rig.errors == []


async def test_a_write_that_is_behind_the_times_is_made_good(rig: Rig) -> None:
    """The cache is outdated, and a finished job can't change its state."""
    await to_running(rig)
    rig.fake.watchers.clear()
    rig.fake.change("corejobs", "a", {"status": {"state": "complete"}})
    rig.pod("a-1", ended(1), "Failed")
    rig.begin()
    rig.fake.watchers.clear()
    rig.caches.corejobs.put(rig.fake.objects["corejobs"]["a"])
    await rig.settle()
    assert rig.status("a")["state"] == "complete"


async def test_an_old_view_is_renewed_after_a_refusal(rig: Rig) -> None:
    await to_running(rig)
    rig.fake.watchers.clear()
    rig.fake.change("corejobs", "a", {"status": {"state": "killed"}})
    rig.pod("a-1", ended(0), "Succeeded")
    rig.caches.pods.put(rig.fake.objects["pods"]["a-1-x"])
    await rig.settle()

    assert [type(error) for error in rig.errors] == [InvalidError]
    assert rig.status("a")["state"] == "killed"


async def test_an_unavailable_server_is_a_retry(rig: Rig) -> None:
    rig.fake.refuse("PATCH", "corejobs", 503, times=2)
    rig.corejob("a")
    await rig.settle()
    await rig.lasts()
    await rig.passes(1)
    await rig.passes(1)

    assert [type(error) for error in rig.errors] == [UnavailableError] * 2
    assert rig.status("a")["reason"] == "Starting"
    assert rig.jobs() == ["a-1"]


# --- Events ---------------------------------------------------------------------------------


async def test_an_event_tells_of_a_change_after_it_was_written(rig: Rig) -> None:
    await to_running(rig)
    rig.queue.add("a")
    await rig.settle()
    told = await rig.events()

    assert [event["reason"] for event in told] == ["Running"]
    assert told[0]["regarding"]["name"] == "a"
    assert all(event["type"] == "Normal" for event in told)


async def test_a_status_that_was_not_written_has_no_event(rig: Rig) -> None:
    rig.fake.refuse("PATCH", "corejobs", 503, times=9)
    rig.corejob("a")
    await rig.settle()

    assert await rig.events() == []


async def test_a_job_that_the_journal_never_stored_has_a_warning(rig: Rig) -> None:
    rig.settings = replace(rig.settings, journal_deadline=30)
    rig.begin()
    rig.corejob(
        "a", status={"state": "complete", "trial": 0, "removedTime": "2026-11-24T11:00:00Z"}
    )
    rig.fake.delete("corejobs", "a")
    rig.fake.change("corejobs", "a", {"metadata": {"deletionTimestamp": "2026-11-24T11:00:00Z"}})
    await rig.settle()

    assert "a" not in rig.fake.objects["corejobs"]
    assert [event["reason"] for event in await rig.events()] == ["NotJournaled"]
    assert rig.metrics.lost._value.get() == 1
