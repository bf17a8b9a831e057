"""A job's entry for the admission."""

from typing import Any

from tests.unit.domain.builders import ID, at, at_text, corejob
from tests.unit.operator.builders import SETTINGS

from corejob_operator.admitter import entry


def waits(state: str, **more: Any) -> Any:
    times = {"queryTime": at_text(60), "endTime": at_text(-5), **more.pop("status", {})}
    return corejob(status={"state": state, "trial": 1, **times}, **more)


def test_the_entry_of_a_job() -> None:
    made = entry(corejob(priority=3, force=True, maxParallel=2), SETTINGS)

    assert (made.key, made.order, made.qual_name) == (ID, ID, "a.Job")
    assert (made.priority, made.force, made.max_parallel, made.due) == (3, True, 2, 0.0)


def test_without_a_limit_of_its_own_the_setting_counts() -> None:
    assert entry(corejob(), SETTINGS).max_parallel == 15


def test_a_job_of_any_name_stands_by_its_id() -> None:
    made = entry(corejob(name="mine", status={"state": "pending", "id": "e" * 24}), SETTINGS)

    assert (made.key, made.order) == ("mine", "e" * 24)


def test_the_due_time_is_that_of_the_next_trial_unless_it_is_restarted() -> None:
    assert entry(waits("failed"), SETTINGS).due == at(60).timestamp()
    assert entry(waits("failed", restartAt=at_text(-5)), SETTINGS).due == 0.0
