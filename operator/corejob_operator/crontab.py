"""The grammar of schedules: crontab(5), a sixth field for seconds, and forms such as `@daily`.

The runtime checks the classes of jobs by the same grammar in the standard library only
(`core4.queue.crontab`); one corpus tests both (tests/support/crontabs.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

FORMS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAYS: Final = {
    name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_LONGEST_MONTH: Final = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_ONE_DAY: Final = timedelta(days=1)
_MOST_DIGITS: Final = 4
_FARTHEST: Final = timedelta(days=366 * 41)
"""Search horizon: 29 February on a given weekday is at most 40 years away."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    greatest: int
    names: dict[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
    _Field("second", 0, 59, {}),
)
_SUNDAY_AGAIN: Final = 7


@dataclass(frozen=True, slots=True)
class Crontab:
    """A schedule as the local times that match it. All tuples are ascending.

    Attributes:
        weekdays: 0 is Sunday.
        either_day: True if a day matches by its day of month *or* its weekday; else both must.
        with_seconds: True if the schedule has a sixth field.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    with_seconds: bool

    @property
    def every_hour(self) -> bool:
        """True if the schedule falls due in each hour of its days."""
        return len(self.hours) == 24

    def at_or_after(self, moment: datetime) -> datetime | None:
        """Return the first local time from `moment` (naive, whole seconds) on, or None."""
        day, start = moment.date(), moment.time()
        last = _shifted(day, _FARTHEST)
        while day <= last:
            if day.month not in self.months:
                following = _next_month(day)
                if following is None:
                    return None
                day, start = following, time.min
                continue
            if self._is_day(day) and (moment_of_day := self._first_from(start)) is not None:
                return datetime.combine(day, moment_of_day)
            if day == date.max:
                return None
            day, start = day + _ONE_DAY, time.min
        return None

    def at_or_before(self, moment: datetime) -> datetime | None:
        """Return the last local time up to `moment` (naive, whole seconds), or None."""
        day, end = moment.date(), moment.time()
        first = _shifted(day, -_FARTHEST)
        while day >= first:
            if day.month not in self.months:
                day, end = day.replace(day=1), time.min
            elif self._is_day(day) and (moment_of_day := self._last_until(end)) is not None:
                return datetime.combine(day, moment_of_day)
            if day == date.min:
                return None
            day, end = day - _ONE_DAY, time(23, 59, 59)
        return None

    def _is_day(self, day: date) -> bool:
        fits = (day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays)
        return any(fits) if self.either_day else all(fits)

    def _first_from(self, start: time) -> time | None:
        for hour in self.hours[bisect_left(self.hours, start.hour) :]:
            minutes = self.minutes
            if hour == start.hour:
                minutes = minutes[bisect_left(minutes, start.minute) :]
            for minute in minutes:
                exact = (hour, minute) == (start.hour, start.minute)
                index = bisect_left(self.seconds, start.second) if exact else 0
                if index < len(self.seconds):
                    return time(hour, minute, self.seconds[index])
        return None

    def _last_until(self, end: time) -> time | None:
        for hour in reversed(self.hours[: bisect_right(self.hours, end.hour)]):
            minutes = self.minutes
            if hour == end.hour:
                minutes = minutes[: bisect_right(minutes, end.minute)]
            for minute in reversed(minutes):
                exact = (hour, minute) == (end.hour, end.minute)
                index = bisect_right(self.seconds, end.second) if exact else len(self.seconds)
                if index:
                    return time(hour, minute, self.seconds[index - 1])
        return None


def parse(expression: str) -> Crontab:
    """Parse a crontab expression.

    Raises:
        ValueError: The expression is invalid or never falls due; the message says why.
    """
    if expression.startswith("@"):
        if expression not in FORMS:
            raise ValueError(f"unknown form, expected one of {' '.join(FORMS)}")
        expression = FORMS[expression]
    texts = expression.split()
    if texts and "TZ=" in texts[0]:
        raise ValueError("the schedule can't contain a time zone: set spec.timeZone")
    if len(texts) not in {5, 6}:
        raise ValueError(f"expected 5 fields, or 6 with the seconds last, got {len(texts)}")
    minutes, hours, days, months, weekdays, *seconds = (
        _expand(text, field) for text, field in zip(texts, _FIELDS, strict=False)
    )
    either = "*" not in texts[2] and "*" not in texts[4]
    if not either and all(days[0] > _LONGEST_MONTH.get(month, 31) for month in months):
        raise ValueError(f"it never falls due: no month [{texts[3]}] has a day [{texts[2]}]")
    return Crontab(
        seconds=seconds[0] if seconds else (0,),
        minutes=minutes,
        hours=hours,
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % _SUNDAY_AGAIN for day in weekdays),
        either_day=either,
        with_seconds=bool(seconds),
    )


def _expand(text: str, field: _Field) -> tuple[int, ...]:
    """Return the numbers that match a field, ascending."""
    numbers: set[int] = set()
    for part in text.split(","):
        numbers.update(_range(part, text, field))
    return tuple(sorted(numbers))


def _range(part: str, text: str, field: _Field) -> Sequence[int]:
    span, slash, step = part.partition("/")
    if slash and not (_is_number(step) and int(step) > 0):
        raise ValueError(f"bad {field.name} [{text}]: [{step}] is not a step")
    start, dash, end = span.partition("-")
    if span == "*":
        low, high = field.least, field.greatest
    elif dash:
        low, high = _number(start, text, field), _number(end, text, field)
        if field.names is _DAYS and high == 0 < low:
            high = _SUNDAY_AGAIN  # a week may end on Sunday
    else:
        low = _number(start, text, field)
        high = field.greatest if slash else low
    if low > high:
        raise ValueError(f"bad {field.name} [{text}]: [{span}] runs backwards")
    return range(low, high + 1, int(step) if slash else 1)


def _number(word: str, text: str, field: _Field) -> int:
    named = field.names.get(word.lower())
    if named is not None:
        return named
    if not _is_number(word) or not field.least <= int(word) <= field.greatest:
        allowed = f"{field.least}-{field.greatest}"
        alternative = (
            f" or {next(iter(field.names))}-{list(field.names)[-1]}" if field.names else ""
        )
        raise ValueError(f"bad {field.name} [{text}]: [{word}] is not in {allowed}{alternative}")
    return int(word)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS


def _next_month(day: date) -> date | None:
    if day.month < 12:
        return day.replace(month=day.month + 1, day=1)
    return date(day.year + 1, 1, 1) if day.year < date.max.year else None


def _shifted(day: date, by: timedelta) -> date:
    """Return the day shifted by a time, at most to `date.max` or `date.min`."""
    try:
        return day + by
    except OverflowError:
        return date.max if by > timedelta() else date.min
