"""When a schedule falls due: crontab in UTC, 5 fields, a 6th for seconds, or `@daily` forms."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from croniter import croniter
from croniter.croniter import CroniterError

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule calls for now.

    Attributes:
        run_at: The time of the schedule to enqueue for; None: nothing is due. However many times
            were missed, only the latest counts.
        mark: What to note as the last time that was dealt with; None: nothing new.
        wake: The next time of the schedule.
    """

    run_at: datetime | None
    mark: datetime | None
    wake: datetime


def plan(schedule: str, last: datetime | None, now: datetime) -> Plan:
    """What a schedule calls for at the time `now`.

    Args:
        schedule: The crontab.
        last: The last time that was dealt with; None at first sight, which enqueues nothing.
        now: The time.

    Raises:
        ValueError: The schedule is none, or never falls due; the message says which.
    """
    second = now.replace(microsecond=0)
    try:
        wake: datetime = croniter(schedule, second).get_next(datetime)
        if last is None:
            return Plan(None, now, wake)
        latest: datetime = croniter(schedule, second + _SECOND).get_prev(datetime)
    except (CroniterError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"the schedule [{schedule}] can't be used: {error}") from error
    if latest <= last:
        return Plan(None, None, wake)
    return Plan(latest, latest, wake)
