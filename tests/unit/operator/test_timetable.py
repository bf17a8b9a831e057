"""Due times of a schedule: one catch-up, none for a new one, each time once in any time zone."""

from datetime import UTC, datetime, timedelta
from functools import partialmethod
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_operator import crontab
from corejob_operator.timetable import DueTimes, Timetable, time_zone

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(schedule: str, last: datetime | None, now: datetime, zone: str = "UTC") -> DueTimes:
    return Timetable(schedule, zone).due_times(last, now)


NOON = time("2026-11-24T12:00:00")


# --- first sight ----------------------------------------------------------------------------


@pytest.mark.parametrize("now", [NOON, NOON + timedelta(milliseconds=300), NOON + 7 * SECOND])
def test_the_first_sight_enqueues_nothing_and_is_noted(now: datetime) -> None:
    times = plan("0 12 * * *", None, now)

    assert (times.run_at, times.mark) == (None, now)
    assert times.next == NOON + DAY


def test_from_the_first_sight_on_it_counts() -> None:
    situation = plan("* * * * *", None, NOON + timedelta(milliseconds=1))
    assert situation.mark is not None

    assert plan("* * * * *", situation.mark, NOON + 59 * SECOND).run_at is None
    assert plan("* * * * *", situation.mark, NOON + 60 * SECOND).run_at == NOON + 60 * SECOND


# --- due ------------------------------------------------------------------------------------


def test_due_at_its_time_not_before() -> None:
    last = NOON - DAY
    early = plan("0 12 * * *", last, NOON - timedelta(microseconds=1))
    assert (early.run_at, early.mark, early.next) == (None, None, NOON)

    due = plan("0 12 * * *", last, NOON)
    assert (due.run_at, due.mark, due.next) == (NOON, NOON, NOON + DAY)


def test_a_time_that_was_dealt_with_is_not_due_again() -> None:
    for later in (0, 1, 59):
        assert plan("* * * * *", NOON, NOON + later * SECOND).run_at is None


def test_one_of_the_missed_times_is_caught_up() -> None:
    times = plan("*/5 * * * *", NOON - timedelta(days=30), NOON + 7 * SECOND)

    assert (times.run_at, times.mark) == (NOON, NOON)
    assert plan("*/5 * * * *", times.mark, NOON + 8 * SECOND).run_at is None


def test_a_sixth_field_is_the_seconds() -> None:
    times = plan("* * * * * */10", NOON, NOON + 11 * SECOND)

    assert (times.run_at, times.next) == (NOON + 10 * SECOND, NOON + 20 * SECOND)


@pytest.mark.parametrize("back", [SECOND, HOUR])
def test_a_clock_that_was_set_back_a_little_repeats_nothing(back: timedelta) -> None:
    times = plan("* * * * *", NOON, NOON - back)

    assert (times.run_at, times.mark) == (None, None)


def test_a_clock_that_was_wrong_by_a_year_does_not_silence_a_schedule() -> None:
    times = plan("* * * * *", NOON + 365 * DAY, NOON)

    assert (times.run_at, times.mark) == (None, NOON)


@given(
    schedule=st.sampled_from(["* * * * *", "*/7 * * * *", "* * * * * */13", "@hourly"]),
    steps=st.lists(st.integers(1, 10_000), max_size=20),
)
def test_each_time_is_run_at_most_once_and_in_order(schedule: str, steps: list[int]) -> None:
    now, last = NOON, plan(schedule, None, NOON).mark
    runs: list[datetime] = []
    for step in steps:
        now += step * SECOND
        times = plan(schedule, last, now)
        if times.run_at is not None:
            runs.append(times.run_at)
            assert now - HOUR < times.run_at <= now
        last = times.mark or last
    assert runs == sorted(set(runs))
    assert all(run > NOON for run in runs)


# --- time zones -----------------------------------------------------------------------------

TURNS = {
    # Zone, and a change of its clocks, in the middle of the tested period.
    ("Europe/Berlin", "2026-03-29T01:00:00"),
    ("Europe/Berlin", "2026-10-25T01:00:00"),
    ("Europe/Dublin", "2026-10-25T01:00:00"),
    ("America/New_York", "2026-03-08T07:00:00"),
    ("America/New_York", "2026-11-01T06:00:00"),
    ("America/St_Johns", "2026-03-08T05:30:00"),
    ("America/St_Johns", "2026-11-01T04:30:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00"),  # its gap begins at midnight
    ("America/Sao_Paulo", "2018-02-18T02:00:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00"),  # half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30:00"),
    ("Africa/Casablanca", "2026-02-15T02:00:00"),
    ("Africa/Casablanca", "2026-03-22T02:00:00"),
    ("Asia/Kathmandu", "2026-03-29T01:00:00"),
    ("Pacific/Apia", "2011-12-30T10:00:00"),  # 30 December was left out
    ("Asia/Pyongyang", "2015-08-14T15:00:00"),  # half an hour, for good
    ("Antarctica/Troll", "2026-10-25T01:00:00"),  # two hours
    ("UTC", "2026-03-29T01:00:00"),
}
SCHEDULES = (
    "5 * * * *", "*/45 * * * *", "5,35 * * * *",
    "30 2 * * *", "0 2 * * *", "15 2 * * *", "0 0 * * *", "30 0 * * *", "30 1 * * *", "0 3 * * *",
    "0 0,12 30 12 *", "*/20 1-3 * * *", "0 */2 * * *", "0 * * * *", "*/15 * * * *", "30 * * * *",
    "59 23 * * *", "0 2 * * sun", "@daily", "@hourly", "10 2 * * * 30", "0 0-23 * * *",
)  # fmt: skip


def expected(schedule: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Return the due times by trying each local time, by the rule in `timetable`."""
    table, info = crontab.parse(schedule), time_zone(zone)
    step = 30 * SECOND if len(schedule.split()) == 6 else MINUTE
    instants = [start + n * step for n in range(int((end - start) / step))]
    shown = {instant: instant.astimezone(info) for instant in instants}
    times = set()
    for instant, local in shown.items():
        naive = local.replace(tzinfo=None)
        if table.at_or_after(naive) == naive and (local.fold == 0 or len(table.hours) == 24):
            times.add(instant)
    for before, after in pairwise(instants):
        # Times that the clock skipped between these two are due at the latter.
        low, high = (shown[each].replace(tzinfo=None) for each in (before, after))
        skipped = low + step
        while skipped < high:
            hour = skipped.replace(minute=0)
            whole = low < hour and hour + HOUR <= high
            if table.at_or_after(skipped) == skipped and not (whole and len(table.hours) == 24):
                times.add(after)
            skipped += step
    return sorted(times)


@pytest.mark.parametrize(("zone", "middle"), sorted(TURNS))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_never_twice_and_never_skipped_whatever_the_clocks_do(
    schedule: str, zone: str, middle: str
) -> None:
    start, end = time(middle) - 2 * DAY, time(middle) + 2 * DAY
    table = Timetable(schedule, zone)
    forwards, moment = [], start - SECOND
    while (moment := table.after(moment)) < end:
        forwards.append(moment)
    backwards: list[datetime] = []
    at: datetime | None = end - SECOND
    while at is not None and (at := table.until(at)) is not None and at >= start:
        backwards.append(at)
        at -= SECOND

    assert forwards == expected(schedule, zone, start, end)
    assert backwards[::-1] == forwards


@given(
    turn=st.sampled_from(sorted(TURNS)),
    schedule=st.sampled_from(SCHEDULES),
    offset=st.integers(-7200, 7200),
)
def test_the_time_before_and_the_time_after_are_neighbours(
    turn: tuple[str, str], schedule: str, offset: int
) -> None:
    table, now = Timetable(schedule, turn[0]), time(turn[1]) + offset * SECOND
    before, after = table.until(now), table.after(now)
    assert before is not None
    assert before <= now < after
    assert table.after(before) == after
    assert table.until(after - SECOND) == before
    assert table.until(after) == after


@pytest.mark.parametrize(
    ("zone", "schedule", "now", "runs"),
    [
        # 02:30 does not exist, so the run is at 03:00 summer time.
        ("Europe/Berlin", "30 2 * * *", "2026-03-29T00:00:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-03-29T01:00:00", "2026-03-30T00:30:00"),
        # 02:30 exists twice; the first one counts.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T01:10:00", "2026-10-26T01:30:00"),
        # A schedule of all hours runs in each half hour of both.
        ("Europe/Berlin", "*/30 * * * *", "2026-10-25T00:30:00", "2026-10-25T01:00:00"),
        # An hour that does not exist does not pass: no run after 55 minutes, one after 60.
        ("Europe/Berlin", "5 * * * *", "2026-03-29T00:05:00", "2026-03-29T01:05:00"),
        ("Europe/Berlin", "*/45 * * * *", "2026-03-29T00:45:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "30 * * * *", "2026-03-29T00:30:00", "2026-03-29T01:30:00"),
        ("Australia/Lord_Howe", "5 * * * *", "2026-10-03T14:35:00", "2026-10-03T15:30:00"),
        ("Asia/Kathmandu", "0 6 * * *", "2026-03-29T00:00:00", "2026-03-29T00:15:00"),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00", "2026-10-03T15:30:00"),
        ("Pacific/Apia", "0 12 30 12 *", "2011-12-29T12:00:00", "2011-12-30T10:00:00"),
    ],
)
def test_known_days(zone: str, schedule: str, now: str, runs: str) -> None:
    assert Timetable(schedule, zone).after(time(now)) == time(runs)


def test_rules_of_zones_are_those_of_the_package_whatever_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "Africa").mkdir()
    # This machine says that Nairobi has the time of Kiritimati.
    wrong = resources.files("tzdata").joinpath("zoneinfo", "Pacific", "Kiritimati").read_bytes()
    (tmp_path / "Africa" / "Nairobi").write_bytes(wrong)
    reset_tzpath([tmp_path])
    try:
        assert ZoneInfo.no_cache("Africa/Nairobi").utcoffset(NOON) == 14 * HOUR
        assert time_zone("Africa/Nairobi").utcoffset(NOON) == 3 * HOUR
    finally:
        reset_tzpath()


@pytest.mark.parametrize(
    "schedule", ["* * * * * *", "* * * * *", "0 * * * * 59", "59 * * * * 59", "0 2 * * *"]
)
@pytest.mark.parametrize(("zone", "middle"), sorted(TURNS))
def test_a_change_of_the_clocks_makes_no_search_long(
    schedule: str, zone: str, middle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One schedule for each second must not slow the others, not even in an hour of two passes."""
    calls = 0

    def counted(table: crontab.Crontab, moment: datetime, search: Any) -> datetime | None:
        nonlocal calls
        calls += 1
        return search(table, moment)

    for name in ("at_or_after", "at_or_before"):
        search = getattr(crontab.Crontab, name)
        monkeypatch.setattr(crontab.Crontab, name, partialmethod(counted, search=search))
    table = Timetable(schedule, zone)
    for minutes in range(-180, 181, 7):
        for search in (table.after, table.until):
            calls = 0
            search(time(middle) + minutes * MINUTE)
            assert 0 < calls <= 5


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "Etc/GMT+5", "US/Eastern", "Asia/Calcutta"]
)
def test_names_of_zones(zone: str) -> None:
    assert time_zone(zone).key == zone


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Belrin", "did you mean Europe/Berlin"),
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("Local", "such as"),
        ("localtime", "such as"),
        ("posixrules", ""),
        ("../../etc/passwd", "such as"),
        ("/etc/localtime", "such as"),
        ("Europe", ""),
        ("+01:00", "such as"),
        ("x" * 5000, "such as"),
        ("\0", "such as"),
    ],
)
def test_a_bad_zone_is_named_with_a_hint(zone: str, hint: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone") as refusal:
        time_zone(zone)
    assert hint in str(refusal.value)
    assert len(str(refusal.value)) < 200


# --- in words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "zone", "words"),
    [
        (
            "0 6 * * mon-fri",
            "UTC",
            "next: 2026-11-25 06:00:00 UTC, then 2026-11-26 06:00:00 UTC, 2026-11-27 06:00:00 UTC",
        ),
        (
            "0 6 * * *",
            "Europe/Berlin",
            "next: 2026-11-25 06:00:00 +0100 Europe/Berlin, then "
            "2026-11-26 06:00:00 +0100 Europe/Berlin, 2026-11-27 06:00:00 +0100 Europe/Berlin",
        ),
        (
            "0 0 6 * * *",
            "UTC",
            "next: 2026-12-06 00:00:00 UTC, then 2026-12-06 00:00:01 UTC, 2026-12-06 00:00:02 UTC "
            "(6 fields: the last is the seconds)",
        ),
    ],
)
def test_the_meaning_of_a_schedule(schedule: str, zone: str, words: str) -> None:
    assert Timetable(schedule, zone).meaning(NOON) == words


@pytest.mark.parametrize("schedule", ["", "x", "60 * * * *", "0 0 30 2 *", "H * * * *"])
def test_a_bad_schedule_is_named(schedule: str) -> None:
    with pytest.raises(ValueError, match="can't be used") as refusal:
        Timetable(schedule)
    assert f"[{schedule}]" in str(refusal.value)
