"""Why a job waits, in words; and which of two equal jobs may be in the queue."""

from typing import Any

import pytest
from tests.unit.domain.builders import ID, NOW, at, at_text, corejob, corejob_body, ended, started
from tests.unit.operator.builders import SETTINGS, its_pod

from corejob.names import Reason
from corejob_operator import start_conditions
from corejob_operator.admission import Blocked


def waits(state: str, **more: Any) -> Any:
    times = {"queryTime": at_text(60), "endTime": at_text(-5), **more.pop("status", {})}
    return corejob(status={"state": state, "trial": 1, **times}, **more)


# --- the job as the choice sees it ------------------------------------------------------------


def test_what_the_choice_needs() -> None:
    one = start_conditions.entry(corejob(priority=3, force=True, maxParallel=2), SETTINGS)

    assert (one.key, one.order, one.qual_name) == (ID, ID, "a.Job")
    assert (one.priority, one.force, one.max_parallel, one.due) == (3, True, 2, 0.0)


def test_without_a_limit_of_its_own_the_setting_counts() -> None:
    assert start_conditions.entry(corejob(), SETTINGS).max_parallel == 15


def test_a_job_of_any_name_stands_by_its_id() -> None:
    one = start_conditions.entry(
        corejob(name="mine", status={"state": "pending", "id": "e" * 24}), SETTINGS
    )

    assert (one.key, one.order) == ("mine", "e" * 24)


def test_the_due_time_is_that_of_the_next_trial_unless_it_is_restarted() -> None:
    assert start_conditions.entry(waits("failed"), SETTINGS).due == at(60).timestamp()
    assert start_conditions.entry(waits("failed", restartAt=at_text(-5)), SETTINGS).due == 0.0


# --- words ----------------------------------------------------------------------------------


def test_no_template() -> None:
    found = start_conditions.without_template(corejob())

    assert found.reason is Reason.TEMPLATE_NOT_FOUND
    assert found.message is not None
    assert "a.Job" in found.message


@pytest.mark.parametrize(
    ("state", "reason"), [("failed", Reason.RETRY_LATER), ("deferred", Reason.DEFERRED)]
)
def test_not_before_its_time_and_why(state: str, reason: Reason) -> None:
    error = {"exception": "ValueError('x')"}
    found = start_conditions.waiting(waits(state, status={"lastError": error}), Blocked(None), NOW)

    assert found.reason is reason
    assert found.message == "next trial not before 2026-11-24T12:01:00 UTC: ValueError('x')"


def test_long_errors_are_cut() -> None:
    job = waits("failed", status={"lastError": {"exception": "x" * 10_000}})
    message = start_conditions.waiting(job, None, NOW).message

    assert message is not None
    assert 500 < len(message) < 600


def test_a_time_that_is_past_is_no_reason() -> None:
    assert start_conditions.waiting(waits("failed"), Blocked(None), at(60)).reason is Reason.QUEUED


@pytest.mark.parametrize("blocked", [None, Blocked(None)])
def test_it_is_just_not_its_turn(blocked: Blocked | None) -> None:
    assert start_conditions.waiting(corejob(), blocked, NOW).reason is Reason.QUEUED


def test_which_limit_and_how_many_are_before_it() -> None:
    parallel = start_conditions.waiting(corejob(), Blocked("max_parallel", 3, 3, 2), NOW)
    namespace = start_conditions.waiting(corejob(), Blocked("namespace", 50, 50, 0), NOW)

    assert parallel.reason is Reason.MAX_PARALLEL
    assert parallel.message == "3 of at most 3 a.Job run; 2 before it"
    assert namespace.reason is Reason.NAMESPACE_LIMIT
    assert namespace.message == "50 of at most 50 jobs run in the namespace; 0 before it"


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (10, "10 before it"),
        (11, "more than 10 before it"),
        (99, "more than 90 before it"),
        (101, "more than 100 before it"),
        (7_654, "more than 7000 before it"),
    ],
)
def test_a_place_far_back_is_coarse(ahead: int, words: str) -> None:
    message = start_conditions.waiting(corejob(), Blocked("namespace", 1, 1, ahead), NOW).message

    assert message is not None
    assert message.endswith(words)


def test_ten_thousand_places_are_few_messages() -> None:
    """Each is a write of each waiting job."""
    messages = {
        start_conditions.waiting(corejob(), Blocked("namespace", 1, 1, ahead), NOW).message
        for ahead in range(10_000)
    }

    assert len(messages) < 50


# --- the job that it restarts -----------------------------------------------------------------


@pytest.mark.parametrize("state", ["running", "pending", "failed"])
def test_the_job_before_must_have_ended(state: str) -> None:
    found = start_conditions.parent(corejob_body(status={"state": state, "trial": 1}), [], NOW)

    assert found.reason is Reason.PARENT_TERMINATING


def test_its_pod_must_be_gone_or_over() -> None:
    body = corejob_body(status={"state": "killed", "trial": 1})

    still = start_conditions.parent(body, [its_pod(state=started(), deleting=True)], NOW)
    assert still.reason is Reason.PARENT_TERMINATING
    assert (
        start_conditions.parent(body, [its_pod(state=ended(143), phase="Failed")], NOW)
        == start_conditions.MAY_START
    )
    assert start_conditions.parent(body, [], NOW) == start_conditions.MAY_START


def test_a_job_before_that_is_gone_holds_up_nobody() -> None:
    assert start_conditions.parent(None, [], NOW) == start_conditions.MAY_START


# --- duplicates ----------------------------------------------------------------------------------


def equal_job(name: str, created: int = 0, *, uid: str = "", **more: Any) -> dict[str, Any]:
    meta = {"creationTimestamp": at_text(created), "uid": uid or f"uid-{name}"}
    return corejob_body(name=name, metadata=meta, **more)


def admitted(*names: str) -> Any:
    return lambda body: body["metadata"]["name"] in names


def test_without_a_duplicate_it_is_admitted() -> None:
    assert start_conditions.duplicate_before(equal_job("b"), [], admitted()) is None


def test_of_two_new_ones_the_older_goes_first() -> None:
    old, new = equal_job("z", 0), equal_job("a", 1)

    assert start_conditions.duplicate_before(new, [old], admitted()) == "z"
    assert start_conditions.duplicate_before(old, [new], admitted()) is None


def test_within_a_second_exactly_one_goes_first() -> None:
    one, other = equal_job("a", uid="1"), equal_job("b", uid="2")
    found = [
        start_conditions.duplicate_before(one, [other], admitted()),
        start_conditions.duplicate_before(other, [one], admitted()),
    ]

    assert sorted(map(str, found)) == ["None", "a"]


def test_what_was_let_in_stays_in() -> None:
    old, new = equal_job("z", 0), equal_job("a", 1)

    assert start_conditions.duplicate_before(old, [new], admitted("a")) == "a"


@pytest.mark.parametrize("state", ["pending", "running", "failed", "killed", "error", "inactive"])
def test_all_that_is_in_the_queue_counts(state: str) -> None:
    other = equal_job("a", status={"state": state, "trial": 1})

    assert start_conditions.duplicate_before(equal_job("b", 1), [other], admitted("a")) == "a"


def test_past_jobs_do_not_count() -> None:
    past = [
        equal_job("a", status={"state": "complete", "trial": 1}),
        equal_job(
            "c", status={"state": "error", "trial": 1, "removedTime": at_text(0)}, remove=True
        ),
        equal_job("d", status={"state": "killed", "trial": 1, "childId": "e" * 24}),
    ]

    assert (
        start_conditions.duplicate_before(equal_job("b", 1), past, admitted("a", "c", "d")) is None
    )
