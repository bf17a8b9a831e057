"""Timestamps as text: rendering and parsing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob import timestamps

MOMENT = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=UTC)
TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1))  # noqa: DTZ001


@given(TIMES)
def test_a_rendered_time_is_parsed_back(moment: datetime) -> None:
    assert timestamps.parse(timestamps.render(moment)) == moment
    assert timestamps.parse(timestamps.iso(moment)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T01:02:03.456789Z",
        "2026-11-24T02:02:03.456789+01:00",
        "2026-11-24T01:02:03.456789",
    ],
)
def test_all_forms_of_one_time(text: str) -> None:
    assert timestamps.parse(text) == MOMENT


def test_a_time_is_rendered_in_utc() -> None:
    east = MOMENT.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)

    assert timestamps.render(east) == "2026-11-24T01:02:03.456789Z"
    assert timestamps.iso(east) == "2026-11-24T01:02:03.456789"
    assert timestamps.from_epoch(MOMENT.timestamp()) - MOMENT < timedelta(microseconds=2)


def test_a_missing_time_is_none() -> None:
    assert [
        timestamps.parse(None),
        timestamps.parse(""),
        timestamps.render(None),
        timestamps.iso(None),
    ] == [None] * 4


def test_other_texts_are_not_times() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        timestamps.parse("yesterday")
