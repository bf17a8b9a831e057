"""Arguments and rows of the queue's counts over time."""

from datetime import datetime, time, timedelta
from typing import Final

from corejob import timestamps
from corejob_api.http.arguments import Arguments, mismatch
from corejob_api.http.errors import bad_request
from corejob_api.query.ordering import Row
from corejob_api.streams.counts import counts_row
from corejob_journal.store import QueueCount, Steps
from corejob_process.clock import Clock

_DAYS: Final = 7
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS: Final = (10, _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 4 * _HOUR, _DAY)
"""Step lengths in seconds. Each divides a day, so that steps are aligned to midnight UTC."""
_MOST_STEPS: Final = 400


def row_of(count: QueueCount) -> Row:
    """Return the row of a count from the store."""
    return counts_row(timestamps.from_epoch(count.created), count.total, count.states)


def is_descending(arguments: Arguments) -> bool:
    """True if the argument `sort` is -1 (newest first), which is the default.

    Raises:
        ApiError: 400, `sort` is neither 1 nor -1.
    """
    direction = arguments.integer("sort", -1)
    if direction not in {1, -1}:
        raise bad_request(f"parameter [sort] must be 1 or -1, got [{direction}]")
    return direction < 0


def steps(arguments: Arguments, now: Clock) -> Steps:
    """Return the span from `startDate` to `endDate`, with a step length that suits the span.

    The default is from midnight seven days ago until now.

    Raises:
        ApiError: 400, an argument is not a time, or the start is after the end.
    """
    present = now()
    end = _time(arguments, "endDate", present)
    midnight = datetime.combine(present.date() - timedelta(days=_DAYS), time(), present.tzinfo)
    start = _time(arguments, "startDate", midnight)
    if start > end:
        order = f"[{timestamps.iso(start)}] is after [{timestamps.iso(end)}]"
        raise bad_request(f"parameter [startDate] must not be after [endDate]: {order}")
    return Steps(start.timestamp(), end.timestamp(), step_seconds((end - start).total_seconds()))


def step_seconds(span: float) -> int:
    """Return the shortest step that divides `span` into at most `_MOST_STEPS`; else a day.

    Both are in seconds.
    """
    return next((step for step in _STEPS if span <= step * _MOST_STEPS), _DAY)


def _time(arguments: Arguments, name: str, default: datetime) -> datetime:
    text = arguments.optional_text(name, "datetime")
    if text is None:
        return default
    try:
        moment = timestamps.parse(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise mismatch(name, "datetime")
    return moment
