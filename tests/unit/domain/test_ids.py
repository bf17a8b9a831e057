"""Job ids: well-formed, ascending; a derived id is the same wherever it is computed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import NOW, UID

from corejob import ids


def test_ids_of_one_instant_ascend() -> None:
    made = [ids.new_id(NOW) for _ in range(1000)]

    assert made == sorted(set(made))
    assert all(ids.is_id(each) for each in made)


def test_ids_ascend_when_the_clock_goes_back() -> None:
    first = ids.new_id(NOW + timedelta(hours=1))

    assert ids.new_id(NOW) > first


def test_ids_of_threads_never_meet() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: ids.new_id(NOW), range(2000)))

    assert len({each[:18] for each in made}) == len(made)


def test_an_id_tells_when_it_was_made() -> None:
    assert abs(ids.created_at(ids.new_id(NOW)) - NOW) < timedelta(milliseconds=1)


def test_a_derived_id_depends_on_time_and_uid_alone() -> None:
    derived = ids.derived_id(NOW, UID)

    assert derived == ids.derived_id(NOW, UID)
    assert ids.is_id(derived)
    assert ids.created_at(derived) == NOW
    assert derived != ids.derived_id(NOW, UID + "x")
    # The same as in the first release, since stored jobs are found by it.
    assert derived == "6b057c400000e24b6d3881dc"


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)), st.timedeltas(timedelta(0)))  # noqa: DTZ001
def test_derived_ids_ascend_with_time(naive: datetime, step: timedelta) -> None:
    moment = naive.replace(tzinfo=NOW.tzinfo)
    later = moment + min(step, timedelta(days=365))

    assert ids.derived_id(moment, "a")[:12] <= ids.derived_id(later, "b")[:12]


@pytest.mark.parametrize("text", ["", "a" * 23, "a" * 25, "A" * 24, "g" * 24, "a" * 24 + "\n"])
def test_other_texts_are_no_ids(text: str) -> None:
    assert not ids.is_id(text)
