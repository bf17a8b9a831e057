"""When a schedule falls due: one catch-up, none at first sight, seconds, and bad ones."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_operator.crontab import plan

SECOND = timedelta(seconds=1)


def time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOON = time("2026-11-24T12:00:00")


# --- first sight ----------------------------------------------------------------------------


@pytest.mark.parametrize("now", [NOON, NOON + timedelta(milliseconds=300), NOON + 7 * SECOND])
def test_the_first_sight_enqueues_nothing_and_is_noted(now: datetime) -> None:
    found = plan("0 12 * * *", None, now)

    assert (found.run_at, found.mark) == (None, now)
    assert found.wake == NOON + timedelta(days=1)


def test_from_the_first_sight_on_it_counts() -> None:
    seen = plan("* * * * *", None, NOON + timedelta(milliseconds=1))
    assert seen.mark is not None

    assert plan("* * * * *", seen.mark, NOON + 59 * SECOND).run_at is None
    assert plan("* * * * *", seen.mark, NOON + 60 * SECOND).run_at == NOON + 60 * SECOND


# --- due ------------------------------------------------------------------------------------


def test_due_at_its_time_not_before() -> None:
    last = NOON - timedelta(days=1)
    early = plan("0 12 * * *", last, NOON - timedelta(microseconds=1))
    assert (early.run_at, early.mark, early.wake) == (None, None, NOON)

    due = plan("0 12 * * *", last, NOON)
    assert (due.run_at, due.mark, due.wake) == (NOON, NOON, NOON + timedelta(days=1))


def test_what_was_dealt_with_is_not_due_again() -> None:
    for later in (0, 1, 59):
        assert plan("* * * * *", NOON, NOON + later * SECOND).run_at is None


def test_however_many_were_missed_one_is_caught_up() -> None:
    last = NOON - timedelta(days=30)
    found = plan("*/5 * * * *", last, NOON + 7 * SECOND)

    assert found.run_at == NOON
    assert found.mark == NOON
    assert plan("*/5 * * * *", found.mark, NOON + 8 * SECOND).run_at is None


def test_a_sixth_field_is_the_seconds() -> None:
    found = plan("* * * * * */10", NOON, NOON + 11 * SECOND)

    assert (found.run_at, found.wake) == (NOON + 10 * SECOND, NOON + 20 * SECOND)


@pytest.mark.parametrize(
    ("form", "wake"),
    [
        ("@hourly", "2026-11-24T13:00:00"),
        ("@daily", "2026-11-25T00:00:00"),
        ("@midnight", "2026-11-25T00:00:00"),
        ("@weekly", "2026-11-29T00:00:00"),
        ("@monthly", "2026-12-01T00:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@annually", "2027-01-01T00:00:00"),
        ("0 6 * * mon-fri", "2026-11-25T06:00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00"),
    ],
)
def test_forms(form: str, wake: str) -> None:
    assert plan(form, None, NOON).wake == time(wake)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2028-02-29"])
def test_no_day_has_more_or_fewer_hours_than_others(day: str) -> None:
    """UTC knows no summer time: 24 hours a day on the days that clocks are changed elsewhere."""
    last = time(f"{day}T00:00:00")
    runs = 0
    for minute in range(0, 24 * 60, 30):
        found = plan("0 * * * *", last, time(f"{day}T00:30:00") + timedelta(minutes=minute))
        if found.run_at is not None:
            runs += 1
            last = found.run_at
    assert runs == 24


def test_a_clock_that_was_set_back_repeats_nothing() -> None:
    found = plan("* * * * *", NOON, NOON - timedelta(hours=1))

    assert (found.run_at, found.mark) == (None, None)


# --- bad ones -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    ["", "x", "@never", "* * * *", "60 * * * *", "0 0 30 2 *", "*/0 * * * *", "H * * * *"],
)
def test_a_schedule_that_is_none_is_named(schedule: str) -> None:
    with pytest.raises(ValueError, match="can't be used") as refusal:
        plan(schedule, NOON, NOON)
    assert f"[{schedule}]" in str(refusal.value)


FIELDS = st.text("0123456789*/,-#?LlWwHRmonjfe@ ", min_size=1, max_size=6)


@given(st.lists(FIELDS, min_size=1, max_size=7).map(" ".join) | st.text(max_size=20))
def test_whatever_is_written_there_the_others_go_on(schedule: str) -> None:
    """A schedule is right, or a ValueError; another error would end all schedules."""
    try:
        found = plan(schedule, NOON - timedelta(days=400), NOON)
    except ValueError:
        return
    assert found.wake > NOON
    assert found.run_at is None or found.run_at <= NOON


# --- any history ----------------------------------------------------------------------------


@given(
    schedule=st.sampled_from(["* * * * *", "*/7 * * * *", "* * * * * */13", "@hourly"]),
    steps=st.lists(st.integers(1, 10_000), max_size=20),
)
def test_each_time_is_run_at_most_once_and_in_order(schedule: str, steps: list[int]) -> None:
    now, last = NOON, plan(schedule, None, NOON).mark
    runs: list[datetime] = []
    for step in steps:
        now += step * SECOND
        found = plan(schedule, last, now)
        if found.run_at is not None:
            runs.append(found.run_at)
            assert now - timedelta(hours=1) < found.run_at <= now
        last = found.mark or last
    assert runs == sorted(set(runs))
    assert all(run > NOON for run in runs)
