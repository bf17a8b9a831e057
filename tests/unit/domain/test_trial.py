"""What became of a trial: every cause of death told apart, and every reason not to start."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import (
    NOW,
    at,
    at_text,
    batch_job,
    condition,
    ended,
    pod,
    pod_body,
    started,
    waiting,
)

from corejob import children, names
from corejob.children import JobChild, PodChild
from corejob.names import Reason
from corejob.observation import Observation, Phase
from corejob.state import State
from corejob.trial import observe

TOLD = {"exception": "ValueError('no')", "timestamp": "2026-11-24T11:59:57", "traceback": ["a\n"]}
DISRUPTED = condition("DisruptionTarget", "EvictionByEvictionAPI", "eviction was asked for")
KILLED = "JobKilledByWorker"


def told(state: str, **last: Any) -> str:
    return json.dumps({"state": state, "lastError": {**TOLD, **last}})


def death(one: PodChild, job: JobChild | None = None) -> Observation:
    seen = observe(job or batch_job(), [one], now=NOW)
    assert seen.phase is Phase.ENDED
    return seen


# --- the container's own end ----------------------------------------------------------------


def test_exit_code_0_is_complete() -> None:
    seen = death(pod(state=ended(0, reason="Completed"), phase="Succeeded"))

    assert (seen.outcome, seen.reason) == (State.COMPLETE, Reason.COMPLETED)
    assert seen.last_error is None
    assert (seen.started_at, seen.ended_at) == (at(-10), at(-3))
    assert (seen.node, seen.pod) == ("node-1", pod(state=ended(0)).name)


def test_a_good_end_counts_although_the_pod_was_being_evicted() -> None:
    seen = death(pod(state=ended(0), conditions=[DISRUPTED], deleting=True))

    assert seen.outcome is State.COMPLETE


@pytest.mark.parametrize(
    ("code", "state", "outcome", "reason"),
    [
        (1, "failed", State.FAILED, Reason.CODE_ERROR),
        (75, "deferred", State.DEFERRED, Reason.DEFERRED),
        (78, "error", State.ERROR, Reason.BAD_DEFINITION),
        (143, "failed", State.FAILED, Reason.CODE_ERROR),
    ],
)
def test_what_the_runtime_said_is_the_last_error(
    code: int, state: str, outcome: State, reason: Reason
) -> None:
    seen = death(pod(state=ended(code, message=told(state))))

    assert (seen.outcome, seen.reason) == (outcome, reason)
    assert seen.last_error == TOLD


@pytest.mark.parametrize(
    ("code", "outcome", "reason", "words"),
    [
        (3, State.FAILED, Reason.CODE_ERROR, "exit code 3"),
        (75, State.DEFERRED, Reason.DEFERRED, "exit code 75"),
        (78, State.FAILED, Reason.CODE_ERROR, "exit code 78"),
        (137, State.FAILED, Reason.CODE_ERROR, "exit code 137 (SIGKILL); nobody deleted its pod"),
        (143, State.FAILED, Reason.CODE_ERROR, "(SIGTERM), though nobody deleted its pod"),
    ],
)
def test_a_container_that_says_nothing_is_judged_by_its_exit_code(
    code: int, outcome: State, reason: Reason, words: str
) -> None:
    seen = death(pod(state=ended(code)))

    assert (seen.outcome, seen.reason) == (outcome, reason)
    assert seen.last_error is not None
    assert words in seen.last_error["exception"]
    assert seen.last_error["timestamp"] == "2026-11-24T11:59:57"
    assert seen.last_error["traceback"] is None


@pytest.mark.parametrize(
    "message", ["", "oops", "[1]", '"text"', "null", '{"lastError": null}', '{"lastError": []}']
)
def test_a_termination_message_of_somebody_else_is_no_trouble(message: str) -> None:
    seen = death(pod(state=ended(1, message=message)))

    assert seen.last_error is not None
    assert "exit code 1" in seen.last_error["exception"]


def test_a_runtime_that_was_told_to_stop_though_nobody_deleted_its_pod() -> None:
    seen = death(pod(state=ended(143, message=told("killed", exception=KILLED))))

    assert (seen.outcome, seen.reason) == (State.KILLED, Reason.STOPPED)


@pytest.mark.parametrize("deleting", [False, True])
def test_out_of_memory(deleting: bool) -> None:
    seen = death(pod(state=ended(137, reason="OOMKilled"), deleting=deleting))

    assert (seen.outcome, seen.reason) == (State.FAILED, Reason.OUT_OF_MEMORY)
    assert seen.message is not None
    assert seen.message.startswith("OOMKilled: ")


@pytest.mark.parametrize(
    ("code", "outcome", "reason"),
    [
        (1, State.FAILED, Reason.CODE_ERROR),
        (75, State.DEFERRED, Reason.DEFERRED),
        (78, State.ERROR, Reason.BAD_DEFINITION),
    ],
)
def test_what_the_job_told_of_its_end_beats_the_lost_child(
    code: int, outcome: State, reason: Reason
) -> None:
    seen = death(pod(state=ended(code, reason="OOMKilled", message=told("failed"))))

    assert (seen.outcome, seen.reason, seen.last_error) == (outcome, reason, TOLD)
    assert seen.message is not None
    assert seen.message.startswith("ValueError('no') (another process")
    assert "OOMKilled" in seen.message


HOSTILE = ["[" * 4000, '{"lastError": ' * 2000, '{"lastError":{"exception":{"a":1}}}']


@pytest.mark.parametrize("message", HOSTILE)
def test_what_a_container_leaves_is_data(message: str) -> None:
    assert death(pod(state=ended(1, message=message))).outcome is State.FAILED


def test_a_traceback_as_one_text_is_taken_line_by_line() -> None:
    message = json.dumps({"lastError": {"exception": "a\ud800b\0", "traceback": "one\ntwo"}})
    seen = death(pod(state=ended(1, message=message)))

    assert seen.last_error == {
        "exception": "a\\ud800b\\x00",
        "timestamp": None,
        "traceback": ["one\n", "two"],
    }


@pytest.mark.parametrize("odd", [{"timestamp": {"a": 1}}, {"traceback": [1]}, {"traceback": {}}])
def test_what_has_the_wrong_type_is_left_out(odd: dict[str, Any]) -> None:
    message = json.dumps({"lastError": {"exception": "boom", **odd}})
    seen = death(pod(state=ended(1, message=message)))

    assert seen.last_error == {"exception": "boom", "timestamp": None, "traceback": None}


# --- ends from outside ----------------------------------------------------------------------


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
    """A resumed Job makes a pod of the same trial: a new trial beside it would be a second run."""
    seen = observe(batch_job(suspended=True), [one], now=NOW)

    assert seen.reason is Reason.SUSPENDED
    assert seen.outcome in {None, State.PENDING}


def test_a_disruption_that_was_called_off_is_none() -> None:
    off = condition("DisruptionTarget", "TerminationByKubelet", status="False")

    assert death(pod(state=ended(1), conditions=[off])).reason is Reason.CODE_ERROR


def test_a_failed_job_of_a_disruption_whose_pod_is_gone() -> None:
    job = batch_job(conditions=[condition("Failed", "PodFailurePolicy", "pod was disrupted")])
    seen = observe(job, [], now=NOW)

    assert (seen.outcome, seen.reason) == (State.PENDING, Reason.NODE_LOST)


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
    # It did run: the state `running` is passed all the same.
    assert seen.started_at == batch_job().created


# --- not ended ------------------------------------------------------------------------------


def test_no_job_and_no_pod_is_absent() -> None:
    assert observe(None, [], now=NOW).phase is Phase.ABSENT


def test_a_running_container() -> None:
    seen = observe(batch_job(), [pod(state=started())], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.RUNNING, Reason.RUNNING)
    assert seen.started_at == at(-10)
    assert seen.message is None


def test_a_running_container_of_a_pod_in_deletion_still_runs() -> None:
    seen = observe(batch_job(), [pod(state=started(), deleting=True)], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.RUNNING, Reason.TERMINATING)


@pytest.mark.parametrize(
    ("job", "reason", "words"),
    [
        (batch_job(), Reason.STARTING, "waiting for the pod"),
        (batch_job(suspended=True), Reason.SUSPENDED, "its Job is suspended"),
    ],
    ids=["plain", "suspended"],
)
def test_a_job_without_a_pod_yet(job: JobChild, reason: Reason, words: str) -> None:
    seen = observe(job, [], now=NOW)

    assert (seen.phase, seen.reason, seen.message) == (Phase.STARTING, reason, words)


def test_the_scheduler_says_why_it_finds_no_node() -> None:
    text = "0/1 nodes are available: 1 Insufficient cpu."
    one = pod(
        phase="Pending",
        conditions=[condition("PodScheduled", "Unschedulable", text, status="False")],
    )
    seen = observe(batch_job(), [one], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.STARTING, Reason.UNSCHEDULABLE)
    assert seen.message == text


@pytest.mark.parametrize(
    "reason",
    [
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
    ],
)
def test_an_image_that_can_not_be_pulled_may_be_there_later(reason: str) -> None:
    one = pod(state=waiting(reason, "not found"), phase="Pending")
    seen = observe(batch_job(), [one], now=NOW)

    assert (seen.phase, seen.reason, seen.outcome) == (Phase.STARTING, Reason.IMAGE_PULL, None)
    assert seen.last_error is not None
    assert seen.last_error["exception"] == f"{reason}: not found"


def test_a_bad_image_ends_the_trial_before_it_began() -> None:
    one = pod(state=waiting("InvalidImageName"), phase="Pending")
    seen = observe(batch_job(), [one], now=NOW)

    assert (seen.phase, seen.outcome) == (Phase.ENDED, State.ERROR)
    assert (seen.reason, seen.started_at) == (Reason.BAD_IMAGE, None)


@pytest.mark.parametrize(
    "reason",
    [
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    ],
)
def test_a_container_that_can_not_be_made(reason: str) -> None:
    one = pod(state=waiting(reason, 'secret "x" not found'), phase="Pending")
    seen = observe(batch_job(), [one], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.STARTING, Reason.CONTAINER_ERROR)
    assert seen.message == f'{reason}: secret "x" not found'


def test_an_init_container_holds_the_job_back() -> None:
    body = pod_body(phase="Pending")
    body["status"]["initContainerStatuses"] = [
        {"name": "first", "state": ended(0)},
        {"name": "second", "state": waiting("ErrImagePull", "no such image")},
    ]
    seen = observe(batch_job(), [children.parse_pod(body)], now=NOW)

    assert seen.reason is Reason.IMAGE_PULL


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "waiting for the pod"),
        (waiting("ContainerCreating"), "ContainerCreating"),
        (waiting("PodInitializing", "still unpacking"), "still unpacking"),
    ],
)
def test_a_pod_that_is_on_its_way(state: Any, words: str) -> None:
    seen = observe(batch_job(), [pod(state=state, phase="Pending")], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.STARTING, Reason.STARTING)
    assert seen.message == words


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (batch_job(), Reason.POD_DELETED),
        (batch_job(deleting=True), Reason.JOB_DELETED),
        (None, Reason.JOB_DELETED),
    ],
)
def test_a_pod_that_is_deleted_before_it_started(job: JobChild | None, reason: Reason) -> None:
    seen = observe(job, [pod(phase="Pending", deleting=True)], now=NOW)

    assert (seen.phase, seen.reason) == (Phase.STARTING, reason)


def test_a_pod_that_is_disrupted_before_it_started_is_made_anew() -> None:
    one = pod(phase="Pending", deleting=True, conditions=[DISRUPTED])
    seen = observe(batch_job(), [one], now=NOW)

    assert (seen.phase, seen.outcome) == (Phase.ENDED, State.PENDING)


# --- which pod, which container -------------------------------------------------------------


def test_the_latest_pod_counts() -> None:
    old = pod(state=ended(137), deleting=True, name="old")
    new = pod(state=started(), name="new", created="2026-11-24T11:30:00Z")

    assert observe(batch_job(), [new, old], now=NOW).pod == "new"


def test_the_container_named_job_counts() -> None:
    body = pod_body(state=ended(0))
    body["status"]["containerStatuses"].insert(0, {"name": "proxy", "state": started()})

    assert children.parse_pod(body).exit_code == 0


def test_else_the_first_container_counts() -> None:
    """The first of the spec: the kubelet sorts their states by name."""
    body = pod_body()
    body["spec"]["containers"] = [{"name": "main"}, {"name": "agent"}]
    body["status"]["containerStatuses"] = [
        {"name": "agent", "state": ended(0)},
        {"name": "main", "state": ended(4)},
    ]

    assert children.parse_pod(body).exit_code == 4


def test_the_container_that_the_operator_named_counts() -> None:
    """A webhook has put one of its own before it, and one called `job` behind it."""
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


def test_conditions_that_are_not_true_are_none() -> None:
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
    """What runs in its place until then ends with code 2, and leaves no message."""
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
