"""`status.waiting`: the reason of a waiting job in numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import NOW, at, corejob, ended
from tests.unit.operator.builders import ADMITTED, BUSY, decided, has_ended, runs, starts
from tests.unit.operator.rig import Rig

from corejob.document import document
from corejob.model import CoreJob, Status, WaitingStatus
from corejob_operator.admission import Blocked
from corejob_operator.decide import Turn


def blocked(running: int, ahead: int) -> Turn:
    return Turn(admitted=False, blocked=Blocked("max_parallel", running, 15, ahead))


def with_status(job: CoreJob, status: Status) -> CoreJob:
    return replace(job, status=status)


def numbers(status: Status) -> WaitingStatus:
    assert status.waiting is not None
    return status.waiting


def test_a_job_behind_a_limit_has_its_place_in_line() -> None:
    waiting = numbers(decided(corejob(), turn=BUSY).status)

    assert waiting == WaitingStatus("MaxParallel", since=NOW, position=4, running=15, limit=15)


def test_its_place_changes_and_the_begin_of_the_reason_stays() -> None:
    first = with_status(corejob(), decided(corejob(), turn=blocked(15, 3)).status)
    waiting = numbers(decided(first, turn=blocked(15, 2), now=at(60)).status)

    assert (waiting.position, waiting.since) == (3, NOW)


def test_a_change_of_the_reason_begins_anew() -> None:
    first = with_status(corejob(), decided(corejob(), turn=BUSY).status)
    waiting = numbers(decided(first, has_template=False, now=at(60)).status)

    assert waiting == WaitingStatus("TemplateNotFound", since=at(60))


def test_a_failed_job_waits_until_its_next_trial() -> None:
    job = corejob(status={"state": "failed", "trial": 1, "queryTime": "2099-01-01T00:00:00Z"})
    status = decided(job, turn=Turn(admitted=False)).status
    waiting = numbers(status)

    assert (waiting.reason, waiting.until) == ("RetryLater", status.query_time)
    assert waiting.until is not None


@pytest.mark.parametrize("now", [runs(), has_ended()])
def test_a_job_that_runs_or_has_ended_does_not_wait(now: dict[str, object]) -> None:
    first = with_status(corejob(), decided(corejob(), turn=BUSY).status)

    assert decided(first, **now).status.waiting is None  # type: ignore[arg-type]


def test_a_pod_that_does_not_start_is_waited_for() -> None:
    assert numbers(decided(corejob(), **starts(), now=at(60)).status).position is None


def test_a_job_removed_while_it_waited_does_not_wait() -> None:
    first = with_status(corejob(remove=True), decided(corejob(), turn=BUSY).status)

    assert decided(first, turn=ADMITTED).status.waiting is None


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_the_numbers_change_exactly_when_the_message_does(before: int, after: int) -> None:
    """So they never cause a write of their own."""
    one = decided(corejob(), turn=blocked(15, before)).status
    two = decided(with_status(corejob(), one), turn=blocked(15, after), now=at(9)).status

    assert (one.waiting == two.waiting) == (one.message == two.message)
    assert 1 <= (numbers(two).position or 0) <= after + 1


def test_a_status_of_an_earlier_version_is_not_written_for_the_numbers_alone() -> None:
    old = replace(decided(corejob(), turn=BUSY).status, waiting=None)

    assert decided(with_status(corejob(), old), turn=BUSY, now=at(9)).status == old


async def test_the_object_has_no_numbers_of_an_earlier_reason(rig: Rig) -> None:
    """A merge patch keeps the fields of an object that it does not name."""
    for name in "ab":
        rig.corejob(name, maxParallel=1)
    await rig.settle()
    first = rig.status("b")["waiting"]
    assert {name: first[name] for name in ("reason", "position", "running", "limit")} == {
        "reason": "MaxParallel", "position": 1, "running": 1, "limit": 1,
    }  # fmt: skip
    written = len(rig.fake.requests)
    rig.queue.add("b")
    await rig.settle()
    assert len(rig.fake.requests) == written

    rig.pod("a-1", ended(0, reason="Completed"), "Succeeded")
    await rig.settle()
    await rig.lasts()
    assert rig.status("b")["reason"] == "Starting"
    assert set(rig.status("b")["waiting"]) == {"reason", "since"}
    assert rig.errors == []


def test_the_document_has_the_numbers_while_the_job_waits() -> None:
    job = with_status(corejob(), decided(corejob(), turn=BUSY).status)

    assert document(job, NOW)["waiting"] == {
        "reason": "MaxParallel",
        "position": 4,
        "running": 15,
        "limit": 15,
        "until": None,
        "since": NOW.replace(tzinfo=None).isoformat(),
    }
    assert document(replace(job, spec={**job.spec, "kill": True}), NOW)["waiting"] is None
