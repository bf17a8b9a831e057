"""A kill and a restart while the node is dead: the job names the node, and what to do."""

from collections.abc import Iterator

import pytest
from tests.e2e.manifests import template
from tests.support.ghost import ghost_node, pod_spec, say_it_runs
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster

NAME = "e2e.dead.Node"


@pytest.fixture
def ghost(kubectl: Kubectl) -> Iterator[str]:
    with ghost_node(kubectl, "e2e-dead") as name:
        yield name


def test_a_killed_job_on_a_node_that_is_dead(rest: Rest, kubectl: Kubectl, image: str, ghost: str):
    container = {"name": "job", "image": image, "command": ["sleep", "600"]}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1, **pod_spec(ghost)}
    kubectl.apply(template(NAME, runtime="container", pod=pod))
    rest.wait_listed(NAME)
    job_id = rest.enqueue(NAME)
    pod_name = say_it_runs(kubectl, job_id, ghost)
    rest.wait_state(job_id, "running")
    rest.kill(job_id)
    remedy = f"`kubectl delete job {job_id}-1`, then `kubectl delete pod {pod_name} --force`"
    document = rest.wait(
        job_id, lambda row: remedy in (row["message"] or ""), what="says what to do"
    )
    assert document["state"] == "killed"
    assert f"node {ghost}" in document["message"]

    # The job that restarts it must not run beside it.
    child = rest.restart(job_id)
    waits = rest.wait(child, lambda row: f"node {ghost}" in (row["message"] or ""), what="says why")
    assert (waits["state"], waits["reason"]) == ("pending", "ParentTerminating")
    # The node controller gives a node 40 s, and knows since when it is silent.
    words = f"node {ghost} has not answered since "
    rest.wait(
        child, lambda row: words in (row["message"] or ""), what="says since when", seconds=180
    )

    # Follow the message's remedy.
    kubectl("delete", "job", f"{job_id}-1")
    kubectl("delete", "pod", pod_name, "--force")
    document = rest.wait(job_id, lambda row: row["reason"] == "Killed", what="is killed")
    assert document["state"] == "killed"
    rest.wait(child, lambda row: row["reason"] != "ParentTerminating", what="goes on")
    rest.kill(child)
    rest.wait_state(child, "killed")
