"""Observations of pods as reported by kubelet 1.37.2 and containerd 1.6.

recorded_pods.json has the bodies: Jobs of these kinds were created on the local cluster, and
their pods read back. It keeps only the fields of metadata and spec that the code reads.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from corejob import children
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.state import State
from corejob.trial import observe

RECORDED: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "recorded_pods.json").read_text(encoding="utf-8")
)
NOW = datetime(2026, 11, 28, 12, 31, 30, tzinfo=UTC)


def observed(kind: str) -> Observation:
    body = dict(RECORDED[kind])
    labels = {"core4.io/corejob": "a", "core4.io/trial": "1"}
    body["metadata"] = {**body["metadata"], "labels": labels}
    pod = children.parse_pod(body)
    job = children.JobChild("a-1", "a", 1, "uid", False, NOW, False, False, None, None)
    return observe(job, [pod], now=NOW)


@pytest.mark.parametrize(
    ("kind", "outcome", "reason", "words"),
    [
        (
            "init-fails",
            State.FAILED,
            Reason.INIT_FAILED,
            "init container [prepare] ended with exit code 3: no database\npreparing",
        ),
        ("two", State.FAILED, Reason.CODE_ERROR, "exit code 3"),
        ("notfound", State.FAILED, Reason.START_ERROR, "stat /no/such/program: no such file"),
        ("termmsg", State.FAILED, Reason.CODE_ERROR, "exit code 5: plain words: no disk"),
        ("fallback", State.FAILED, Reason.CODE_ERROR, "exit code 5: one\nthe last words"),
        (
            "emptydir",
            State.FAILED,
            Reason.DISK_LIMIT,
            'Evicted: Usage of EmptyDir volume "d" exceeds the limit "5Mi"',
        ),
        # The container was gone before the kubelet stopped it, so its state is `waiting` first.
        (
            "emptydir-unlocated-waiting",
            State.FAILED,
            Reason.DISK_LIMIT,
            'Evicted: Usage of EmptyDir volume "data" exceeds the limit "1Mi"',
        ),
        (
            "emptydir-unlocated",
            State.FAILED,
            Reason.DISK_LIMIT,
            'Evicted: Usage of EmptyDir volume "data" exceeds the limit "1Mi"',
        ),
        (
            "ephemeral",
            State.FAILED,
            Reason.DISK_LIMIT,
            "total limit of containers 10Mi",
        ),
        ("deadline", State.FAILED, Reason.DEADLINE_EXCEEDED, "longer than the specified deadline"),
        (
            "oom",
            State.FAILED,
            Reason.OUT_OF_MEMORY,
            "OOMKilled: the container used more memory than its limit of 64Mi",
        ),
        ("oomchild", State.FAILED, Reason.OUT_OF_MEMORY, "OOMKilled"),
        ("outofcpu", State.PENDING, Reason.POD_REJECTED, "OutOfcpu: Pod was rejected: Node didn't"),
        ("nodeaffinity", State.PENDING, Reason.POD_REJECTED, "NodeAffinity: Pod was rejected"),
        ("sysctl", State.PENDING, Reason.POD_REJECTED, "SysctlForbidden: Pod was rejected"),
        ("badimage", State.ERROR, Reason.BAD_IMAGE, "InvalidImageName: Failed to apply default"),
    ],
)
def test_how_it_ended(kind: str, outcome: State, reason: Reason, words: str) -> None:
    seen = observed(kind)

    assert (seen.phase, seen.outcome, seen.reason) == (Phase.ENDED, outcome, reason)
    assert seen.message is not None
    assert words in seen.message
    assert seen.last_error is not None
    assert seen.last_error["exception"] == seen.message
    json.dumps(seen.last_error).encode()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("sidecar", id="a native sidecar was killed after the job's end"),
        pytest.param("other-pull", id="a container beside it never started"),
        pytest.param("restart-rules", id="its restart rules let it run twice"),
    ],
)
def test_a_recorded_pod_completed(kind: str) -> None:
    seen = observed(kind)

    assert (seen.phase, seen.outcome, seen.message) == (Phase.ENDED, State.COMPLETE, None)


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("init-pull", Reason.IMAGE_PULL, "container [prepare]: ErrImagePull: failed to pull"),
        (
            "sidecar-never",
            Reason.CONTAINER_ERROR,
            "container [side]: CrashLoopBackOff: back-off 40s restarting failed container=side",
        ),
        (
            "secretenv",
            Reason.CONTAINER_ERROR,
            'CreateContainerConfigError: secret "missing" not found',
        ),
        ("rootns", Reason.CONTAINER_ERROR, "runAsUser breaks non-root policy"),
        ("pvc", Reason.UNSCHEDULABLE, 'persistentvolumeclaim "missing" not found'),
        ("secretvol", Reason.STARTING, "ContainerCreating"),
    ],
)
def test_a_recorded_pod_waits_for_a_reason(kind: str, reason: Reason, words: str) -> None:
    seen = observed(kind)

    assert (seen.phase, seen.reason) == (Phase.STARTING, reason)
    assert seen.message is not None
    assert words in seen.message


def test_a_program_that_could_not_be_started_has_no_start() -> None:
    seen = observed("notfound")

    assert seen.started_at is None
    assert seen.ended_at == datetime(2026, 11, 28, 12, 29, 53, tzinfo=UTC)


def test_a_container_that_its_rules_restart_has_not_ended_while_its_pod_runs() -> None:
    body = json.loads(json.dumps(RECORDED["restart-rules"]))
    body["status"]["phase"] = "Running"
    body["metadata"]["labels"] = {}
    last = body["status"]["containerStatuses"][0]["lastState"]
    assert last["terminated"]["exitCode"] == 42
    for state in (last, {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}):
        body["status"]["containerStatuses"][0]["state"] = state
        seen = observe(None, [children.parse_pod(body)], now=NOW)
        assert (seen.phase, seen.reason) == (Phase.RUNNING, Reason.RUNNING)


def test_a_pod_of_a_suspended_job_runs_until_it_is_stopped() -> None:
    assert observed("suspended-stopping").phase is Phase.RUNNING


@pytest.mark.parametrize("kind", ["notfound", "init-fails"])
def test_a_pod_that_was_deleted_while_it_started_was_stopped(kind: str) -> None:
    """Not the job's fault: the deletion ended the container's creation, or its init container."""
    body = json.loads(json.dumps(RECORDED[kind]))
    body["metadata"] |= {"labels": {}, "deletionTimestamp": "2026-11-28T12:31:00Z"}
    for init in body["status"].get("initContainerStatuses", ()):
        init["state"]["terminated"]["exitCode"] = 143
    seen = observe(None, [children.parse_pod(body)], now=NOW)

    assert (seen.outcome, seen.reason) == (State.KILLED, Reason.JOB_DELETED)
    assert seen.started_at is None
