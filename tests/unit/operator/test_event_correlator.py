"""Limits of the Events about one object, without a clock."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import NOW, at, at_text

from corejob_operator.event_correlator import (
    BURST,
    MOST_SIMILAR,
    REFILL,
    SIMILAR_WITHIN,
    EventCorrelator,
    EventSeries,
)


def event(reason: str = "Running", uid: str = "uid", *, name: str = "e") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "jobs"},
        "regarding": {"uid": uid},
        "type": "Normal",
        "reason": reason,
        "action": "Reconcile",
    }


def test_few_events_are_created_as_they_are() -> None:
    correlator = EventCorrelator()

    for number in range(MOST_SIMILAR):
        body = event(name=f"e{number}")
        assert correlator.correlate(body, NOW) is body


def test_the_eleventh_similar_event_stands_for_all_later_ones() -> None:
    correlator = EventCorrelator()
    for _ in range(MOST_SIMILAR):
        correlator.correlate(event(), NOW)
    series = correlator.correlate(event(name="series"), at(1))
    update = correlator.correlate(event(), at(2))

    first = {"count": 11, "lastObservedTime": at_text(1)}
    assert series == {**event(name="series"), "series": first}
    patch = {"series": {"count": 12, "lastObservedTime": at_text(2)}}
    assert update == EventSeries("series", "jobs", patch)


def test_other_reasons_and_other_objects_are_counted_apart() -> None:
    correlator = EventCorrelator()
    for _ in range(MOST_SIMILAR):
        correlator.correlate(event(), NOW)

    for body in (event("Completed"), event(uid="other")):
        assert correlator.correlate(body, NOW) is body


def test_the_count_begins_anew_after_a_pause() -> None:
    correlator = EventCorrelator()
    for _ in range(MOST_SIMILAR + 1):
        correlator.correlate(event(), NOW)
    body = event()

    assert correlator.correlate(body, at(SIMILAR_WITHIN.total_seconds() + 1)) is body


def test_dropped_events_are_in_the_next_count() -> None:
    correlator = EventCorrelator()
    posted = [correlator.correlate(event(), NOW) for _ in range(100)]
    assert sum(item is not None for item in posted) == BURST

    later = correlator.correlate(event(), NOW + REFILL)
    assert isinstance(later, EventSeries)
    assert later.patch["series"]["count"] == 101
    assert correlator.correlate(event("Completed"), NOW + REFILL) is None


EVENTS = st.tuples(
    st.sampled_from("ab"), st.sampled_from(["Running", "CodeError"]), st.floats(0, 90)
)


@given(st.lists(EVENTS, max_size=200))
def test_no_object_has_more_than_its_tokens(recorded: list[tuple[str, str, float]]) -> None:
    correlator, now, posted = EventCorrelator(), NOW, {"a": 0, "b": 0}
    for uid, reason, pause in recorded:
        now = at((now - NOW).total_seconds() + pause)
        posted[uid] += correlator.correlate(event(reason, uid), now) is not None

    assert max(posted.values()) <= BURST + (now - NOW) / REFILL
