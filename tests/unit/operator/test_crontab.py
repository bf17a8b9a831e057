"""The grammar of schedules: crontab(5) with seconds at the end, and no extensions of croniter."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.crontabs import BAD, GOOD, NEVER

from core4.queue import crontab as runtime
from corejob_operator import crontab

SECOND = timedelta(seconds=1)
START = datetime(2026, 1, 1)  # noqa: DTZ001  # on the face of a clock


@pytest.mark.parametrize("expression", GOOD)
def test_valid_schedules(expression: str) -> None:
    assert crontab.parse(expression).at_or_after(START) is not None


@pytest.mark.parametrize("expression", BAD)
def test_a_malformed_crontab_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expected|bad |spec\.timeZone"):
        crontab.parse(expression)


@pytest.mark.parametrize("expression", NEVER)
def test_schedules_that_never_fall_due(expression: str) -> None:
    with pytest.raises(ValueError, match="never falls due"):
        crontab.parse(expression)


FIELDS = st.text("0123456789*/,-#?LlWwHRmonjfe@ ~", min_size=1, max_size=6)
ANY = st.lists(FIELDS, min_size=1, max_size=7).map(" ".join) | st.text(max_size=20)


@given(ANY | st.sampled_from(GOOD + BAD + NEVER))
def test_operator_and_runtime_agree(expression: str) -> None:
    def accepts(check: object) -> bool:
        try:
            check(expression)  # type: ignore[operator]
        except ValueError:
            return False
        return True

    assert accepts(crontab.parse) == accepts(runtime.check)


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("0 6 * * *", ["2026-01-01T06:00:00", "2026-01-02T06:00:00"]),
        ("* * * * * 30", ["2026-01-01T00:00:30", "2026-01-01T00:01:30"]),
        ("@hourly", ["2026-01-01T00:00:00", "2026-01-01T01:00:00"]),
        ("@weekly", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ("@monthly", ["2026-01-01T00:00:00", "2026-02-01T00:00:00"]),
        ("@yearly", ["2026-01-01T00:00:00", "2027-01-01T00:00:00"]),
        ("0 0 * * 7", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ("0 0 * * sat-sun", ["2026-01-03T00:00:00", "2026-01-04T00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
        # If neither field of the day begins with a star, one of the two suffices.
        ("0 0 13 * fri", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00"]),
        ("0 0 */2 * fri", ["2026-01-09T00:00:00", "2026-01-23T00:00:00"]),
        ("0 0 29 feb */7", ["2032-02-29T00:00:00", "2060-02-29T00:00:00"]),
    ],
)
def test_the_meaning_of_a_schedule(expression: str, texts: list[str]) -> None:
    found, moment = [], START
    for _ in texts:
        moment = crontab.parse(expression).at_or_after(moment) or START
        found.append(moment.isoformat())
        moment += SECOND
    assert found == texts


@given(
    st.sampled_from(GOOD),
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001
)
def test_backwards_is_forwards(expression: str, moment: datetime) -> None:
    plan, moment = crontab.parse(expression), moment.replace(microsecond=0)
    following = plan.at_or_after(moment)
    assert following is not None
    assert following >= moment
    assert plan.at_or_before(following) == following
    before = plan.at_or_before(following - SECOND)
    assert before is None or before < moment or before == following - SECOND
    assert before is None or plan.at_or_after(before + SECOND) == following


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_time_are_no_error(year: int) -> None:
    plan = crontab.parse("0 0 29 2 *")
    first, last = datetime(year, 1, 1), datetime(year, 12, 31, 23, 59, 59)  # noqa: DTZ001
    assert plan.at_or_after(last) is None or year == 1
    assert plan.at_or_before(first) is None or year == 9999
