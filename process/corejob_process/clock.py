"""The clock, an argument of all parts of a process that need the time."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time as an aware datetime in UTC."""


def system_clock() -> datetime:
    """Return the system's current time."""
    return datetime.now(UTC)
