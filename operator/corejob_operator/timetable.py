"""The times of a schedule in its time zone, each of them once, despite daylight saving time.

A local time that does not exist (clocks go forward) falls due at the end of the gap. A local time
that exists twice (clocks go back) falls due the first time only. A schedule for every hour follows
the hours that pass, as in crontab(5): it falls due in both passes of an hour that exists twice,
otherwise it would pause for an hour, and not for an hour that does not exist at all.
"""

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

from corejob_operator import crontab
from corejob_operator.crontab import Crontab

DEFAULT_ZONE: Final = "UTC"
_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)
_CLOCK_SET_BACK: Final = timedelta(hours=1)
_SHOWN: Final = 3
_MOST_STEPS: Final = 1000
"""Bound of a search; a step goes beyond all times that a change of the clock moves or removes."""


@dataclass(frozen=True, slots=True)
class DueTimes:
    """The time that is due, and the next one.

    Attributes:
        run_at: The time of the schedule to enqueue for; None: nothing is due. After missed times,
            it is the latest of them.
        mark: The time to record as the last one that was dealt with; None: keep the recorded one.
        next: The next time of the schedule.
        missed: The first and the last of the times before `run_at` that were not dealt with.
    """

    run_at: datetime | None
    mark: datetime | None
    next: datetime
    missed: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class _Gap:
    """Local times that do not exist: from `begin` on, up to `end`, which is at `instant`."""

    begin: datetime
    end: datetime
    instant: datetime


class Timetable:
    """A schedule in a time zone. All times are aware; methods return times in UTC."""

    def __init__(self, schedule: str, zone: str | None = None) -> None:
        """Raise ValueError if the schedule or the time zone is invalid; the message says why."""
        self._zone = time_zone(zone or DEFAULT_ZONE)
        try:
            self._crontab: Crontab = crontab.parse(schedule)
        except ValueError as error:
            raise ValueError(f"the schedule [{schedule}] can't be used: {error}") from error

    def due_times(self, last: datetime | None, now: datetime) -> DueTimes:
        """Return the due times at the time `now`.

        Args:
            last: The last time that was dealt with; None for a new schedule, for which nothing is
                due yet.
            now: The current time.

        Raises:
            ValueError: The schedule never falls due again.
        """
        following = self.after(now)
        if last is None or last - now > _CLOCK_SET_BACK:
            # A mark far in the future comes from a wrong clock: it must not stop the schedule.
            return DueTimes(None, now, following)
        latest = self.until(now)
        if latest is None or latest <= last:
            return DueTimes(None, None, following)
        first, before = self.after(last), self.until(latest - _SECOND)
        missed = (first, before) if before is not None and first <= before else None
        return DueTimes(latest, latest, following, missed)

    def meaning(self, now: datetime) -> str:
        """Return the next times as text, such as `next: 2026-11-29 06:00:00 UTC, then …`."""
        moments, moment = [], now
        for _ in range(_SHOWN):
            moment = self.after(moment)
            moments.append(moment)
        first, *rest = (self._local(moment) for moment in moments)
        text = f"next: {first}, then {', '.join(rest)}"
        return f"{text} (6 fields: the last is the seconds)" if self._crontab.with_seconds else text

    def after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`.

        Raises:
            ValueError: The schedule never falls due again.
        """
        moment = moment.replace(microsecond=0)
        local = moment.astimezone(self._zone)
        candidates = [self._first_after(moment, local)]
        if self._crontab.every_hour and (size := self._repeated(local)):
            candidates.append(self._repeated_after(local, size))
        times = [candidate for candidate in candidates if candidate is not None]
        if not times:
            raise ValueError("the schedule never falls due again")
        return min(times)

    def until(self, moment: datetime) -> datetime | None:
        """Return the last time up to `moment`, or None."""
        moment = moment.replace(microsecond=0)
        local = moment.astimezone(self._zone)
        first_pass = self._last_until(moment, local)
        if not self._crontab.every_hour:
            return first_pass
        naive = self._crontab.at_or_before(local.replace(tzinfo=None))
        if naive is None or not self._repeated(naive.replace(tzinfo=self._zone)):
            return first_pass
        second_pass = self._instant(naive, fold=1)
        if second_pass > moment or (first_pass is not None and first_pass > second_pass):
            return first_pass
        return second_pass

    # --- local times and instants ---------------------------------------------------------------

    def _first_after(self, moment: datetime, local: datetime) -> datetime | None:
        naive = self._first_pass_until(local)
        # The instants at which local times are reached first ascend with the local times.
        for _ in range(_MOST_STEPS):
            following = self._crontab.at_or_after(naive + _SECOND)
            if following is None:
                return None
            gap = self._gap(following)
            if gap is not None and self._leaves_out(following, gap):
                naive = gap.end - _SECOND
                continue
            instant = self._instant(following) if gap is None else gap.instant
            if instant > moment:
                return instant
            naive = following if gap is None else gap.end - _SECOND
        return None

    def _repeated_after(self, local: datetime, size: timedelta) -> datetime | None:
        """Return the first time after `local` in the second pass of a repeated hour, or None.

        Args:
            local: A local time that exists twice.
            size: By how much the clock goes back.
        """
        naive = local.replace(tzinfo=None)
        if local.fold == 0:
            turn = self._turn(local.astimezone(UTC), local.astimezone(UTC) + size)
            naive = turn.astimezone(self._zone).replace(tzinfo=None) - _SECOND
        following = self._crontab.at_or_after(naive + _SECOND)
        if following is None or not self._repeated(following.replace(tzinfo=self._zone)):
            return None
        return self._instant(following, fold=1)

    def _last_until(self, moment: datetime, local: datetime) -> datetime | None:
        naive = self._first_pass_until(local)
        for _ in range(_MOST_STEPS):
            following = self._crontab.at_or_before(naive)
            if following is None:
                return None
            gap = self._gap(following)
            if gap is not None and self._leaves_out(following, gap):
                naive = gap.begin - _SECOND
                continue
            instant = self._instant(following) if gap is None else gap.instant
            if instant <= moment:
                return instant
            naive = following - _SECOND
        return None

    def _first_pass_until(self, local: datetime) -> datetime:
        """Return the latest local time whose first pass is over at `local`."""
        if local.fold:
            after = local.astimezone(UTC)
            turn = self._turn(after - self._repeated(local), after)
            local = (turn - _SECOND).astimezone(self._zone)
        return local.replace(tzinfo=None)

    def _repeated(self, local: datetime) -> timedelta:
        """Return by how much the clock goes back, if this local time exists twice; else 0."""
        first, second = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
        assert first is not None  # noqa: S101  # every local time of a zone has an offset
        assert second is not None  # noqa: S101
        return max(first - second, timedelta())

    def _instant(self, naive: datetime, fold: int = 0) -> datetime:
        """Return the instant of a local time that exists."""
        return naive.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)

    def _gap(self, naive: datetime) -> _Gap | None:
        """Return the gap that has this local time; None if the time exists."""
        # In a gap, the offset of `fold=1` is the one after it, which gives the earlier instant.
        before, after = self._instant(naive, fold=1), self._instant(naive, fold=0)
        if before >= after:
            return None
        turn = self._turn(before, after)
        begin = (turn - _SECOND).astimezone(self._zone).replace(tzinfo=None) + _SECOND
        return _Gap(begin, turn.astimezone(self._zone).replace(tzinfo=None), turn)

    def _leaves_out(self, naive: datetime, gap: _Gap) -> bool:
        """True if the schedule is for every hour, and this hour does not exist."""
        hour = naive.replace(minute=0, second=0)
        return self._crontab.every_hour and gap.begin <= hour and hour + _HOUR <= gap.end

    def _turn(self, before: datetime, after: datetime) -> datetime:
        """Return the instant of the change to the offset of `after`, exact to a second."""
        offset = after.astimezone(self._zone).utcoffset()
        while after - before > _SECOND:
            middle = before + (after - before) // 2
            middle = middle.replace(microsecond=0)
            if middle.astimezone(self._zone).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after

    def _local(self, moment: datetime) -> str:
        local = moment.astimezone(self._zone)
        return f"{local:%Y-%m-%d %H:%M:%S} {self._name(local)}"

    def _name(self, local: datetime) -> str:
        """Return `UTC`, or offset and zone: abbreviations such as CST are ambiguous."""
        return "UTC" if self._zone.key == DEFAULT_ZONE else f"{local:%z} {self._zone.key}"


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone of a name in the IANA database.

    Raises:
        ValueError: The name is unknown; the message suggests a similar one.
    """
    zones = _zones()
    if name in zones:
        return _load(name)
    similar = difflib.get_close_matches(name, zones, n=1) if len(name) <= 64 else []
    hint = f", did you mean {similar[0]}?" if similar else ": put a name such as Europe/Berlin"
    raise ValueError(f"unknown time zone [{name[:64]}]{hint}")


@cache
def _load(name: str) -> ZoneInfo:
    """Return a zone by the package `tzdata`: `ZoneInfo(name)` prefers files of the machine."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def _zones() -> frozenset[str]:
    """Return all names, from the package `tzdata`, so that they don't depend on the machine."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())
