"""A run that the cluster has ended before its start: the operator deletes it, and blames nobody."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ID, at_text, condition, pod, started
from tests.unit.operator.builders import (
    BUSY,
    DISRUPTED,
    FAILED,
    child,
    decided,
    its_pod,
    starts,
    waits,
)
from tests.unit.operator.rig import Rig

from corejob.children import JobChild, PodChild
from corejob.model import CoreJob
from corejob.state import State
from corejob_operator.decide import CreateTrial, DeleteJob, DeletePod

LOST = {
    "terminated": {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }
}
REJECTED: dict[str, Any] = {
    "phase": "Failed",
    "reason": "OutOfcpu",
    "message": "Pod was rejected: Node didn't have enough resource: cpu",
}
BACKOFF = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
POLICY = [condition("Failed", "PodFailurePolicy", "has condition DisruptionTarget")]


def after(job: CoreJob, **situation: Any) -> CoreJob:
    return replace(job, status=decided(job, **situation).status)


def recorded(reason: str, message: str = "words") -> CoreJob:
    """Return a job whose status tells how its run ended before the start."""
    status = {"disruptions": 1, "startingTime": at_text(-60)}
    return waits(attempts=3, status={"reason": reason, "message": message, **status})


@pytest.mark.parametrize(
    ("leaves", "reason"),
    [
        ({"phase": "Failed", "state": LOST}, "NodeLost"),
        ({"phase": "Failed"}, "PodRejected"),
        (REJECTED, "PodRejected"),
    ],
    ids=["lost", "without a reason", "refused"],
)
@pytest.mark.parametrize("job", [[], [child(deleting=True)]], ids=["gone", "deleting"])
def test_a_pod_in_deletion_was_not_deleted_by_somebody_else(
    leaves: dict[str, Any], reason: str, job: list[JobChild]
) -> None:
    """A finalizer, such as `batch.kubernetes.io/job-tracking`, keeps the pod for a while."""
    noted = after(waits(attempts=3), jobs=[child()], pods=[its_pod(**leaves)], created_trial=1)
    assert noted.status.reason == reason
    deletes = decided(noted, jobs=[child()], pods=[its_pod(**leaves)], created_trial=1)
    assert deletes.actions == (
        DeleteJob(f"{ID}-1", f"uid-{ID}-1"),
        DeletePod(f"{ID}-1-x7k2p", f"uid-{ID}-1-x7k2p"),
    )

    deleted = decided(noted, jobs=job, pods=[its_pod(**leaves, deleting=True)])

    assert deleted.status == noted.status
    assert (deleted.actions, deleted.queue) == ((), "active")


@pytest.mark.parametrize(
    "job",
    [
        child(conditions=FAILED),
        child(conditions=FAILED, deleting=True),
        child(conditions=POLICY),
        child(),
        child(deleting=True),
    ],
    ids=["failed", "failed, deleting", "disrupted", "not ended", "deleting"],
)
@pytest.mark.parametrize("reason", ["PodRejected", "NodeLost", "Evicted"])
def test_a_job_without_its_pod_tells_less_than_the_status(job: JobChild, reason: str) -> None:
    """Somebody's finalizer keeps it, or its watch lags."""
    noted = recorded(reason)
    decision = decided(noted, jobs=[job])

    assert decision.status == noted.status
    assert decision.queue == "active"


def test_the_trial_is_created_again_when_everything_is_gone() -> None:
    decision = decided(recorded("NodeLost"))

    assert decision.actions == (CreateTrial(1),)
    assert (decision.status.reason, decision.status.attempts_left) == ("Starting", 3)


@pytest.mark.parametrize(
    ("pods", "created_trial"),
    [([], 1), ([its_pod(phase="Pending")], None)],
    ids=["this operator has created it", "its pod is alive"],
)
def test_a_new_job_is_no_rest_of_the_run_before(
    pods: list[PodChild], created_trial: int | None
) -> None:
    """Its status was not written, since the write failed or the operator crashed."""
    decision = decided(recorded("NodeLost"), jobs=[child()], pods=pods, created_trial=created_trial)

    assert decision.status.reason == "Starting"


def test_the_start_deadline_counts_while_the_rest_of_a_run_stays() -> None:
    late = decided(recorded("PodRejected"), jobs=[child(deleting=True)], start_deadline=60)

    assert (late.status.state, late.status.reason) == (State.ERROR, "PodRejected")


def test_a_kill_stays_a_kill() -> None:
    noted = recorded("NodeLost")
    job = replace(noted, spec={**noted.spec, "kill": True})
    rest = its_pod(phase="Failed", state=LOST, deleting=True)

    assert decided(job, pods=[rest]).status.reason == "Killed"


def test_a_run_that_started_is_not_created_again() -> None:
    """The operator created the trial and crashed before its status write: it runs by now."""
    decision = decided(
        recorded("NodeLost"), jobs=[child()], pods=[its_pod(state=started())], turn=BUSY
    )

    assert (decision.status.state, decision.actions) == (State.RUNNING, ())


def test_an_evicted_pod_that_lasts_is_counted_once() -> None:
    going = starts(conditions=DISRUPTED, deleting=True)
    noted = after(waits(), **going)
    again = after(noted, jobs=[], pods=going["pods"])

    assert (noted.status.disruptions, again.status) == (1, noted.status)


def test_a_deletion_without_a_disruption_is_somebody_elses() -> None:
    rest = pod(phase="Failed", state=LOST, deleting=True)

    assert decided(waits(status={"reason": "Starting"}), pods=[rest]).status.reason == "JobDeleted"


# --- against an API server --------------------------------------------------------------------


def put_pod(rig: Rig, *, finalizers: tuple[str, ...] = (), **status: Any) -> None:
    rig.pod("a-1", status.pop("state", {"waiting": {"reason": "ContainerCreating"}}), "Failed")
    rig.fake.change(
        "pods", "a-1-x", {"metadata": {"finalizers": list(finalizers)}, "status": status}
    )


@pytest.fixture
async def waiting_rig(rig: Rig) -> Rig:
    rig.corejob("a", attempts=3)
    await rig.settle()
    return rig


def told(rig: Rig) -> tuple[Any, ...]:
    status = rig.status("a")
    return status["state"], status["reason"], status["attemptsLeft"]


async def test_a_lost_pod_that_a_finalizer_keeps(waiting_rig: Rig) -> None:
    rig = waiting_rig
    put_pod(rig, state=LOST, finalizers=("batch.kubernetes.io/job-tracking",))
    await rig.settle()
    assert (told(rig), rig.jobs()) == (("pending", "NodeLost", 3), [])

    rig.fake.remove("pods", "a-1-x")
    await rig.settle()
    assert (told(rig), rig.jobs()) == (("pending", "Starting", 3), ["a-1"])


async def test_a_refused_pod_whose_job_a_finalizer_keeps(waiting_rig: Rig) -> None:
    rig = waiting_rig
    rig.fake.change("jobs", "a-1", {"metadata": {"finalizers": ["example.com/other"]}})
    rig.fake.change("jobs", "a-1", {"status": {"conditions": [BACKOFF]}})
    put_pod(rig, **REJECTED)
    await rig.settle()
    assert (told(rig), rig.jobs()) == (("pending", "PodRejected", 3), ["a-1"])

    rig.fake.remove("jobs", "a-1")
    await rig.settle()
    assert (told(rig), rig.jobs()) == (("pending", "Starting", 3), ["a-1"])


@pytest.mark.parametrize("conditions", [[BACKOFF], []], ids=["failed", "not ended"])
async def test_a_refused_pod_whose_job_the_watch_still_shows(
    waiting_rig: Rig, conditions: list[Any]
) -> None:
    rig = waiting_rig
    rig.fake.change("jobs", "a-1", {"status": {"conditions": conditions}})
    rig.stale.add("jobs")
    put_pod(rig, **REJECTED)
    await rig.settle()

    assert (told(rig), rig.jobs()) == (("pending", "PodRejected", 3), [])


async def test_a_deletion_whose_answer_is_lost_is_the_operators_own(waiting_rig: Rig) -> None:
    rig = waiting_rig
    rig.fake.refuse("DELETE", "jobs", 500, after=lambda: rig.fake.remove("jobs", "a-1"))
    put_pod(rig, **REJECTED)
    await rig.settle()
    assert len(rig.errors) == 1

    await rig.passes(1)
    assert (told(rig), rig.jobs()) == (("pending", "Starting", 3), ["a-1"])
