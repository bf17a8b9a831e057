"""The end of a trial whose Job was suspended: it goes on in that Job when it is resumed."""

from typing import Any

import pytest
from tests.unit.domain.builders import (
    ID,
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
from tests.unit.domain.trials import DISRUPTED, death

from corejob import children
from corejob.children import JobChild
from corejob.names import Reason
from corejob.observation import Phase
from corejob.state import State
from corejob.trial import observe

UNKNOWN = {
    "terminated": {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }
}
OLDER = {"created": at_text(-60)}


def job_of(
    *, suspend: bool = False, suspended: str | None = None, since: float = -3, **more: Any
) -> JobChild:
    """Return a Job with this `spec.suspend` and status of its condition `Suspended`."""
    conditions = more.pop("conditions", [])
    if suspended is not None:
        changed = {"lastTransitionTime": at_text(since)}
        conditions = [*conditions, {**condition("Suspended", status=suspended), **changed}]
    return batch_job(suspended=suspend, conditions=conditions, **more)


SUSPENDED = job_of(suspend=True, suspended="True")
RESUMED = job_of(suspended="False")
RESUMING = job_of(suspended="True")
"""The user has resumed it, and the Job controller has not synced it yet."""


@pytest.mark.parametrize("job", [SUSPENDED, RESUMED, RESUMING], ids=["suspended", "resumed", "now"])
@pytest.mark.parametrize("code", [1, 2, 78, 130, 137, 143])
def test_any_code_of_a_stopped_container_is_the_suspensions(job: JobChild, code: int) -> None:
    seen = death(pod(state=ended(code), phase="Failed", deleting=True, **OLDER), job)

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.SUSPENDED)
    assert seen.last_error is None


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (SUSPENDED, "its Job is suspended"),
        (RESUMED, "its Job was suspended"),
        (RESUMING, "its Job was suspended"),
    ],
)
def test_the_message_says_if_the_job_is_still_suspended(job: JobChild, text: str) -> None:
    runs = observe(job, [pod(state=started(), deleting=True, **OLDER)], now=NOW)
    starts = observe(job, [pod(phase="Pending", deleting=True, **OLDER)], now=NOW)
    over = death(pod(state=ended(143), phase="Failed", deleting=True, **OLDER), job)

    assert (runs.phase, runs.message) == (Phase.RUNNING, f"{text}: the pod is being stopped")
    assert (starts.phase, starts.reason, starts.message) == (
        Phase.STARTING,
        Reason.SUSPENDED,
        text,
    )
    assert over.message == text


@pytest.mark.parametrize(
    ("code", "outcome"), [(0, State.COMPLETE), (75, State.DEFERRED)], ids=["complete", "deferred"]
)
def test_a_completion_and_a_deferral_count_though_the_job_is_stopped(
    code: int, outcome: State
) -> None:
    one = pod(state=ended(code), phase="Failed", deleting=True)

    assert death(one, SUSPENDED).outcome is outcome


def test_a_container_that_failed_before_the_suspension_failed() -> None:
    """The deletion was requested at -5 s, the container ended at -6 s."""
    state = ended(1)
    state["terminated"]["finishedAt"] = at_text(-6)
    seen = death(pod(state=state, phase="Failed", deleting=True), SUSPENDED)

    assert (seen.outcome, seen.reason) == (State.FAILED, Reason.CODE_ERROR)


def test_memory_is_the_jobs_fault_also_while_it_is_stopped() -> None:
    one = pod(state=ended(137, reason="OOMKilled"), phase="Failed", deleting=True)

    assert death(one, SUSPENDED).reason is Reason.OUT_OF_MEMORY


@pytest.mark.parametrize("code", [2, 137, 143])
def test_an_init_container_that_a_suspension_stopped_has_not_failed(code: int) -> None:
    body = pod_body(phase="Failed", state=waiting("PodInitializing"), deleting=True)
    body["status"]["initContainerStatuses"] = [{"name": "prepare", "state": ended(code)}]
    seen = observe(SUSPENDED, [children.parse_pod(body)], now=NOW)

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.SUSPENDED)
    assert seen.started_at is None


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(job_of(suspended="False", since=-6), id="resumed before the deletion"),
        pytest.param(batch_job(), id="never suspended"),
        pytest.param(job_of(suspended="False", deleting=True), id="deleted"),
        pytest.param(
            job_of(suspended="False", conditions=[condition("Failed", "BackoffLimitExceeded")]),
            id="failed",
        ),
    ],
)
def test_other_pods_were_deleted_by_somebody_else(job: JobChild) -> None:
    """The deletion was requested at -5 s."""
    assert death(pod(state=ended(143), phase="Failed", deleting=True), job).outcome is State.KILLED


def test_the_first_pod_of_a_resumed_job_may_be_older_than_the_resume() -> None:
    """The Job controller creates the pod and then the condition, of a second later perhaps."""
    job = job_of(suspended="False", since=-60)
    drained = {**DISRUPTED, "lastTransitionTime": at_text(-5)}
    one = pod(
        state=ended(143),
        phase="Failed",
        deleting=True,
        created=at_text(-61),
        conditions=[drained],
    )

    assert death(one, job).reason is Reason.EVICTED


def test_a_pod_that_never_ran_waits_for_the_resume() -> None:
    """The kubelet's last status of a pod that it deletes while it creates its container."""
    one = pod(state=UNKNOWN, phase="Failed", deleting=True)
    seen = observe(SUSPENDED, [one], now=NOW)

    assert (seen.outcome, seen.reason, seen.started_at) == (State.PENDING, Reason.SUSPENDED, None)


def test_the_pod_after_the_resume_counts() -> None:
    old = pod(state=ended(143), phase="Failed", deleting=True, **OLDER)
    text = "0/1 nodes are available: 1 Insufficient cpu."
    unschedulable = condition("PodScheduled", "Unschedulable", text, status="False")
    new = pod(phase="Pending", name=f"{ID}-1-new", created=at_text(-1), conditions=[unschedulable])

    assert observe(RESUMED, [old, new], now=NOW).message == text
