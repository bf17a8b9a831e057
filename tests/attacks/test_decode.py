"""Unreadable objects delay nobody but their creator (see conftest)."""

import json
from typing import Any

import pytest
from tests.attacks.scripts import SECONDS
from tests.support import corejobs
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.waiting import until

RESOURCES = "/apis/core4.io/v1/namespaces"


def nested(document: dict[str, Any], levels: int) -> str:
    """Return a document's JSON with `DEEP` nested `levels` deep; Python's encoder can't."""
    return json.dumps(document).replace('"DEEP"', '{"a":' * levels + "1" + "}" * levels)


def create(kubectl: Kubectl, plural: str, name: str, levels: int, **spec: Any) -> None:
    kind = {"corejobs": "CoreJob", "corejobtemplates": "CoreJobTemplate"}[plural]
    document = {
        "apiVersion": "core4.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    path = f"{RESOURCES}/{kubectl.namespace}/{plural}"
    kubectl("create", "--raw", path, "-f", "-", stdin=nested(document, levels))


def status_of(kubectl: Kubectl, kind: str, name: str) -> dict[str, Any]:
    """Return only the status: the rest can't be parsed here either."""
    text = kubectl("get", kind, name, "-o", "jsonpath={.status}")
    found: dict[str, Any] = json.loads(text or "{}")
    return found


@pytest.mark.parametrize(
    "levels",
    [1200, *(pytest.param(levels, marks=pytest.mark.thorough) for levels in (150, 600, 9000))],
)
def test_a_corejob_that_is_nested_too_deep_is_an_error_and_others_go_on(
    kubectl: Kubectl, rest: Rest, levels: int
) -> None:
    name = f"deep-{levels}"
    create(kubectl, "corejobs", name, levels, qualName=DUMMY, args={"x": "DEEP"})
    status = until(
        lambda: status_of(kubectl, "corejob", name),
        lambda seen: seen.get("state") == "error",
        what=f"{name} is an error",
        seconds=180,
    )
    assert status["reason"] == "BadDefinition"
    assert "nested deeper than 100 levels" in status["message"]
    assert corejobs.pods(kubectl, name) == []

    # The API learns of a CoreJob and of its status after kubectl.
    rest.wait_known(status["id"])
    assert rest.wait_state(status["id"], "error")["reason"] == "BadDefinition"
    assert "can't be read" in rest.refused(409, "PUT", f"job/restart/{status['id']}")

    kubectl("delete", "corejob", name, "--timeout=120s")
    assert rest.wait_journaled(status["id"])["state"] == "error"


def test_a_template_that_is_nested_too_deep_says_so_and_others_go_on(
    kubectl: Kubectl,
) -> None:
    create(
        kubectl,
        "corejobtemplates",
        "e2e.deep.job",
        1200,
        qualName="e2e.deep.Job",
        author="the suite",
        argsSchema={"not": "DEEP"},
    )
    try:
        condition = until(
            lambda: {
                one["type"]: one
                for one in status_of(kubectl, "corejobtemplate", "e2e.deep.job").get(
                    "conditions", ()
                )
            }.get("Valid"),
            lambda seen: seen is not None and seen["status"] == "False",
            what="the template is said to be bad",
            seconds=180,
        )
        assert condition is not None
        assert condition["reason"] == "BadDefinition"
        assert "nested deeper" in condition["message"]
    finally:
        kubectl("delete", "corejobtemplate", "e2e.deep.job")


def test_a_lease_that_says_nothing_ends_nobody(kubectl: Kubectl, rest: Rest) -> None:
    for name, label in (
        ("core4-recorder-foreign", "core4.io/recorder"),
        ("core4-key-foreign", "core4.io/claim"),
    ):
        meta = {"name": name, "labels": {label: "key"}}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}
        kubectl("create", "-f", "-", stdin=json.dumps(lease))
    # In one step: the operator would re-create a deleted Lease before a second kubectl starts.
    kubectl("patch", "lease", "core4-operator", "--type=merge", "--patch", '{"spec": null}')
    rest.wait_state(rest.enqueue(DUMMY, sleep=0), "complete", seconds=SECONDS)
    held = until(
        lambda: kubectl.json("get", "lease", "core4-operator").get("spec", {}),
        lambda spec: bool(spec.get("holderIdentity")),
        what="an operator holds its Lease again",
        seconds=180,
    )
    assert "operator" in held["holderIdentity"]
