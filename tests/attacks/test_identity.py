"""No job can pass for another: by its name, by labels, or by the text of a refusal."""

import json
from typing import Any

import pytest
from tests.attacks.names import CLOSED, OPEN
from tests.attacks.scripts import SECONDS, run
from tests.e2e.manifests import corejob
from tests.support import corejobs
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.scripts import DRAINED
from tests.support.waiting import until

CREATOR = "creator"
STEADY = (
    "import time\nfor n in range(3000):\n    print('secret line', n, flush=True); time.sleep(0.2)"
)


@pytest.fixture(scope="module")
def creator(kubectl: Kubectl) -> str:
    """Return kubectl's option for an account that may only create CoreJobs."""
    kubectl("create", "serviceaccount", CREATOR)
    kubectl("create", "role", CREATOR, "--verb=create", "--resource=corejobs.core4.io")
    who = f"{kubectl.namespace}:{CREATOR}"
    kubectl("create", "rolebinding", CREATOR, f"--role={CREATOR}", f"--serviceaccount={who}")
    return f"--as=system:serviceaccount:{who}"


def take_over(kubectl: Kubectl, creator: str, job_id: str) -> None:
    """Create a CoreJob of alice's class that is named like another job's id."""
    document = corejob(job_id, qualName=OPEN, args={"code": "print('mine')"}, username="admin")
    kubectl("create", "-f", "-", creator, stdin=json.dumps(document))
    until(
        lambda: corejobs.status(kubectl, job_id),
        lambda seen: (seen.get("state"), seen.get("reason")) == ("error", "Duplicate"),
        what=f"the CoreJob {job_id} is refused",
    )


def sees_nothing(alice: Rest, job_id: str) -> None:
    """Check that alice learns neither lines nor the name of the class."""
    calls = [
        ("GET", f"job/{job_id}"),
        ("GET", f"job/log/{job_id}"),
        ("GET", f"job/follow/{job_id}"),
        ("PUT", f"job/kill/{job_id}"),
        ("PUT", f"job/restart/{job_id}"),
        ("PUT", f"job/remove/{job_id}"),
    ]
    for method, path in calls:
        answer = alice.call(method, path)
        # Nobody can kill, remove or restart a past job.
        assert answer.status_code == 403 or (method, answer.status_code) == ("PUT", 404)
        assert job_id in answer.json()["error"]
        assert CLOSED not in answer.text


def test_a_running_job_is_not_taken_over_by_its_id(
    rest: Rest, alice: Rest, kubectl: Kubectl, creator: str
) -> None:
    kubectl.apply(corejob("nightly", qualName=CLOSED, args={"code": STEADY}))
    status = corejobs.wait_state(kubectl, "nightly", "running", seconds=SECONDS)
    job_id = status["id"]
    take_over(kubectl, creator, job_id)
    sees_nothing(alice, job_id)
    document = rest.detail(job_id)
    assert (document["name"], document["state"]) == (CLOSED, "running")
    assert any(row["_id"] == job_id for row in rest.queue())
    rest.kill(job_id)
    rest.wait_state(job_id, "killed")
    assert all(text.startswith("secret line") for text in rest.messages(job_id))


# Wait until the CoreJob is gone.
@pytest.mark.thorough
def test_a_past_job_is_not_taken_over_by_its_id(
    rest: Rest, alice: Rest, kubectl: Kubectl, creator: str
) -> None:
    job_id = run(rest, "print('secret line')" + DRAINED, CLOSED)
    rest.wait_journaled(job_id, seconds=SECONDS)
    until(
        lambda: kubectl.attempt("get", "corejob", job_id).returncode,
        lambda code: code != 0,
        what="the CoreJob is gone",
        seconds=SECONDS,
        every=1,
    )
    before = rest.detail(job_id)
    take_over(kubectl, creator, job_id)
    sees_nothing(alice, job_id)
    assert rest.detail(job_id) == before
    assert rest.messages(job_id) == ["secret line"]


def foreign(
    image: str, kind: str, name: str, labels: dict[str, str], **meta: Any
) -> dict[str, Any]:
    """Return a foreign pod or Job whose labels claim that it is a trial of a job."""
    container = {"name": "x", "image": image, "command": ["sh", "-c", "echo foreign; sleep 500"]}
    spec: dict[str, Any] = {
        "containers": [container],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
    }
    if kind == "Job":
        container["command"] = ["true"]
        spec = {"template": {"spec": spec}}
    version = "batch/v1" if kind == "Job" else "v1"
    meta = {"name": name, "labels": labels, **meta}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def test_pods_and_jobs_with_the_labels_of_a_job_are_none_of_its_own(
    rest: Rest, kubectl: Kubectl, image: str
) -> None:
    job_id = run(rest, STEADY, CLOSED)
    rest.wait_state(job_id, "running", seconds=SECONDS)
    labels = {"core4.io/corejob": job_id, "core4.io/trial": "1"}
    kubectl.apply(
        foreign(image, "Pod", "foreign", labels),
        foreign(image, "Pod", "claims", labels, annotations={"core4.io/id": job_id}),
        foreign(image, "Pod", "numberless", {"core4.io/corejob": job_id}),
        foreign(image, "Pod", "odd", {**labels, "core4.io/trial": "x"}),
        foreign(image, "Job", "done", labels),
    )
    for condition, *names in (
        ("complete", "job/done"),
        ("ready", "pod/foreign", "pod/claims"),
    ):
        what = f"--for=condition={condition}"
        # kubectl's own deadline comes first: it says what was not met.
        kubectl("wait", what, *names, f"--timeout={SECONDS:g}s", timeout=SECONDS + 20)
    assert rest.detail(job_id)["state"] == "running"
    rest.kill(job_id)
    rest.wait_state(job_id, "killed")
    assert all(text.startswith("secret line") for text in rest.messages(job_id))
    for name in ("foreign", "claims", "numberless", "odd"):
        pod = kubectl.json("get", "pod", name)
        assert "deletionTimestamp" not in pod["metadata"]
    all_names = ("pod/foreign", "pod/claims", "pod/numberless", "pod/odd", "job/done")
    kubectl("delete", "--wait=false", *all_names)
