"""Jobs that the API server refuses, pods that the kubelet refuses, and suspended Jobs.

refusals.json has responses of a real API server.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.domain.builders import NOW, ended, started
from tests.unit.operator.rig import Rig

REFUSALS: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "refusals.json").read_text(encoding="utf-8")
)

STOPPED = [{"name": "job", "state": ended(143)}]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("strict_unknown_field", 'unknown field "spec.template.spec.containers[0].resorces"'),
        ("missing_image", "spec.template.spec.containers[0].image: Required value"),
        ("bad_quantity", "quantities must match the regular expression"),
    ],
)
async def test_a_job_that_kubernetes_can_not_take_is_a_bad_definition(
    rig: Rig, kind: str, words: str
) -> None:
    rig.fake.refuse_with("POST", "jobs", REFUSALS[kind])
    rig.corejob("a", attempts=3)
    await rig.settle()

    status = rig.status("a")
    assert (status["state"], status["reason"]) == ("error", "BadDefinition")
    assert words in status["message"]
    assert (status["attemptsLeft"], status["trial"]) == (3, 0)
    assert rig.reconciler.admitter.admission.active() == 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("quota", "exceeded quota: q"),
        ("policy", "denied request: no jobs on Fridays"),
        ("policy_too_large", "denied request: no jobs on Fridays"),
        ("webhook_no_code", "denied the request without explanation"),
        ("webhook_invalid", "denied the request: spec.template: unknown field"),
        ("webhook_conflict", "denied the request: exists"),
        ("webhook_internal", "denied the request: boom"),
        ("webhook_away", "failed calling webhook"),
        ("namespace_terminating", "it is being terminated"),
    ],
)
async def test_a_job_refused_for_now_waits_with_the_servers_message(
    rig: Rig, kind: str, words: str
) -> None:
    rig.fake.refuse_with("POST", "jobs", REFUSALS[kind], times=3)
    rig.corejob("a")
    await rig.settle()
    status = rig.status("a")
    assert (status["state"], status["reason"]) == ("pending", "Queued")
    assert words in status["message"]
    count = len(rig.fake.requested("PATCH", "corejobs"))

    await rig.passes(2)
    assert len(rig.fake.requested("PATCH", "corejobs")) == count
    assert len(rig.fake.requested("POST", "jobs")) == 2
    await rig.passes(4)
    await rig.passes(8)
    assert rig.jobs() == ["a-1"]
    await rig.lasts()
    assert rig.status("a")["reason"] == "Starting"


async def test_refusals_with_different_messages_are_not_retried_at_once(rig: Rig) -> None:
    """Each message causes a write, and each write an event, which must not trigger the next try."""
    for number in range(50):
        body = {**REFUSALS["quota"], "message": f"exceeded quota: used {number}"}
        rig.fake.refuse_with("POST", "jobs", body)
    rig.corejob("a")
    await rig.settle()
    for _ in range(60):
        await rig.passes(1)

    # At once, and after 2, 6, 14, 30 seconds; then once a minute.
    assert len(rig.fake.requested("POST", "jobs")) == 5


async def test_a_pod_that_the_kubelet_refuses_again_and_again(rig: Rig) -> None:
    """The trial runs again after 0, 10, 20 … seconds, also after a restart, and frees its place."""
    rig.template()
    rig.corejob("a", attempts=1, maxParallel=1)
    await rig.settle()
    rejected = {"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: no cpu"}
    made = []
    for _ in range(150):
        if rig.jobs():
            made.append((rig.now - NOW).total_seconds())
            rig.pod("a-1", {})
            rig.fake.change("pods", "a-1-x", {"status": {**rejected, "containerStatuses": None}})
            await rig.settle()
            rig.begin()
        await rig.passes(1)

    assert made == [0, 1, 11, 31, 71]
    status = rig.status("a")
    assert (status["state"], status["reason"], status["trial"]) == ("pending", "PodRejected", 0)
    assert status["message"].startswith("OutOfcpu: Pod was rejected: no cpu; it runs again")
    assert rig.reconciler.admitter.admission.active() == 0


async def test_a_job_is_suspended_and_resumed(rig: Rig) -> None:
    """The trial goes on in the same Job; no attempt is used, and no other Job is created."""
    rig.template()
    rig.corejob("a", attempts=1)
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": True}})
    rig.fake.change("pods", "a-1-x", {"metadata": {"deletionTimestamp": "2026-11-24T12:00:10Z"}})
    await rig.settle()
    assert rig.status("a")["state"] == "running"
    # The end of the pod is counted once, however long the pod stays.
    rig.fake.change("pods", "a-1-x", {"status": {"phase": "Failed", "containerStatuses": STOPPED}})
    await rig.settle()
    writes = len(rig.fake.writes())
    await rig.passes(60)
    assert len(rig.fake.writes()) == writes
    rig.fake.remove("pods", "a-1-x")
    await rig.settle()
    status = rig.status("a")
    assert (status["state"], status["reason"]) == ("pending", "Suspended")
    assert (status["trial"], status["attemptsLeft"], rig.jobs()) == (1, 1, ["a-1"])

    rig.begin()
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": False}})
    await rig.settle()
    assert rig.status("a")["reason"] == "Starting"
    rig.pod("a-1", started(), name="y")
    await rig.settle()
    assert (rig.status("a")["state"], rig.status("a")["trial"]) == ("running", 1)
    rig.pod("a-1", ended(0, reason="Completed"), "Succeeded", name="y")
    await rig.settle()
    assert (rig.status("a")["state"], rig.jobs()) == ("complete", ["a-1"])


async def test_a_resumed_trial_that_has_ended_by_the_next_reconcile_has_its_own_end(
    rig: Rig,
) -> None:
    rig.corejob("a", attempts=1)
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": True}})
    rig.fake.remove("pods", "a-1-x")
    rig.fake.change("corejobs", "a", {"status": {"log": {"trial": 1, "complete": True}}})
    await rig.settle()
    assert rig.status("a")["reason"] == "Suspended"

    done = {"type": "Complete", "status": "True", "reason": "CompletionsReached"}
    rig.fake.change("jobs", "a-1", {"spec": {"suspend": False}, "status": {"conditions": [done]}})
    rig.pod("a-1", ended(0, reason="Completed"), "Succeeded", name="y")
    await rig.settle()
    status = rig.status("a")
    assert (status["state"], status["reason"], status["trial"]) == ("complete", "Completed", 1)


# --- restarts -------------------------------------------------------------------------------

CHILD = "6743cccccccccccccccccccc"


@pytest.mark.parametrize("kind", ["quota", "policy", "webhook_invalid"])
async def test_a_refused_restart_has_a_warning_and_is_retried(rig: Rig, kind: str) -> None:
    rig.fake.refuse_with("POST", "corejobs", REFUSALS[kind])
    rig.corejob("a", childId=CHILD, status={"state": "error", "trial": 1, "id": "e" * 24})
    await rig.settle()
    assert CHILD not in rig.fake.objects["corejobs"]
    assert "childId" not in rig.status("a")
    (told,) = [event for event in await rig.events() if event["reason"] == "RestartRefused"]
    assert told["type"] == "Warning"
    assert REFUSALS[kind]["message"] in told["note"]

    await rig.passes(2)
    assert CHILD in rig.fake.objects["corejobs"]
    assert rig.status("a")["childId"] == CHILD


async def test_a_restart_that_is_refused_does_not_keep_back_the_kill(rig: Rig) -> None:
    rig.corejob("a")
    await rig.settle()
    rig.pod("a-1", started())
    await rig.settle()
    rig.fake.refuse_with("POST", "corejobs", REFUSALS["policy"], times=9)
    rig.fake.change("corejobs", "a", {"status": {"log": {"trial": 1}}})
    rig.fake.change("corejobs", "a", {"spec": {"kill": True, "childId": CHILD}})
    await rig.settle()
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [failed]}})
    await rig.settle()

    assert rig.status("a")["state"] == "killed"
    assert "childId" not in rig.status("a")


async def test_a_refused_trial_does_not_keep_back_the_restart(rig: Rig) -> None:
    rig.fake.refuse_with("POST", "jobs", REFUSALS["policy"], times=9)
    rig.corejob("a")
    await rig.settle()
    assert rig.status("a")["reason"] == "Queued"
    rig.fake.change("corejobs", "a", {"spec": {"kill": True, "childId": CHILD}})
    await rig.settle()

    assert rig.status("a")["state"] == "killed"
    assert CHILD in rig.fake.objects["corejobs"]
