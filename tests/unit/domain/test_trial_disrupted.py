"""The end of a trial by its node or its cluster, also if the pod is gone: no attempt is used."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import (
    NOW,
    at_text,
    batch_job,
    condition,
    ended,
    pod,
    pod_body,
    started,
    waiting,
)
from tests.unit.domain.test_recorded_pods import RECORDED
from tests.unit.domain.trials import death

from corejob import children
from corejob.children import PodChild
from corejob.names import Reason
from corejob.observation import Observation
from corejob.state import State
from corejob.trial import observe

LOW = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. "
SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
FAILED = batch_job(conditions=[condition("Failed", "BackoffLimitExceeded", "limit reached")])
POLICY = "Pod jobs/a-1-x has condition DisruptionTarget matching FailJob rule at index 0"
DISRUPTED = batch_job(conditions=[condition("Failed", "PodFailurePolicy", POLICY)])


def disruption(reason: str, message: str, *, at: float = -2) -> dict[str, Any]:
    made: dict[str, Any] = condition("DisruptionTarget", reason, message)
    return {**made, "lastTransitionTime": at_text(at)}


def ended_by_kubelet(code: int, reason: str, message: str) -> PodChild:
    """Return a pod that the kubelet ended: its condition comes after the container's end."""
    return pod(
        state=ended(code),
        phase="Failed",
        reason=reason,
        message=message,
        conditions=[disruption("TerminationByKubelet", message)],
    )


@pytest.mark.parametrize(("reason", "message"), [("Evicted", LOW), ("Terminated", SHUTDOWN)])
@pytest.mark.parametrize("code", [1, 2, 78, 130, 137, 143])
def test_any_code_of_a_container_that_the_kubelet_stops_is_the_clusters(
    code: int, reason: str, message: str
) -> None:
    seen = death(ended_by_kubelet(code, reason, message))

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.EVICTED)
    assert seen.message == f"TerminationByKubelet: {message}"


@pytest.mark.parametrize(
    ("code", "outcome"), [(0, State.COMPLETE), (75, State.DEFERRED)], ids=["complete", "deferred"]
)
def test_a_completion_and_a_deferral_count_though_the_kubelet_stops_the_pod(
    code: int, outcome: State
) -> None:
    assert death(ended_by_kubelet(code, "Evicted", LOW)).outcome is outcome


@pytest.mark.parametrize(
    ("end", "outcome"), [(-3, State.FAILED), (-2, State.PENDING)], ids=["before", "after"]
)
def test_a_drain_explains_only_what_ends_after_it(end: float, outcome: State) -> None:
    """The API server writes this condition before the kubelet stops the pod."""
    state = ended(1)
    state["terminated"]["finishedAt"] = at_text(end)
    drained = disruption("EvictionByEvictionAPI", "Eviction API: evicting")

    assert death(pod(state=state, phase="Failed", conditions=[drained])).outcome is outcome


# --- a node that was reset --------------------------------------------------------------------


def unknown(code: int = 137) -> dict[str, Any]:
    reason = "ContainerStatusUnknown" if code == 137 else "Unknown"
    text = "The container could not be located when the pod was terminated"
    times = {"startedAt": None, "finishedAt": None}
    return {"terminated": {"exitCode": code, "reason": reason, "message": text, **times}}


def with_init(state: dict[str, Any], *, own: str = "PodInitializing", **more: Any) -> PodChild:
    body = pod_body(phase="Failed", state=waiting(own), **more)
    body["spec"] |= {"initContainers": [{"name": "prepare"}], "containers": [{"name": "job"}]}
    body["status"]["initContainerStatuses"] = [{"name": "prepare", "restartCount": 0, **state}]
    return children.parse_pod(body)


@pytest.mark.parametrize("code", [137, 255])
def test_an_init_container_that_its_node_lost_has_not_failed(code: int) -> None:
    seen = observe(batch_job(), [with_init({"state": unknown(code)})], now=NOW)

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.NODE_LOST)
    assert seen.message is not None
    assert seen.message.startswith("init container [prepare]: ")


def test_an_init_container_that_its_node_lost_may_be_waiting_at_first() -> None:
    state = {"state": waiting("PodInitializing"), "lastState": unknown(), "restartCount": 1}
    seen = observe(batch_job(), [with_init(state)], now=NOW)

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.NODE_LOST)


def test_a_sidecar_that_its_node_lost_tells_nothing_of_the_job() -> None:
    body = pod_body(phase="Failed", state=ended(3))
    body["spec"]["initContainers"] = [{"name": "side", "restartPolicy": "Always"}]
    body["status"]["initContainerStatuses"] = [{"name": "side", "state": unknown()}]

    assert death(children.parse_pod(body)).reason is Reason.CODE_ERROR


def test_the_end_of_the_job_counts_more_than_a_lost_init_container() -> None:
    """The container runtime may have deleted an init container that ended long ago."""
    body = pod_body(phase="Failed", state=ended(3))
    body["status"]["initContainerStatuses"] = [{"name": "prepare", "state": unknown()}]

    assert death(children.parse_pod(body)).reason is Reason.CODE_ERROR


def lost_at_first(**status: Any) -> PodChild:
    """Return the recorded pod of a lost container, without the eviction of that record."""
    body = json.loads(json.dumps(RECORDED["emptydir-unlocated-waiting"]))
    body["metadata"]["labels"] = {}
    del body["status"]["reason"], body["status"]["message"]
    body["status"] |= status
    return children.parse_pod(body)


def test_a_container_that_its_node_lost_is_waiting_at_first() -> None:
    seen = observe(None, [lost_at_first()], now=NOW)

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.NODE_LOST)
    assert seen.message is not None
    assert seen.message.startswith("ContainerStatusUnknown: The container could not be located")
    assert (seen.exit_code, seen.started_at) == (None, None)


def test_a_container_that_is_started_again_is_not_lost() -> None:
    assert lost_at_first(phase="Running").lost is None


@pytest.mark.parametrize("code", [137, 255])
def test_a_deletion_explains_a_lost_container(code: int) -> None:
    state = unknown(code)
    state["terminated"] |= {"startedAt": at_text(-10), "finishedAt": at_text(-1)}
    own = pod(state=state, phase="Failed", deleting=True)
    init = with_init({"state": unknown(code)}, deleting=True)

    for one in (own, init):
        seen = observe(batch_job(), [one], now=NOW)
        assert (seen.outcome, seen.reason) == (State.KILLED, Reason.POD_DELETED)


# --- pods that are gone -------------------------------------------------------------------------


def gone(state: dict[str, Any], **more: Any) -> PodChild:
    return pod(state=state, phase="Failed", deleting=True, **more)


def after(job: children.JobChild, last: PodChild | None) -> Observation:
    return observe(job, [], gone=last, now=NOW)


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        (ended(1, message="disk full"), State.FAILED, Reason.CODE_ERROR),
        (ended(137, reason="OOMKilled"), State.FAILED, Reason.OUT_OF_MEMORY),
        (ended(75), State.DEFERRED, Reason.DEFERRED),
        (ended(0), State.COMPLETE, Reason.COMPLETED),
        (ended(143), State.KILLED, Reason.POD_DELETED),
    ],
    ids=["failed", "memory", "deferred", "complete, but not its sidecar", "stopped"],
)
def test_the_last_state_of_a_pod_that_is_gone_tells_its_end(
    state: dict[str, Any], outcome: State, reason: Reason
) -> None:
    """Its Job still exists, and tells only that the pod has failed."""
    seen = after(FAILED, gone(state))

    assert (seen.outcome, seen.reason) == (outcome, reason)
    assert seen.exit_code == state["terminated"]["exitCode"]


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ("EvictionByEvictionAPI", Reason.EVICTED),
        ("DeletionByTaintManager", Reason.NODE_LOST),
    ],
)
def test_the_last_state_of_a_disrupted_pod_tells_the_disruption(by: str, reason: Reason) -> None:
    seen = after(DISRUPTED, gone(ended(143), conditions=[disruption(by, "so it is", at=-9)]))

    assert (seen.outcome, seen.reason) == (State.PENDING, reason)
    assert seen.message == f"{by}: so it is"


def test_without_its_pod_a_disrupted_job_tells_no_lost_node() -> None:
    seen = after(DISRUPTED, None)

    assert (seen.outcome, seen.reason, seen.message) == (State.PENDING, Reason.EVICTED, POLICY)


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(pod(state=started(), deleting=True), id="it had not ended"),
        pytest.param(replace(gone(ended(1)), owner_uid="other"), id="the pod of another Job"),
    ],
)
def test_a_last_state_that_tells_no_end_is_left_out(last: PodChild) -> None:
    assert after(FAILED, last).reason is Reason.POD_DELETED


def test_a_complete_job_is_complete_whatever_the_last_state_was() -> None:
    done = batch_job(conditions=[condition("Complete")])

    assert after(done, gone(ended(1))).outcome is State.COMPLETE
    assert after(done, gone(ended(0))).exit_code == 0
