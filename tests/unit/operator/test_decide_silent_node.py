"""A node that does not answer under a pod that never started: the message names it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ID, at, at_text, pod_body, waiting
from tests.unit.domain.test_trial_suspended import SUSPENDED
from tests.unit.operator.builders import child, decided, waits

from corejob import children
from corejob.children import PodChild
from corejob.model import CoreJob
from corejob.state import State

OVERDUE = "node node-1 should have stopped the pod by 2026-11-24T11:58:00 UTC and has not: "
REMEDY = f"`kubectl delete pod {ID}-1-x7k2p --force`"
TAINTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


def pending(deleted: float = -120, *, node: str | None = "node-1", **more: Any) -> PodChild:
    """Return a pod that was bound to a node and never started; `deleted` ends its grace period."""
    body = pod_body(phase="Pending", state=waiting("ContainerCreating"), **more)
    grace = {"deletionTimestamp": at_text(deleted), "deletionGracePeriodSeconds": 10}
    body["metadata"] |= grace
    body["spec"] = {} if node is None else {"nodeName": node}
    return children.parse_pod(body)


def starts(**more: Any) -> CoreJob:
    status = {"reason": "Starting", "message": "ContainerCreating", "startingTime": at_text(-600)}
    return waits(status={**status, **more.pop("status", {})}, **more)


def lost(message: str = "DeletionByTaintManager: words") -> CoreJob:
    return starts(status={"reason": "NodeLost", "message": message, "disruptions": 1})


@pytest.mark.parametrize(
    ("job", "situation", "reason", "words"),
    [
        (starts(kill=True), {}, "Terminating", "stopping the pod; "),
        (starts(remove=True), {}, "Terminating", "stopping the pod; "),
        (starts(), {"jobs": [child()]}, "PodDeleted", "the pod is being deleted; "),
        (starts(), {}, "JobDeleted", "the pod is being deleted; "),
        (starts(), {"jobs": [SUSPENDED]}, "Suspended", "its Job is suspended; "),
        (
            lost(),
            {"pods": [pending(conditions=[TAINTED])]},
            "NodeLost",
            "DeletionByTaintManager: words; ",
        ),
        (lost(), {}, "NodeLost", "DeletionByTaintManager: words; "),
        (
            starts(),
            {"jobs": [child()], "pods": [pending(conditions=[TAINTED])]},
            "NodeLost",
            "DeletionByTaintManager: Taint manager: deleting due to NoExecute taint; ",
        ),
    ],
    ids=[
        "killed",
        "removed",
        "deleted by hand",
        "its Job too",
        "suspended",
        "tainted",
        "rest",
        "first seen tainted",
    ],
)
def test_the_node_is_named_with_the_remedy(
    job: CoreJob, situation: dict[str, Any], reason: str, words: str
) -> None:
    facts = {"pods": [pending()], **situation}
    decision = decided(job, **facts)

    message = decision.status.message or ""
    assert decision.status.state is State.PENDING
    assert decision.status.reason == reason
    assert message.startswith(words + OVERDUE)
    assert REMEDY in message
    again = decided(replace(job, status=decision.status), now=at(60), **facts)
    assert again.status.message == message  # written once


@pytest.mark.parametrize(
    ("job", "conditions"),
    [(starts(kill=True), []), (starts(), []), (lost(), []), (lost(), [TAINTED])],
    ids=["killed", "deleted", "rest", "tainted"],
)
def test_a_pod_that_is_in_time_is_checked_again(job: CoreJob, conditions: list[Any]) -> None:
    decision = decided(job, pods=[pending(-9, conditions=conditions)])

    assert "should have stopped" not in (decision.status.message or "")
    assert decision.requeue_at == at(1)


def test_a_pod_without_a_node_is_kept_by_something_else() -> None:
    message = decided(starts(kill=True), pods=[pending(node=None)]).status.message

    assert message == "ContainerCreating"
