"""Incremental counts equal a new count."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import corejob

from corejob.model import CoreJob
from corejob.state import State
from corejob.state_counts import StateCounts

KEYS = ("a", "b", "c")


def job(state: State, **spec: Any) -> CoreJob:
    return corejob(**spec, status={"state": str(state), "trial": 1})


jobs = st.builds(
    job, st.sampled_from(State), kill=st.booleans(), remove=st.booleans(), priority=st.integers()
)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.none() | jobs)))
def test_it_is_what_counting_anew_would_give(changes: list[tuple[str, CoreJob | None]]) -> None:
    state_counts, present = StateCounts(), dict[str, CoreJob]()
    told: list[dict[str, int]] = []
    state_counts.listen(lambda: told.append(state_counts.by_state()))
    shown: dict[str, int] = {}
    for key, changed in changes:
        if changed is None:
            state_counts.drop(key)
            present.pop(key, None)
        else:
            state_counts.put(key, changed)
            present[key] = changed
        expected = Counter(str(each.state) for each in present.values() if each.in_queue)
        assert state_counts.by_state() == dict(expected)
        assert state_counts.total == expected.total()
        # The listener is called for each change of the counts, and only then.
        assert told == ([state_counts.by_state()] if state_counts.by_state() != shown else [])
        told.clear()
        shown = state_counts.by_state()


def test_states_come_in_one_order() -> None:
    state_counts = StateCounts()
    for number, state in enumerate((State.ERROR, State.RUNNING, State.PENDING, State.PENDING)):
        state_counts.put(str(number), job(state))
    assert list(state_counts.by_state().items()) == [("pending", 2), ("running", 1), ("error", 1)]


@pytest.mark.parametrize(
    ("state", "spec", "shown"),
    [
        (State.COMPLETE, {}, None),
        (State.RUNNING, {"kill": True}, "killed"),
        (State.RUNNING, {"remove": True}, "running"),
        (State.PENDING, {"remove": True}, None),
        (State.ERROR, {"childId": "a" * 24}, None),
        (State.INACTIVE, {}, "inactive"),
    ],
)
def test_a_job_counts_in_the_state_that_clients_see(
    state: State, spec: Any, shown: str | None
) -> None:
    state_counts = StateCounts()
    state_counts.put("a", job(state, **spec))
    assert state_counts.by_state() == ({} if shown is None else {shown: 1})
