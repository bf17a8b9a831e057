"""Observations of a trial that has not ended, and the reasons why one has not started."""

from typing import Any

import pytest
from tests.unit.domain.builders import (
    NOW,
    at,
    batch_job,
    condition,
    ended,
    pod,
    pod_body,
    started,
    waiting,
)
from tests.unit.domain.trials import DISRUPTED

from corejob import children
from corejob.children import JobChild
from corejob.names import Reason
from corejob.observation import Phase
from corejob.state import State
from corejob.trial import observe


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
def test_an_image_that_cannot_be_pulled_may_appear_later(reason: str) -> None:
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
def test_a_container_that_cannot_be_created(reason: str) -> None:
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
