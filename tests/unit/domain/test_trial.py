"""The pod and container that count for a trial, and invariants of every observation."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import (
    NOW,
    at_text,
    batch_job,
    condition,
    ended,
    pod,
    pod_body,
    started,
)
from tests.unit.domain.trials import DISRUPTED, death, told

from corejob import children, names
from corejob.children import JobChild
from corejob.observation import Phase
from corejob.state import State
from corejob.trial import observe


def test_the_latest_pod_counts() -> None:
    old = pod(state=ended(137), deleting=True, name="old")
    new = pod(state=started(), name="new", created="2026-11-24T11:30:00Z")

    assert observe(batch_job(), [new, old], now=NOW).pod == "new"


def test_the_container_named_job_counts() -> None:
    body = pod_body(state=ended(0))
    body["status"]["containerStatuses"].insert(0, {"name": "proxy", "state": started()})

    assert children.parse_pod(body).exit_code == 0


def test_else_the_first_container_counts() -> None:
    """The first container of the spec, since the kubelet sorts the statuses by name."""
    body = pod_body()
    body["spec"]["containers"] = [{"name": "main"}, {"name": "agent"}]
    body["status"]["containerStatuses"] = [
        {"name": "agent", "state": ended(0)},
        {"name": "main", "state": ended(4)},
    ]

    assert children.parse_pod(body).exit_code == 4


def test_the_container_that_the_operator_named_counts() -> None:
    """A webhook has inserted one container before it, and another called `job` behind it."""
    body = pod_body()
    body["metadata"]["annotations"][names.ANNOTATION_CONTAINER] = "main"
    body["spec"]["containers"] = [{"name": "agent"}, {"name": "main"}, {"name": "job"}]
    body["status"]["containerStatuses"] = [
        {"name": "agent", "state": ended(0)},
        {"name": "job", "state": ended(0)},
        {"name": "main", "state": ended(4)},
    ]

    assert children.parse_pod(body).exit_code == 4


def test_children_know_when_they_were_made() -> None:
    assert batch_job().created == pod().created == datetime(2026, 11, 24, 11, 0, tzinfo=NOW.tzinfo)


def test_conditions_that_are_not_true_are_ignored() -> None:
    job = batch_job(conditions=[condition("Failed", "X", status="False")])

    assert not job.failed
    assert job.reason is None


@given(
    code=st.none() | st.integers(0, 255),
    kubelet=st.sampled_from(["Error", "OOMKilled", "Completed", "ContainerCannotRun"]),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    reason=st.none() | st.sampled_from(["Evicted", "DeadlineExceeded", "NodeLost", "Unheard"]),
    message=st.none() | st.text(max_size=30),
    disrupted=st.booleans(),
    deleting=st.booleans(),
    job=st.none() | st.builds(batch_job, deleting=st.booleans()),
)
def test_every_end_has_an_outcome_a_reason_and_words(
    code: int | None,
    kubelet: str,
    phase: str,
    reason: str | None,
    message: str | None,
    disrupted: bool,
    deleting: bool,
    job: JobChild | None,
) -> None:
    state = None if code is None else ended(code, reason=kubelet, message=message)
    one = pod(
        state=state,
        phase=phase,
        reason=reason,
        deleting=deleting,
        conditions=[DISRUPTED] if disrupted else [],
    )
    seen = observe(job, [one], now=NOW)

    assert (seen.phase is Phase.ENDED) == (seen.outcome is not None)
    if one.over:
        assert seen.phase is Phase.ENDED
    if seen.outcome not in {None, State.COMPLETE}:
        assert seen.message
    if seen.outcome in {State.FAILED, State.ERROR, State.KILLED, State.DEFERRED}:
        assert seen.last_error is not None
        assert set(seen.last_error) == {"exception", "timestamp", "traceback"}


def test_a_container_that_is_stopped_before_its_program_is_there_is_killed() -> None:
    """Until the program starts, runc runs instead: it ends with code 2, without a message."""
    at_birth = {**ended(2)["terminated"], "startedAt": at_text(-3), "finishedAt": at_text(-3)}
    born = {"terminated": at_birth}
    spoken = {"terminated": {**at_birth, "message": told("failed")}}

    assert death(pod(state=born, deleting=True)).outcome is State.KILLED
    assert death(pod(state=born)).outcome is State.FAILED
    slow = {"terminated": {**at_birth, "startedAt": at_text(-9)}}
    assert death(pod(state=slow, deleting=True)).outcome is State.KILLED
    old = {"terminated": {**at_birth, "startedAt": at_text(-14)}}
    assert death(pod(state=old, deleting=True)).outcome is State.FAILED
    assert death(pod(state=spoken, deleting=True)).outcome is State.FAILED
