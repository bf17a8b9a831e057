"""Pod Security `restricted`, policies that refuse Jobs, and a start deadline."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.provider import Provider
from tests.e2e.manifests import template
from tests.e2e.values import VALUES
from tests.support import corejobs
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl
from tests.support.release import Later, Release, released
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster

NAME = "e2e.restricted."
# It holds for the other jobs of this module, too, which a busy machine must be able to start.
START_DEADLINE = 90


def enforce(kubectl: Kubectl) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", kubectl.namespace, label)


@pytest.fixture(scope="module")
def restricted(provider: Provider, image: str, later: Later) -> Iterator[Release]:
    jobs = {**VALUES["jobs"], "startDeadlineSeconds": START_DEADLINE}
    values = {**VALUES, "jobs": jobs}
    with released(provider, image, values, prepare=enforce, later=later) as release:
        yield release


@pytest.fixture(scope="module")
def rest(restricted: Release) -> Iterator[Rest]:
    with restricted.rest() as client:
        yield client


@pytest.fixture(scope="module")
def kubectl(restricted: Release) -> Kubectl:
    return restricted.kubectl


@pytest.fixture(autouse=True)
def emptied(rest: Rest) -> Iterator[None]:
    yield
    rest.empty_queue()


def enqueued(rest: Rest, kubectl: Kubectl, image: str, name: str, **container: Any) -> str:
    qual_name = f"{NAME}{name}"
    whole = {"name": "job", "image": image, "command": ["true"], "imagePullPolicy": "Never"}
    pod = {"containers": [{**whole, **container}]}
    kubectl.apply(template(qual_name, runtime="container", pod=pod))
    rest.wait_listed(qual_name)
    return rest.enqueue(qual_name, attempts=2)


def test_the_example_job_runs(rest: Rest):
    with rest.run(DUMMY, sleep=1) as stream:
        stream.state("complete")


def test_a_job_that_may_not_run_says_why_and_ends_after_the_start_deadline(
    rest: Rest, kubectl: Kubectl, image: str
):
    root = {"runAsUser": 0, "runAsNonRoot": False}
    job_id = enqueued(rest, kubectl, image, "Root", securityContext=root)
    waits = rest.wait(job_id, lambda row: row["reason"] == "FailedCreate", what="says why")
    assert waits["state"] == "pending"
    assert 'violates PodSecurity "restricted' in waits["message"]
    assert "runAsNonRoot" in waits["message"]
    document = rest.wait_state(job_id, "error")
    assert (document["reason"], document["trial"]) == ("FailedCreate", 0)
    assert document["attempts_left"] == 2
    assert document["message"].startswith(f"not started within {START_DEADLINE} s: ")
    assert 'violates PodSecurity "restricted' in document["message"]
    corejobs.wait_no_pod(kubectl, job_id)


def policy(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a policy that denies the creation of Jobs in the namespace, and its binding."""
    group = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["batch"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["jobs"],
    }
    where = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return (
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "matchConstraints": {"resourceRules": [rule], "namespaceSelector": where},
                "validations": [{"expression": "false", "message": "no jobs on Fridays"}],
            },
        },
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {"policyName": namespace, "validationActions": ["Deny"]},
        },
    )


def test_a_policy_that_refuses_jobs_is_waited_out(rest: Rest, kubectl: Kubectl):
    where = kubectl.namespace
    kubectl.apply(*policy(where))
    try:
        # A new policy takes effect after a moment.
        number = 0
        while True:
            number += 1
            job_id = rest.enqueue(DUMMY, sleep=0.1, number=number)
            document = rest.wait(
                job_id,
                lambda row: row["reason"] == "Queued" or row["state"] == "complete",
                what="is refused, or runs",
            )
            if document["state"] != "complete":
                break
            assert number < 100, "the policy never came into force"
        assert document["state"] == "pending"
        assert "denied request: no jobs on Fridays" in document["message"]
        event = corejobs.wait_event(kubectl, job_id, "Queued", "pending")
        assert "no jobs on Fridays" in event["message"]
    finally:
        kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", where)
    assert rest.wait_state(job_id, "complete")["trial"] == 1
