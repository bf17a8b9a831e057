"""Every cause of death, distinguished by making it happen with real pods.

After each, REST, kubectl and the Event on the CoreJob must agree.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.e2e.manifests import template
from tests.support import corejobs
from tests.support.ghost import ghost_node, pod_spec, say_it_runs
from tests.support.jobs import FAILING, MEMORY, SLEEPY
from tests.support.kubectl import Kubectl, polled
from tests.support.rest import Rest
from tests.support.scripts import SHELL_DRAINED
from tests.support.sse import Stream

pytestmark = pytest.mark.cluster

START = "start execution"
KILLED_LINE = "done execution with [killed] after ["
NO_ATTEMPT_USED = 3
SHELL = "e2e.deaths.Shell"


def shell(qual_name: str, script: str, image: str, **pod: Any) -> dict[str, Any]:
    """Return the template of a job that runs a shell script."""
    container = {"name": "job", "image": image, "command": ["sh", "-c", script]}
    return template(qual_name, runtime="container", pod={"containers": [container], **pod})


def provide(rest: Rest, kubectl: Kubectl, document: dict[str, Any]) -> str:
    """Apply a template and wait until the service knows it; return the job's name."""
    kubectl.apply(document)
    qual_name: str = document["spec"]["qualName"]
    rest.wait_listed(qual_name)
    # A template that was there before is listed at once, when the operator may still have the old
    # one, from which it would make the trial.
    polled(
        lambda: kubectl.json("get", "corejobtemplate", document["metadata"]["name"]),
        is_judged,
        what=f"the operator has judged the template of {qual_name}",
        seconds=120,
    )
    return qual_name


def is_judged(resource: dict[str, Any]) -> bool:
    """True if the operator's verdict on a template, good or bad, is about its present spec."""
    generation = resource["metadata"]["generation"]
    return any(
        (item["type"], item["observedGeneration"]) == ("Valid", generation)
        for item in resource.get("status", {}).get("conditions", [])
    )


def sleeping(rest: Rest, **args: Any) -> str:
    """Return the id of a sleeping job that is known to run, and whose log is being read."""
    job_id = rest.enqueue(SLEEPY, sleep=600, attempts=NO_ATTEMPT_USED, **args)
    with rest.follow(job_id) as stream:
        stream.line("sleeping [600] seconds")
        stream.state("running")
    return job_id


def verdict(
    rest: Rest, kubectl: Kubectl, job_id: str, *reasons: str, event: bool = True
) -> dict[str, Any]:
    """Return the document of a job that has stopped, checked against kubectl and the Event.

    Several reasons are given where more than one is correct. Without `event`, the reason is one
    that no Event tells.
    """

    def look() -> tuple[dict[str, Any], dict[str, Any]]:
        document = rest.detail(job_id)
        return document, corejobs.differences(corejobs.status(kubectl, job_id), document)

    # The message of a job that can't start may change between two reads: the kubelet retries.
    document, _ = polled(
        look,
        lambda seen: seen[0]["reason"] in reasons and not seen[1],
        what=f"REST and kubectl say {' or '.join(reasons)} of {job_id}",
        seconds=120,
    )
    if event:
        told = corejobs.wait_event(kubectl, job_id, document["reason"], document["state"])
        assert told["type"] == "Warning"
    return document


def check_killed(document: dict[str, Any], *, by_user: bool) -> None:
    """Check that the job was killed, with all its attempts left."""
    assert document["state"] == "killed"
    assert document["attempts_left"] == NO_ATTEMPT_USED
    assert (document["killed_at"] is not None) is by_user
    assert document["flag"]["killed"] is by_user
    assert document["last_error"]["exception"] == "JobKilledByWorker"
    assert document["locked"] is None


# --- a lost node, whose collector takes a minute: meanwhile the tests go on ----------------------


GHOST = "e2e-ghost"


@pytest.fixture(scope="module")
def ghost(kubectl: Kubectl) -> Iterator[str]:
    """A node that no kubelet serves."""
    with ghost_node(kubectl, GHOST) as name:
        yield name


@dataclass(frozen=True, slots=True)
class Lost:
    """A job whose node has gone, and its stream since before that."""

    job_id: str
    stream: Stream


@pytest.fixture(scope="module")
def lost(rest: Rest, kubectl: Kubectl, image: str, ghost: str) -> Iterator[Lost]:
    """A running pod whose node is then deleted, with everything that ran on it.

    When the node is deleted, the pod garbage collector ends and deletes its pods.
    """
    name = "e2e.deaths.Ghost"
    script = "echo here; exec sleep 600"
    provide(rest, kubectl, shell(name, script, image, **pod_spec(ghost)))
    job_id = rest.enqueue(name, attempts=NO_ATTEMPT_USED)
    say_it_runs(kubectl, job_id, ghost)
    document = rest.wait_state(job_id, "running")
    assert document["locked"]["hostname"] == ghost
    # The next trial may run on any node.
    kubectl.apply(shell(name, script, image))
    with rest.follow(job_id) as stream:
        kubectl("delete", "node", ghost)
        yield Lost(job_id, stream)
    rest.empty_queue()


@pytest.fixture(autouse=True)
def emptied(rest: Rest, lost: Lost) -> Iterator[None]:
    """Override the fixture: keep the job whose node is lost."""
    yield
    rest.empty_queue(but=lost.job_id)


# --- killed ------------------------------------------------------------------------------------


def test_killed_by_the_user(rest: Rest, kubectl: Kubectl):
    job_id = sleeping(rest)
    rest.kill(job_id)
    document = verdict(rest, kubectl, job_id, "Killed")
    check_killed(document, by_user=True)
    assert document["message"] == "killed by the user"
    assert rest.messages(job_id)[-1].startswith(KILLED_LINE)


def test_the_pod_is_deleted_by_hand(rest: Rest, kubectl: Kubectl):
    job_id = sleeping(rest)
    kubectl("delete", "pod", corejobs.pod_name(kubectl, job_id))
    document = verdict(rest, kubectl, job_id, "PodDeleted")
    check_killed(document, by_user=False)
    assert "the pod was deleted by somebody else" in document["message"]
    assert rest.messages(job_id)[-1].startswith(KILLED_LINE)


def test_the_pod_is_deleted_by_force(rest: Rest, kubectl: Kubectl):
    job_id = sleeping(rest)
    pod = corejobs.pod_name(kubectl, job_id)
    kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    document = verdict(rest, kubectl, job_id, "PodDeleted")
    check_killed(document, by_user=False)
    assert rest.messages(job_id)[-1].startswith(KILLED_LINE)


def test_the_job_is_deleted_by_hand(rest: Rest, kubectl: Kubectl):
    job_id = sleeping(rest)
    kubectl("delete", "job", f"{job_id}-1")
    document = verdict(rest, kubectl, job_id, "JobDeleted")
    check_killed(document, by_user=False)
    assert "the Job was deleted by somebody else" in document["message"]
    assert rest.messages(job_id)[-1].startswith(KILLED_LINE)


# --- memory, time, code ------------------------------------------------------------------------


def of_memory(document: dict[str, Any], limit: str) -> bool:
    """True if the job's error names memory as its cause.

    A container runtime under load may miss the kernel's event. Then there is only exit code 137,
    and the error says that memory may be the cause, and how much the container was allowed.
    """
    said = document["last_error"]["exception"]
    alone = all(word in said for word in ("137", "memory", limit))
    return said.startswith("OOMKilled: the container used more memory") or alone


def test_out_of_memory(rest: Rest, kubectl: Kubectl):
    # So much that the first lines are long out of the pipe when the kernel kills the container.
    limits = {"limits": {"memory": "256Mi"}, "requests": {"memory": "32Mi"}}
    name = provide(
        rest, kubectl, template(MEMORY, pod={"containers": [{"name": "job", "resources": limits}]})
    )
    job_id = rest.enqueue(name, mb=512, attempts=2, error_time=600)
    document = verdict(rest, kubectl, job_id, "RetryLater", event=False)
    assert (document["state"], document["attempts_left"]) == ("failed", 1)
    assert of_memory(document, "256Mi"), document
    assert document["killed_at"] is None
    rest.restart(job_id)
    rest.wait_state(job_id, "error")
    document = verdict(rest, kubectl, job_id, "OOMKilled", "CodeError")
    assert of_memory(document, "256Mi"), document
    assert document["last_error"]["exception"] == document["message"]
    assert (document["trial"], document["attempts_left"]) == (2, 0)
    messages = rest.messages(job_id)
    assert messages.count(START) == 2
    assert messages.count("holding [8] MB") == 2
    assert messages[-1].startswith("done execution with [error] after [")


def test_longer_than_the_deadline_of_its_pod(rest: Rest, kubectl: Kubectl, image: str):
    script = "trap 'exit 1' TERM; echo begun; sleep 600 & wait"
    document = shell("e2e.deaths.Deadline", script, image, activeDeadlineSeconds=600)
    job_id = rest.enqueue(provide(rest, kubectl, document))
    with rest.follow(job_id) as stream:
        stream.line("begun")
        stream.state("running")
    # The deadline counts from before the container's start, so shorten it only now.
    soon = json.dumps({"spec": {"activeDeadlineSeconds": 1}})
    kubectl("patch", "pod", corejobs.pod_name(kubectl, job_id), "--type=merge", "--patch", soon)
    document = verdict(rest, kubectl, job_id, "DeadlineExceeded")
    assert (document["state"], document["attempts_left"]) == ("error", 0)
    assert document["message"].startswith("DeadlineExceeded: ")
    assert document["last_error"]["exception"].startswith("DeadlineExceeded: ")
    assert document["killed_at"] is None
    assert rest.messages(job_id)[0] == "begun"


def test_the_code_fails(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(FAILING, message="by design")
    document = verdict(rest, kubectl, job_id, "CodeError")
    assert (document["state"], document["attempts_left"]) == ("error", 0)
    assert "by design" in document["message"]
    assert document["last_error"]["exception"] == "RuntimeError('by design')"
    assert any("acceptance.py" in line for line in document["last_error"]["traceback"])
    assert document["killed_at"] is None


def test_the_class_can_not_be_imported(rest: Rest, kubectl: Kubectl):
    name = provide(rest, kubectl, template("e2e.deaths.missing.Module"))
    job_id = rest.enqueue(name, attempts=NO_ATTEMPT_USED)
    document = verdict(rest, kubectl, job_id, "BadDefinition")
    assert (document["state"], document["attempts_left"]) == ("error", NO_ATTEMPT_USED)
    assert "ModuleNotFoundError" in document["last_error"]["exception"]
    assert START not in rest.messages(job_id)


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (137, "exit code 137 (SIGKILL)")])
def test_the_exit_code_of_a_container(rest: Rest, kubectl: Kubectl, image: str, code, words):
    script = f"{SHELL_DRAINED}echo going; exit {code}"
    document = shell(f"{SHELL}{code}", script, image)
    job_id = rest.enqueue(provide(rest, kubectl, document))
    document = verdict(rest, kubectl, job_id, "CodeError")
    assert (document["state"], document["attempts_left"]) == ("error", 0)
    # With its last lines, which the kubelet takes from the log.
    assert document["message"] == f"the container ended with {words}: going"
    assert document["last_error"]["exception"] == document["message"]
    assert document["last_error"]["traceback"] is None
    assert rest.messages(job_id)[0] == "going"


# --- never started -----------------------------------------------------------------------------


def test_an_image_that_can_not_be_pulled(rest: Rest, kubectl: Kubectl):
    reference = "localhost/e2e-absent:1"
    document = shell("e2e.deaths.Absent", "true", reference)
    job_id = rest.enqueue(provide(rest, kubectl, document), attempts=NO_ATTEMPT_USED)
    document = verdict(rest, kubectl, job_id, "ImagePull")
    assert (document["state"], document["trial"]) == ("pending", 0)
    assert reference in document["message"]
    rest.kill(job_id)
    rest.wait(job_id, lambda row: row["killed_at"], what="is killed")
    document = verdict(rest, kubectl, job_id, "Killed")
    check_killed(document, by_user=True)
    assert (document["trial"], document["started_at"]) == (0, None)
    corejobs.wait_no_pod(kubectl, job_id)


def test_an_image_whose_name_is_none(rest: Rest, kubectl: Kubectl):
    document = shell("e2e.deaths.BadImage", "true", "No Image!")
    job_id = rest.enqueue(provide(rest, kubectl, document), attempts=NO_ATTEMPT_USED)
    document = verdict(rest, kubectl, job_id, "BadImage")
    assert (document["state"], document["attempts_left"]) == ("error", NO_ATTEMPT_USED)
    assert document["message"].startswith("InvalidImageName")
    assert document["last_error"]["exception"] == document["message"]
    assert (document["trial"], document["killed_at"]) == (0, None)
    corejobs.wait_no_pod(kubectl, job_id)


def test_no_node_has_room(rest: Rest, kubectl: Kubectl, image: str):
    document = shell("e2e.deaths.Huge", "true", image)
    container = document["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "4000"}}
    job_id = rest.enqueue(provide(rest, kubectl, document), attempts=NO_ATTEMPT_USED)
    document = verdict(rest, kubectl, job_id, "Unschedulable")
    assert (document["state"], document["trial"]) == ("pending", 0)
    # The scheduler's message.
    assert "Insufficient cpu" in document["message"]
    rest.kill(job_id)
    rest.wait(job_id, lambda row: row["killed_at"], what="is killed")
    check_killed(verdict(rest, kubectl, job_id, "Killed"), by_user=True)
    corejobs.wait_no_pod(kubectl, job_id)


@pytest.mark.parametrize("kind", ["pod", "job"])
def test_a_job_is_killed_if_its_unstarted_pod_or_job_is_deleted_by_hand(
    rest: Rest, kubectl: Kubectl, image: str, kind
):
    document = shell("e2e.deaths.Stuck", "true", image, nodeSelector={"e2e": "nowhere"})
    job_id = rest.enqueue(provide(rest, kubectl, document), attempts=NO_ATTEMPT_USED)
    rest.wait(job_id, lambda row: row["reason"] == "Unschedulable", what="is stuck")
    name = corejobs.pod_name(kubectl, job_id) if kind == "pod" else f"{job_id}-1"
    kubectl("delete", kind, name)
    reason = "PodDeleted" if kind == "pod" else "JobDeleted"
    rest.wait_state(job_id, "killed")
    document = verdict(rest, kubectl, job_id, reason)
    check_killed(document, by_user=False)
    assert (document["trial"], document["started_at"]) == (0, None)


# --- disruptions: they use no attempt, and the trial runs again ----------------------------------


def test_an_eviction(rest: Rest, kubectl: Kubectl):
    job_id = sleeping(rest)
    with rest.follow(job_id) as stream:
        corejobs.evict(kubectl, corejobs.pod_name(kubectl, job_id))
        pending = stream.state("pending")
        again = stream.wait(
            lambda frame: (
                frame.event == "state"
                and (frame.data["state"], frame.data["trial"]) == ("running", 2)
            ),
            what="the trial runs again",
        ).data
        stream.wait(
            lambda frame: frame.event == "log" and stream.messages.count(START) == 2,
            what="it starts again",
        )
        # The logs of the old and of the new pod may arrive in any order.
        stream.line("done execution")
    assert pending["reason"] == "Evicted"
    assert pending["message"].startswith("EvictionByEvictionAPI: ")
    assert pending["killed_at"] is None
    assert again["attempts_left"] == pending["attempts_left"] == NO_ATTEMPT_USED
    assert not any(again["flag"].values())
    event = corejobs.wait_event(kubectl, job_id, "Evicted", "pending")
    assert "EvictionByEvictionAPI" in event["message"]
    # The log's record of the trial that was cut short.
    (line,) = [text for text in stream.messages if text.startswith("done execution")]
    assert line.startswith(KILLED_LINE)
    rest.kill(job_id)
    check_killed(verdict(rest, kubectl, job_id, "Killed"), by_user=True)


# The last test: by now it may have happened.
def test_the_node_is_gone(kubectl: Kubectl, lost: Lost):
    # The collector polls every 20 s, and gives a node 40 s to come back.
    pending = lost.stream.state("pending", seconds=180)
    lost.stream.line("here")
    again = lost.stream.wait(
        lambda frame: (
            frame.event == "state" and (frame.data["state"], frame.data["trial"]) == ("running", 2)
        ),
        what="the trial runs again",
    ).data
    assert pending["reason"] == "NodeLost"
    assert "DeletionByPodGC" in pending["message"]
    assert pending["killed_at"] is None
    assert again["locked"]["hostname"] != GHOST
    assert again["attempts_left"] == NO_ATTEMPT_USED
    event = corejobs.wait_event(kubectl, lost.job_id, "NodeLost", "pending")
    assert "DeletionByPodGC" in event["message"]
