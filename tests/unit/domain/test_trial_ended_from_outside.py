"""The outcome of a trial ended from outside: by a deadline, a disruption, a deletion."""

import pytest
from tests.unit.domain.builders import (
    NOW,
    at,
    batch_job,
    condition,
    ended,
    pod,
)
from tests.unit.domain.trials import KILLED, death

from corejob.children import JobChild, PodChild
from corejob.names import Reason
from corejob.observation import Phase
from corejob.state import State
from corejob.trial import observe


def test_the_deadline_of_the_pod() -> None:
    one = pod(
        state=ended(137),
        phase="Failed",
        reason="DeadlineExceeded",
        message="Pod was active on the node longer than the specified deadline",
    )
    seen = death(one)

    assert (seen.outcome, seen.reason) == (State.FAILED, Reason.DEADLINE_EXCEEDED)
    assert seen.message is not None
    assert "longer than the specified deadline" in seen.message
    assert (seen.started_at, seen.ended_at) == (at(-10), at(-3))


@pytest.mark.parametrize("kind", ["Failed", "FailureTarget"])
def test_the_deadline_of_the_job(kind: str) -> None:
    job = batch_job(conditions=[condition(kind, "DeadlineExceeded", "Job was active too long")])
    seen = death(pod(state=ended(143), deleting=True), job)

    assert (seen.outcome, seen.reason) == (State.FAILED, Reason.DEADLINE_EXCEEDED)
    assert seen.last_error is not None
    assert "Job was active too long" in seen.last_error["exception"]


def test_the_deadline_of_a_job_whose_pod_is_gone() -> None:
    job = batch_job(conditions=[condition("Failed", "DeadlineExceeded", "too long")])
    seen = observe(job, [], now=NOW)

    assert (seen.outcome, seen.reason) == (State.FAILED, Reason.DEADLINE_EXCEEDED)
    assert seen.ended_at == NOW


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("EvictionByEvictionAPI", Reason.EVICTED),
        ("PreemptionByScheduler", Reason.EVICTED),
        ("TerminationByKubelet", Reason.EVICTED),
        ("DeletionByTaintManager", Reason.NODE_LOST),
        ("DeletionByPodGC", Reason.NODE_LOST),
    ],
)
def test_a_disruption_runs_again(reason: str, expected: Reason) -> None:
    seen = death(
        pod(state=ended(137), conditions=[condition("DisruptionTarget", reason, "so it is")])
    )

    assert (seen.outcome, seen.reason) == (State.PENDING, expected)
    assert seen.message == f"{reason}: so it is"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Preempting", Reason.EVICTED),
        ("NodeShutdown", Reason.EVICTED),
        ("NodeLost", Reason.NODE_LOST),
    ],
)
def test_a_disruption_of_an_old_cluster_has_no_condition(reason: str, expected: Reason) -> None:
    seen = death(pod(state=ended(137), phase="Failed", reason=reason, message="low on memory"))

    assert (seen.outcome, seen.reason) == (State.PENDING, expected)


@pytest.mark.parametrize(
    "one",
    [
        pod(
            state=ended(137),
            phase="Failed",
            conditions=[condition("DisruptionTarget", "EvictionByEvictionAPI")],
            deleting=True,
        ),
        pod(
            phase="Pending",
            conditions=[condition("DisruptionTarget", "EvictionByEvictionAPI")],
            deleting=True,
        ),
        pod(phase="Failed", reason="OutOfcpu"),
        pod(state=ended(143), phase="Failed", deleting=True),
    ],
    ids=["drained", "drained before it started", "refused", "stopped"],
)
def test_whatever_ends_the_pod_of_a_suspended_job_the_trial_goes_on_in_it(one: PodChild) -> None:
    """A resumed Job has a pod of the same trial: a new trial beside it would be a second run."""
    seen = observe(batch_job(suspended=True), [one], now=NOW)

    assert seen.reason is Reason.SUSPENDED
    assert seen.outcome in {None, State.PENDING}


def test_a_cancelled_disruption_is_ignored() -> None:
    off = condition("DisruptionTarget", "TerminationByKubelet", status="False")

    assert death(pod(state=ended(1), conditions=[off])).reason is Reason.CODE_ERROR


def test_a_pod_that_the_kubelet_did_not_admit_runs_again() -> None:
    one = pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu")
    seen = death(one)

    assert seen.outcome is State.PENDING
    assert seen.started_at is None
    assert seen.message == "OutOfcpu: Node didn't have enough resource: cpu"


@pytest.mark.parametrize("code", [137, 143])
def test_a_pod_that_somebody_deleted(code: int) -> None:
    seen = death(pod(state=ended(code), deleting=True))

    assert (seen.outcome, seen.reason) == (State.KILLED, Reason.POD_DELETED)
    assert seen.last_error is not None
    assert seen.last_error["exception"] == KILLED


@pytest.mark.parametrize("job", [None, batch_job(deleting=True)], ids=["gone", "deleting"])
def test_a_job_that_somebody_deleted(job: JobChild | None) -> None:
    seen = observe(job, [pod(state=ended(143), deleting=True)], now=NOW)

    assert (seen.outcome, seen.reason) == (State.KILLED, Reason.JOB_DELETED)


def test_a_pod_that_was_deleted_and_failed_of_itself_failed() -> None:
    assert death(pod(state=ended(1), deleting=True)).outcome is State.FAILED


def test_a_pod_that_vanished_from_a_failed_job() -> None:
    job = batch_job(conditions=[condition("Failed", "BackoffLimitExceeded", "limit reached")])
    seen = observe(job, [], now=NOW)

    assert (seen.outcome, seen.reason) == (State.KILLED, Reason.POD_DELETED)


def test_a_complete_job_whose_pod_was_cleaned_up_is_complete() -> None:
    seen = observe(batch_job(conditions=[condition("Complete")]), [], now=NOW)

    assert (seen.phase, seen.outcome) == (Phase.ENDED, State.COMPLETE)
    # The trial did run, so the job passes through the state `running`.
    assert seen.started_at == batch_job().created
