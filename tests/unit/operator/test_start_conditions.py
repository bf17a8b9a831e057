"""Start conditions of a waiting job: reason and message."""

from typing import Any

import pytest
from tests.unit.domain.builders import NOW, at, at_text, corejob, ended, started
from tests.unit.operator.builders import SETTINGS, its_pod

from corejob.children import PodChild
from corejob.names import Reason
from corejob_operator.admission import Blocked
from corejob_operator.decide import Parent, PendingLog, Situation
from corejob_operator.decide.start_conditions import (
    MAY_START,
    after_logs,
    after_parent,
    not_admitted,
    start_condition,
)


def waits(state: str, **more: Any) -> Any:
    times = {"queryTime": at_text(60), "endTime": at_text(-5), **more.pop("status", {})}
    return corejob(status={"state": state, "trial": 1, **times}, **more)


# --- words ----------------------------------------------------------------------------------


def test_no_template() -> None:
    situation = Situation(
        job=corejob(), jobs=(), pods=(), now=NOW, settings=SETTINGS, has_template=False
    )
    condition = start_condition(situation)

    assert condition.reason is Reason.TEMPLATE_NOT_FOUND
    assert condition.message is not None
    assert "a.Job" in condition.message


@pytest.mark.parametrize(
    ("state", "reason"), [("failed", Reason.RETRY_LATER), ("deferred", Reason.DEFERRED)]
)
def test_a_job_that_is_not_due_names_its_time_and_error(state: str, reason: Reason) -> None:
    error = {"exception": "ValueError('x')"}
    condition = not_admitted(waits(state, status={"lastError": error}), Blocked(None), NOW)

    assert condition.reason is reason
    assert condition.message == "next trial not before 2026-11-24T12:01:00 UTC: ValueError('x')"


def test_long_errors_are_cut() -> None:
    job = waits("failed", status={"lastError": {"exception": "x" * 10_000}})
    message = not_admitted(job, None, NOW).message

    assert message is not None
    assert 500 < len(message) < 600


def test_a_due_time_in_the_past_is_no_reason() -> None:
    assert not_admitted(waits("failed"), Blocked(None), at(60)).reason is Reason.QUEUED


@pytest.mark.parametrize("blocked", [None, Blocked(None)])
def test_a_due_job_waits_for_its_turn(blocked: Blocked | None) -> None:
    assert not_admitted(corejob(), blocked, NOW).reason is Reason.QUEUED


def test_the_limit_and_the_place_in_the_queue() -> None:
    parallel = not_admitted(corejob(), Blocked("max_parallel", 3, 3, 2), NOW)
    namespace = not_admitted(corejob(), Blocked("namespace", 50, 50, 0), NOW)

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
    message = not_admitted(corejob(), Blocked("namespace", 1, 1, ahead), NOW).message

    assert message is not None
    assert message.endswith(words)


def test_ten_thousand_places_are_few_messages() -> None:
    """Each message causes a write of each waiting job."""
    messages = {
        not_admitted(corejob(), Blocked("namespace", 1, 1, ahead), NOW).message
        for ahead in range(10_000)
    }

    assert len(messages) < 50


# --- the parent of a restart ------------------------------------------------------------------


def test_the_parent_must_have_ended() -> None:
    condition = after_parent(Parent(ended=False, trials=1, pods=[]), NOW)

    assert condition.reason is Reason.PARENT_TERMINATING


def test_the_parents_pods_must_be_gone_or_over() -> None:
    def parent(*pods: PodChild) -> Parent:
        return Parent(ended=True, trials=1, pods=pods)

    still = after_parent(parent(its_pod(state=started(), deleting=True)), NOW)
    assert still.reason is Reason.PARENT_TERMINATING
    assert after_parent(parent(its_pod(state=ended(143), phase="Failed")), NOW) == MAY_START
    assert after_parent(parent(), NOW) == MAY_START


def test_a_parent_that_is_gone_blocks_nothing() -> None:
    assert after_parent(Parent(ended=True, trials=0, pods=[]), NOW) == MAY_START


# --- logs that may change the cookie ----------------------------------------------------------


def test_without_a_pending_log_it_may_start() -> None:
    assert after_logs(()) == MAY_START


def test_it_waits_for_the_first_log_by_name_until_the_first_deadline() -> None:
    logs = (PendingLog("b", 1, at(5)), PendingLog("a", 3, at(9)))
    condition = after_logs(logs)

    assert condition.reason is Reason.COOKIE_PENDING
    assert condition.message == (
        "the log of trial 3 of a is not stored completely yet: it may change the cookie"
    )
    assert condition.until == at(5)
