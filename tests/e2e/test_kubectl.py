"""The life of a job by kubectl, and what the API server refuses."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.manifests import corejob, template
from tests.e2e.values import TTL_SECONDS
from tests.support import corejobs
from tests.support.jobs import DUMMY, FAILING, SEGMENT, SLEEPY
from tests.support.kubectl import Kubectl, polled
from tests.support.rest import Rest
from tests.support.scripts import SHELL_DRAINED
from tests.support.waiting import until

pytestmark = pytest.mark.cluster


def patch(name: str, spec: dict[str, Any]) -> list[str]:
    """Return the arguments of a patch of the spec."""
    return ["patch", "corejob", name, "--type=merge", "--patch", json.dumps({"spec": spec})]


def known(rest: Rest, job_id: str) -> str:
    """Wait until REST has a job that kubectl created; return its id."""
    until(
        lambda: rest.call("GET", f"job/{job_id}").status_code,
        lambda code: code == 200,
        what=f"REST knows {job_id}",
    )
    return job_id


def test_get_a_running_job(kubectl: Kubectl):
    kubectl.apply(corejob("runs", qualName=DUMMY, args={"sleep": 600}))
    corejobs.wait_state(kubectl, "runs", "running")
    head, row = kubectl("get", "corejobs", "runs").splitlines()
    assert head.split() == ["NAME", "JOB", "STATE", "TRIAL", "PROGRESS", "REASON", "AGE"]
    assert row.split()[:4] == ["runs", DUMMY, "running", "1"]
    wide = kubectl("get", "corejobs", "runs", "-o", "wide").splitlines()[0].split()
    assert wide[7:] == ["NODE", "RUNTIME", "USER", "MESSAGE"]


@pytest.fixture(scope="module")
def completed(kubectl: Kubectl) -> dict[str, Any]:
    """The completed CoreJob `by-kubectl`, with its progress."""
    kubectl.apply(corejob("by-kubectl", qualName=DUMMY, args={"sleep": 1}))
    kubectl("wait", "--for=condition=Complete", "corejob/by-kubectl", "--timeout=110s")
    # The recorder may write the progress after the operator has written the condition.
    found: dict[str, Any] = polled(
        lambda: kubectl.json("get", "corejob", "by-kubectl"),
        lambda job: "percent" in job["status"].get("progress", {}),
        what="it has a progress",
    )
    return found


def test_apply_wait_and_get(rest: Rest, kubectl: Kubectl, completed: dict[str, Any]):
    status = completed["status"]
    assert status["state"] == "complete"
    conditions = {item["type"]: item["status"] for item in status["conditions"]}
    assert conditions["Complete"] == conditions["Finished"] == "True"
    assert conditions.get("Failed", "False") == "False"
    _, row = kubectl("get", "c4j", "by-kubectl").splitlines()
    name, job, state, trial, progress, reason = row.split()[:6]
    assert (name, job, state, trial) == ("by-kubectl", DUMMY, "complete", "1")
    assert progress.endswith("%")
    assert reason == "Completed"

    detail = rest.wait_journaled(known(rest, status["id"]))
    assert detail["state"] == "complete"
    assert "just sleeping [1] seconds" in rest.messages(status["id"])


def test_the_resource_and_the_rest_document_agree(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(FAILING, message="parity", attempts=2, error_time=600, priority=4)
    document = rest.wait(job_id, lambda row: row["reason"] == "RetryLater", what="has failed")
    assert document["state"] == "failed"
    resource = kubectl.json("get", "corejob", job_id)
    spec, state = resource["spec"], resource["status"]
    assert spec["qualName"] == document["qual_name"] == document["name"]
    assert spec["args"] == document["args"] == {"message": "parity"}
    assert spec["priority"] == document["priority"] == 4
    assert spec["attempts"] == document["attempts"] == 2
    assert spec["errorTimeSeconds"] == document["error_time"] == 600
    assert spec["username"] == document["enqueued"]["username"] == "admin"
    assert spec["hostname"] == document["enqueued"]["hostname"]
    assert state["id"] == document["_id"]
    for field, name in (
        ("state", "state"),
        ("trial", "trial"),
        ("attemptsLeft", "attempts_left"),
        ("lastError", "last_error"),
        ("runtimeSeconds", "runtime"),
        ("reason", "reason"),
        ("message", "message"),
    ):
        assert state.get(field) == document[name], field
    for field, name in (
        ("startTime", "started_at"),
        ("finishTime", "finished_at"),
        ("queryTime", "query_at"),
        ("inactiveTime", "inactive_at"),
    ):
        # RFC 3339 in `status`, UTC without an offset in the document.
        assert state[field].removesuffix("Z")[:19] == document[name][:19], field


def test_kill_restart_and_remove_by_patch(rest: Rest, kubectl: Kubectl):
    kubectl.apply(corejob("steered", qualName=SLEEPY, args={"sleep": 600}))
    old = corejobs.wait_state(kubectl, "steered", "running")
    restart = patch("steered", {"restartAt": "2026-01-01T00:00:00Z"})
    said = kubectl.refused(*restart)
    assert "spec.restartAt" in said
    assert "a pending, running or complete job can't be restarted" in said
    kubectl(*patch("steered", {"kill": True}))
    killed = corejobs.wait_state(kubectl, "steered", "killed")
    assert killed["reason"] == "Killed"
    assert killed["killedTime"] is not None
    # REST has a watch of its own, and may lag behind kubectl.
    known(rest, old["id"])
    rest.wait(old["id"], lambda row: row["flag"]["killed"], what="is killed")

    kubectl(*patch("steered", {"restartAt": killed["endTime"]}))
    child = polled(
        lambda: corejobs.status(kubectl, "steered").get("childId", ""), what="it has a child"
    )
    assert rest.detail(known(rest, child))["enqueued"]["parent_id"] == old["id"]
    rest.wait(
        old["id"], lambda row: row["enqueued"].get("child_id") == child, what="names its child"
    )
    assert "the job has already been restarted" in kubectl.refused(*restart)
    rest.wait_state(child, "running")
    kubectl(*patch(child, {"kill": True, "remove": True}))
    assert rest.wait_journaled(child)["state"] == "killed"
    said = kubectl.refused(*patch(child, {"restartAt": killed["endTime"]}))
    assert "a removed job can't be restarted" in said


def test_a_job_that_was_removed_while_it_waited_can_not_be_killed_by_patch(
    rest: Rest, kubectl: Kubectl
):
    job_id = rest.enqueue(FAILING, attempts=2, error_time=3600)
    corejobs.wait_state(kubectl, job_id, "failed")
    kubectl(*patch(job_id, {"remove": True}))
    polled(lambda: corejobs.status(kubectl, job_id).get("removedTime"), what="it is removed")
    said = kubectl.refused(*patch(job_id, {"kill": True}))
    assert "the job has left the queue, so it can't be killed" in said
    assert rest.wait_journaled(job_id)["state"] == "failed"


def test_a_complete_job_can_not_be_restarted_by_patch(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SEGMENT, segment=1)
    done = corejobs.wait_state(kubectl, job_id, "complete")
    for change in ({}, {"kill": True}):
        said = kubectl.refused(*patch(job_id, {**change, "restartAt": done["endTime"]}))
        assert "a pending, running or complete job can't be restarted" in said


def test_deleting_the_pod_kills_the_job(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=600, attempts=3)
    with rest.follow(job_id) as stream:
        stream.line("sleeping [600] seconds")
        kubectl("delete", "pod", corejobs.pod_name(kubectl, job_id))
        stream.to_close()
    document = rest.detail(job_id)
    assert document["state"] == "killed"
    assert document["killed_at"] is None
    assert document["flag"]["killed"] is False
    assert document["attempts_left"] == 3
    assert document["reason"] == "PodDeleted"
    assert document["last_error"]["exception"] == "JobKilledByWorker"
    assert kubectl.json("get", "corejob", job_id)["status"]["reason"] == "PodDeleted"


def test_deleting_a_running_corejob_stops_journals_and_ends_it(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=600)
    with rest.follow(job_id) as stream:
        stream.line("sleeping [600] seconds")
        kubectl("delete", "corejob", job_id, "--timeout=110s")
        stream.to_close()
    assert stream.states[-1] == "killed"
    corejobs.wait_no_pod(kubectl, job_id)
    # REST learns by a watch that the resource is gone.
    assert rest.wait_journaled(job_id)["state"] == "killed"
    assert "sleeping [600] seconds" in rest.messages(job_id)
    assert rest.queue() == []


def test_a_job_without_a_template_waits_for_it(rest: Rest, kubectl: Kubectl):
    name = "e2e.later.Echo"
    kubectl.apply(corejob("early", qualName=name, args={"word": "hello"}))
    seen = polled(
        lambda: corejobs.status(kubectl, "early"),
        lambda found: found.get("reason") == "TemplateNotFound",
        what="it says that its template is missing",
    )
    assert name in seen["message"]
    image = kubectl.json("get", "deployment", "core4-api")["spec"]["template"]["spec"][
        "containers"
    ][0]["image"]
    script = f'{SHELL_DRAINED}echo "$CORE4_ARG_WORD"'
    container = {"name": "echo", "image": image, "command": ["sh", "-c", script]}
    kubectl.apply(template(name, runtime="container", pod={"containers": [container]}))
    kubectl("wait", "--for=condition=Complete", "corejob/early", "--timeout=110s")
    assert rest.messages(known(rest, seen["id"])) == ["hello"]


def described(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield each field of a schema with its description."""
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        yield inner, field.get("description", "")
        yield from described(field, inner)
        yield from described(field.get("items", {}), inner)


@pytest.mark.parametrize("resource", ["corejob", "corejobtemplate"])
def test_explain_tells_about_every_field(kubectl: Kubectl, resource):
    schema = kubectl.json("get", "crd", f"{resource}s.core4.io")["spec"]["versions"][0]["schema"]
    root = schema["openAPIV3Schema"]["properties"]
    for part in sorted({"spec", "status"} & set(root)):
        fields = dict(described(root[part], part))
        assert fields
        assert [path for path, text in fields.items() if not text] == []
        explained = " ".join(kubectl("explain", f"{resource}.{part}").split())
        for name, field in root[part]["properties"].items():
            assert f" {name} <" in explained, name
            assert " ".join(field["description"].split()) in explained, name


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no-name-of-the-job": ({}, "spec.qualName"),
    "no-dot": ({"qualName": "dummy"}, "spec.qualName"),
    "bad-characters": ({"qualName": "a b.C"}, "spec.qualName"),
    "no-attempts": ({"qualName": DUMMY, "attempts": 0}, "spec.attempts"),
    "text-attempts": ({"qualName": DUMMY, "attempts": "three"}, "spec.attempts"),
    "negative-time": ({"qualName": DUMMY, "errorTimeSeconds": -1}, "spec.errorTimeSeconds"),
    "half-a-priority": ({"qualName": DUMMY, "priority": 0.5}, "spec.priority"),
    "text-force": ({"qualName": DUMMY, "force": "yes"}, "spec.force"),
    "no-parallel": ({"qualName": DUMMY, "maxParallel": 0}, "spec.maxParallel"),
    "empty-worker": ({"qualName": DUMMY, "worker": ""}, "spec.worker"),
    "list-of-args": ({"qualName": DUMMY, "args": [1]}, "spec.args"),
    "text-kill": ({"qualName": DUMMY, "kill": "now"}, "spec.kill"),
    "no-time": ({"qualName": DUMMY, "restartAt": "yesterday"}, "spec.restartAt"),
    "no-id": ({"qualName": DUMMY, "parentId": "xyz"}, "spec.parentId"),
    "restart-at-creation": (
        {"qualName": DUMMY, "restartAt": "0000-01-01T00:00:00Z"},
        "a new job can't be restarted",
    ),
    "child-at-creation": ({"qualName": DUMMY, "childId": "0" * 24}, "a new job has no child"),
    "misspelt": ({"qualName": DUMMY, "attemps": 3}, "spec.attemps"),
    "a-name-that-is-longer-than-the-name-of-a-job-may-be-1": (
        {"qualName": DUMMY},
        "metadata.name",
    ),
    "dotted.name": ({"qualName": DUMMY}, "metadata.name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_corejob_is_refused_by_the_name_of_its_field(kubectl: Kubectl, name):
    spec, field = REFUSED[name]
    document = json.dumps(corejob(name, **spec))
    assert field in kubectl.refused("create", "-f", "-", stdin=document)
    assert kubectl.attempt("get", "corejob", name).returncode != 0


BAD_TEMPLATES: dict[str, tuple[dict[str, Any], str]] = {
    "no-author": ({"author": None}, "spec.author"),
    "schedule": ({"schedule": "at noon"}, "spec.schedule"),
    "runtime": ({"runtime": "perl"}, "spec.runtime"),
    "no-pod": ({"runtime": "container"}, "spec.template"),
    "property": ({"properties": {"attempts": 0}}, "spec.properties.attempts"),
    "other-name": ({"qualName": "e2e.other.Job"}, "metadata.name"),
}


@pytest.mark.parametrize("case", BAD_TEMPLATES)
def test_a_bad_template_is_refused_by_the_name_of_its_field(kubectl: Kubectl, case):
    changes, field = BAD_TEMPLATES[case]
    document = template("e2e.bad.Job")
    document["spec"] = {k: v for k, v in (document["spec"] | changes).items() if v is not None}
    assert field in kubectl.refused("create", "-f", "-", stdin=json.dumps(document))


def test_the_identity_of_a_job_can_not_be_changed(rest: Rest, kubectl: Kubectl):
    blocker = rest.enqueue(SEGMENT, segment=1, sleep=600, max_parallel=1)
    rest.wait_state(blocker, "running")
    spec = {"qualName": SEGMENT, "args": {"segment": 2}, "maxParallel": 1, "username": "jane"}
    kubectl.apply(corejob("settled", **spec))
    corejobs.wait_state(kubectl, "settled", "pending")
    for name in (blocker, "settled"):
        said = kubectl.refused(*patch(name, {"childId": "0" * 24}))
        assert "only a stopped job" in said
    changes: list[tuple[str, Any]] = [
        ("qualName", SLEEPY),
        ("args", {"segment": 3}),
        ("username", "jim"),
        ("hostname", "elsewhere"),
        ("parentId", "0" * 24),
    ]
    for field, value in changes:
        said = kubectl.refused(*patch("settled", {field: value}))
        assert f"{field} is immutable" in said
    kubectl(*patch("settled", {"priority": 3}))
    kubectl(*patch("settled", {"kill": True}))
    assert "args is immutable" in kubectl.refused(*patch("settled", {"args": None}))
    for answer in (False, None):
        said = kubectl.refused(*patch("settled", {"kill": answer}))
        assert "kill can't be undone" in said


def test_a_final_state_can_not_be_left(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(FAILING, message="final")
    rest.wait_state(job_id, "error")
    for change in ("pending", "complete", None):
        body = json.dumps({"status": {"state": change}})
        where = ["patch", "corejob", job_id, "--subresource=status", "--type=merge"]
        assert "a finished job can't change its state" in kubectl.refused(*where, "--patch", body)
    assert rest.detail(job_id)["state"] == "error"


def test_the_second_of_two_equal_corejobs_ends_as_a_duplicate(rest: Rest, kubectl: Kubectl):
    first = rest.enqueue(SLEEPY, sleep=600, max_parallel=1)
    rest.wait_state(first, "running")
    kubectl.apply(corejob("twin", qualName=SLEEPY, args={"sleep": 600}))
    seen = corejobs.wait_state(kubectl, "twin", "error")
    assert seen["reason"] == "Duplicate"
    assert rest.detail(first)["state"] == "running"


# The last test, so that its time passes while the other tests run.
def test_a_past_corejob_goes_after_its_time(
    rest: Rest, kubectl: Kubectl, completed: dict[str, Any]
):
    polled(
        lambda: kubectl.attempt("get", "corejob", "by-kubectl").stderr,
        lambda said: "NotFound" in said,
        what="the past CoreJob is gone",
        seconds=TTL_SECONDS + 60,
        every=1,
    )
    # The job stays in the journal.
    assert rest.detail(completed["status"]["id"])["state"] == "complete"
