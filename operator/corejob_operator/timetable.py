"""The times of a schedule in its time zone, each of them once, despite daylight saving time.

A local time that does not exist (clocks go forward) falls due at the end of the gap. A local time
that exists twice (clocks go back) falls due the first time only; but a schedule for every hour
falls due in both passes, as in crontab(5): otherwise it would pause for an hour.
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
_CLOCK_SET_BACK: Final = timedelta(hours=1)
_SHOWN: Final = 3
_MOST_STEPS: Final = 200_000
"""Bound of a search by seconds; no time zone ever set its clocks back by nearly so much."""


@dataclass(frozen=True, slots=True)
class DueTimes:
    """The time that is due, and the next one.

    Attributes:
        run_at: The time of the schedule to enqueue for; None: nothing is due. After missed times,
            it is the latest of them.
        mark: The time to record as the last one that was dealt with; None: keep the recorded one.
        next: The next time of the schedule.
    """

    run_at: datetime | None
    mark: datetime | None
    next: datetime


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
        return DueTimes(latest, latest, following)

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
        naive = local.replace(tzinfo=None)
        # The instants at which local times are reached first ascend with the local times.
        for _ in range(_MOST_STEPS):
            following = self._crontab.at_or_after(naive + _SECOND)
            if following is None:
                return None
            instant = self._instant(following)
            if instant > moment:
                return instant
            naive = following
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
        naive = local.replace(tzinfo=None)
        if local.fold:
            naive += self._repeated(local)  # the second pass: all of the first one is over
        for _ in range(_MOST_STEPS):
            following = self._crontab.at_or_before(naive)
            if following is None:
                return None
            instant = self._instant(following)
            if instant <= moment:
                return instant
            naive = following - _SECOND
        return None

    def _repeated(self, local: datetime) -> timedelta:
        """Return by how much the clock goes back, if this local time exists twice; else 0."""
        first, second = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
        assert first is not None  # noqa: S101  # every local time of a zone has an offset
        assert second is not None  # noqa: S101
        return max(first - second, timedelta())

    def _instant(self, naive: datetime, fold: int = 0) -> datetime:
        """Return the instant of a local time; for one that does not exist, the end of the gap."""
        instant = naive.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)
        if instant.astimezone(self._zone).replace(tzinfo=None) == naive:
            return instant
        before, after = (
            naive.replace(tzinfo=self._zone, fold=other).astimezone(UTC) for other in (1, 0)
        )
        return self._turn(before, after)

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
        return ZoneInfo(name)
    similar = difflib.get_close_matches(name, zones, n=1) if len(name) <= 64 else []
    hint = f", did you mean {similar[0]}?" if similar else ": put a name such as Europe/Berlin"
    raise ValueError(f"unknown time zone [{name[:64]}]{hint}")


@cache
def _zones() -> frozenset[str]:
    """Return all names, from the package `tzdata`, so that they don't depend on the machine."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())
