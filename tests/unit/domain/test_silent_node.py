"""An unresponsive node is named only if Kubernetes reports it, or the pod is overdue."""

from typing import Any

import pytest
from tests.unit.domain.builders import NOW, at, at_text, batch_job, condition, pod_body, started

from corejob import children
from corejob.names import Reason
from corejob.observation import Phase
from corejob.trial import observe, overdue_at, silent_node

READY = condition("ContainersReady", "")
SINCE = {"lastTransitionTime": at_text(-40)}
SILENT = [READY, {**condition("Ready", "", status="False"), **SINCE}]
PROBE = [
    {**condition("ContainersReady", "ContainersNotReady", status="False"), **SINCE},
    {**condition("Ready", "ContainersNotReady", status="False"), **SINCE},
]


def pod(*, conditions: list[dict[str, Any]], deleted: float | None = None) -> children.PodChild:
    body = pod_body(state=started(), conditions=conditions)
    if deleted is not None:
        body["metadata"]["deletionTimestamp"] = at_text(deleted)
    return children.parse_pod(body)


def test_the_node_controller_has_marked_the_pod() -> None:
    seen = observe(batch_job(), [pod(conditions=SILENT)], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.RUNNING, Reason.RUNNING)
    assert seen.message == "node node-1 has not answered since 2026-11-24T11:59:20 UTC"


def test_a_failing_readiness_probe_is_not_a_silent_node() -> None:
    assert observe(batch_job(), [pod(conditions=PROBE)], now=NOW).message is None


def test_the_message_says_how_to_stop_a_pod_on_a_silent_node() -> None:
    text = silent_node(pod(conditions=SILENT, deleted=-1), NOW)

    assert text is not None
    assert text.startswith("node node-1 has not answered since 2026-11-24T11:59:20 UTC: the pod ")
    assert "`kubectl delete node node-1`" in text
    assert "`kubectl delete job 6743aaaaaaaaaaaaaaaaaaaa-1`, then " in text
    assert "`kubectl delete pod 6743aaaaaaaaaaaaaaaaaaaa-1-x7k2p --force`" in text


@pytest.mark.parametrize(("deleted", "said"), [(-9, False), (-10, True)])
def test_a_pod_that_is_overdue(deleted: float, said: bool) -> None:
    """Its grace time ended ten seconds ago; Kubernetes has reported nothing about the node."""
    late = pod(conditions=[READY], deleted=deleted)
    text = silent_node(late, NOW)

    assert (text is not None) is said
    assert text is None or text.startswith("node node-1 should have stopped the pod by 2026-11-24T")
    assert overdue_at([late], NOW) == (None if said else at(1))
