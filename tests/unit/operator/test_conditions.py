"""The conditions for `kubectl wait`, and the changes that update their times."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.builders import ID, NOW, at, at_text

from corejob.model import Status
from corejob.state import FINAL, State
from corejob_operator.conditions import conditions


def listed(state: State) -> list[dict[str, Any]]:
    return conditions(Status(ID, state=state), 1, [], NOW)


def of_an_earlier_version() -> list[dict[str, Any]]:
    """Return the conditions of a running job as version 2.0.0 wrote them."""
    times: dict[str, Any] = {"lastTransitionTime": at_text(-60), "observedGeneration": 1}
    why = {"status": "False", "reason": "Starting", "message": "waiting for the pod"}
    return [{"type": kind, **why, **times} for kind in ("Complete", "Failed", "Finished")]


@pytest.mark.parametrize("state", list(State))
def test_the_conditions_of_each_state(state: State) -> None:
    truth = {
        "Complete": state is State.COMPLETE,
        "Failed": state in {State.ERROR, State.INACTIVE},
        "Finished": state in FINAL,
    }

    assert [one["type"] for one in listed(state)] == [kind for kind in truth if truth[kind]]
    assert {one["status"] for one in listed(state)} <= {"True"}


def test_all_that_the_definition_requires_is_there() -> None:
    for state in State:
        for condition in conditions(Status(ID, state=state), 3, [], NOW):
            assert condition["reason"]
            assert isinstance(condition["message"], str)
            assert condition["lastTransitionTime"] == at_text(0)
            assert condition["observedGeneration"] == 3


def test_a_change_has_its_time_and_its_reason() -> None:
    before = of_an_earlier_version()
    error = Status(ID, state=State.ERROR, reason="CodeError", message="no")
    after = {c["type"]: c for c in conditions(error, 2, before, at(60))}

    changed: dict[str, Any] = {
        "lastTransitionTime": at_text(60),
        "reason": "CodeError",
        "message": "no",
        "observedGeneration": 2,
    }
    assert after["Failed"].items() >= changed.items()
    assert after["Finished"].items() >= changed.items()
    assert after["Complete"] == before[0]


def test_no_write_for_each_new_word_of_a_waiting_job() -> None:
    status = Status(ID, reason="MaxParallel", message="7 before it")
    before = of_an_earlier_version()

    assert conditions(status, 1, [], NOW) == []
    assert conditions(replace(status, message="6 before it"), 2, before, at(60)) == before


def test_the_current_conditions_are_not_changed_in_place() -> None:
    before = of_an_earlier_version()
    kept = [dict(condition) for condition in before]
    conditions(Status(ID, state=State.COMPLETE), 2, before, at(60))[0]["status"] = "?"

    assert before == kept
