"""The end of a container that the kubelet may restart: restart policies and rules (KEP-5307)."""

from typing import Any

import pytest
from tests.unit.domain.builders import NOW, batch_job, ended, pod_body, started

from corejob import children
from corejob.observation import Phase
from corejob.state import State
from corejob.trial import observe

RESTART_ALL = {
    "restartPolicy": "Never",
    "restartPolicyRules": [
        {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    ],
}


def restart(operator: str, *codes: int) -> dict[str, Any]:
    """Return the policy Never with one rule that restarts the container."""
    exit_codes = {"operator": operator, "values": list(codes)}
    return {
        "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": exit_codes}],
    }


def beside_another(
    job: dict[str, Any], code: int, *, other: dict[str, Any] | None = None, phase: str = "Running"
) -> children.PodChild:
    """Return a pod whose job has ended, and whose other container runs."""
    body = pod_body(phase=phase, state=ended(code))
    body["spec"]["containers"] = [{"name": "job", **job}, {"name": "other", **(other or {})}]
    body["status"]["containerStatuses"].append({"name": "other", "state": started()})
    return children.parse_pod(body)


@pytest.mark.parametrize(
    ("policy", "code", "over"),
    [
        ({}, 0, True),
        ({}, 1, True),
        ({"restartPolicy": "Never"}, 1, True),
        ({"restartPolicy": "OnFailure"}, 0, True),
        ({"restartPolicy": "OnFailure"}, 1, False),
        ({"restartPolicy": "Always"}, 0, False),
        (restart("In", 42), 42, False),
        (restart("In", 42), 0, True),
        (restart("In", 42), 1, True),
        (restart("NotIn", 0, 1), 42, False),
        (restart("NotIn", 0, 1), 1, True),
        ({**restart("In", 42), "restartPolicy": "OnFailure"}, 1, False),
        ({**restart("In", 0), "restartPolicy": "OnFailure"}, 0, False),
    ],
)
def test_the_end_of_a_container_is_final_unless_the_kubelet_restarts_it(
    policy: dict[str, Any], code: int, *, over: bool
) -> None:
    """Another container that runs on does not keep the job alive."""
    seen = observe(batch_job(), [beside_another(policy, code)], now=NOW)

    assert seen.phase is (Phase.ENDED if over else Phase.RUNNING)
    ended_pod = beside_another(policy, code, phase="Succeeded" if code == 0 else "Failed")
    outcome = observe(batch_job(), [ended_pod], now=NOW).outcome
    assert outcome is (State.COMPLETE if code == 0 else State.FAILED)


@pytest.mark.parametrize("code", [0, 1])
def test_a_rule_of_another_container_may_restart_all(code: int) -> None:
    runs = beside_another({}, code, other=RESTART_ALL)

    assert observe(batch_job(), [runs], now=NOW).phase is Phase.RUNNING
    over = beside_another({}, code, other=RESTART_ALL, phase="Failed")
    assert observe(batch_job(), [over], now=NOW).phase is Phase.ENDED


def test_a_rule_of_an_init_container_may_restart_all() -> None:
    body = pod_body(phase="Running", state=ended(1))
    body["spec"]["initContainers"] = [{"name": "prepare", **RESTART_ALL}]

    assert not children.parse_pod(body).over


def test_a_container_may_restart_before_it_has_ended() -> None:
    body = pod_body(phase="Running", state=started())
    body["spec"]["containers"] = [{"name": "job", "restartPolicy": "OnFailure"}]
    one = children.parse_pod(body)

    assert (one.restarts, one.over) == (True, False)
