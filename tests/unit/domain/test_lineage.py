"""New CoreJobs: by an enqueue, and as the restart of another."""

from tests.unit.domain.builders import ID, NOW, UID, corejob, corejob_body

from corejob import lineage, model, names
from corejob.document import document
from corejob.properties import TABLE
from corejob.state import State

CHILD = "c" * 24


def test_a_new_job_has_the_finalizer_and_no_empty_fields() -> None:
    made = lineage.manifest(ID, "jobs", {"qualName": "a.Job", "args": {}, "worker": None})

    assert made["apiVersion"] == names.API_VERSION
    assert made["kind"] == "CoreJob"
    assert made["metadata"]["name"] == ID
    assert made["metadata"]["namespace"] == "jobs"
    assert made["metadata"]["finalizers"] == [names.FINALIZER]
    assert made["metadata"]["labels"] == {names.LABEL_QUAL_NAME: "a.Job"}
    assert made["spec"] == {"qualName": "a.Job", "args": {}}


def test_a_name_too_long_for_a_label_has_none() -> None:
    made = lineage.manifest(ID, "jobs", {"qualName": "a." + "b" * 80})

    assert made["metadata"]["labels"] == {}


def test_a_restart_has_the_same_name_args_properties_user_and_host() -> None:
    spec = {
        "args": {"sleep": 3},
        "attempts": 3,
        "priority": 5,
        "force": True,
        "worker": "node-1",
        "username": "hans",
        "hostname": "laptop",
        "kill": True,
        "remove": True,
    }
    old = corejob(status={"state": "killed", "trial": 2, "attemptsLeft": 1}, **spec)
    new = model.parse(lineage.restart(old, CHILD) | {"status": {}})

    assert (new.name, new.namespace, new.qual_name) == (CHILD, "jobs", "a.Job")
    assert new.args == {"sleep": 3}
    for prop in TABLE:
        assert new.spec[prop.field] == old.spec[prop.field]
    assert (new.spec["username"], new.spec["hostname"]) == ("hans", "laptop")
    assert (new.spec["parentId"], new.spec["parentName"]) == (ID, ID)


def test_a_restart_starts_clean_and_counts_trials_on() -> None:
    error = {"exception": "x", "timestamp": None, "traceback": None}
    old = corejob(
        attempts=3,
        kill=True,
        status={"state": "error", "trial": 4, "attemptsLeft": 0, "lastError": error},
    )
    new = model.parse(lineage.restart(old, CHILD))
    found = document(new, NOW)

    assert new.state is State.PENDING
    assert (found["trial"], found["attempts_left"]) == (4, 3)
    assert found["last_error"] is None
    assert not any(found["flag"].values())
    assert found["enqueued"]["parent_id"] == ID
    assert new.log_finalised


def test_properties_of_the_template_are_restarted_as_they_were() -> None:
    kept = {"state": "killed", "trial": 1, "properties": {"attempts": 7}}
    new = model.parse(lineage.restart(corejob(status=kept), CHILD))

    assert new.spec["attempts"] == 7


def test_a_restart_of_a_job_with_a_name_of_its_own_names_both() -> None:
    old = model.parse(corejob_body(name="my-job", status={"state": "killed", "trial": 1}))
    spec = lineage.restart(old, CHILD)["spec"]

    assert (spec["parentId"], spec["parentName"]) == (old.id, "my-job")
    assert old.uid == UID


def test_a_chain_of_restarts_counts_all_trials() -> None:
    job = corejob()
    for number in range(1, 11):
        status = {"state": "killed", "trial": job.carried_trials + 1}
        ended = model.parse(corejob_body(carriedTrials=job.carried_trials, status=status))
        job = model.parse(lineage.restart(ended, f"{number:024x}"))

    assert job.status.trial == 10
